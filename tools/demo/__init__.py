"""`make demo`: the product's main job in front of the reader, every printed line of it checked.

`steps` plays and prints the six steps, `on_node` the same on a real node, `stage` has the lock, the
folder and the process that stays with KEEP=1. The manifests beside them are the README's as well.
Not here: what starts servers (tools.controlplane, tools.node).
"""
