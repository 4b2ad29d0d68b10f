"""What verbs ask of a cluster: who answers, which release, which objects, and how pods stand.

Here belongs reading (and the few writes of `restart` and `certificates rotate`) through the narrow
`kube.api`. Here does not belong printing, which is the verbs', nor any decision, which is `core`'s.
"""
