"""`make demo`: the product's main job in front of the reader, every printed line of it checked.

`steps` plays the six steps, `printer` prints them, `places` has the clusters on which that can be
done, `installed` how the operator runs there, `stage` the lock, the folder and the process that
stays with KEEP=1. The manifests beside them are the README's as well.
Not here: what starts servers (tools.controlplane, tools.node).
"""
