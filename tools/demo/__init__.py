"""`make demo`: the product's main job in front of the reader, every printed line of it checked.

`story` tells the six steps, `on_node` the same on a real node, `narration` prints and checks,
`stage` holds the lock, the folder and the process that stays with KEEP=1. The manifests beside them
are the README's as well. Not here: what starts servers (tools.controlplane, tools.node).
"""
