"""What verbs read from a cluster: the release, objects, injections, pods and certificates.

The writes of `restart` are here too. Printing belongs to the verbs, decisions belong to `core`.
"""
