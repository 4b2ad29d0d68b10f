"""What verbs read from a cluster: the release, objects, injections, pods and certificates.

The few writes of `restart` and `certificates rotate` are here too. Printing belongs to the verbs,
decisions belong to `core`.
"""
