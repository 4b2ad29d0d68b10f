"""How an injection gets into a pod, and out again.

`render` fills in parameters, `fit` finds conflicts, `merge` adds all or nothing, and
`status_annotation` records what was added.
"""
