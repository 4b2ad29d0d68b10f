"""Other injectors' configuration as SidecarInjections.

Here belongs what their formats mean, one module for each injector, and what these share. Data in,
data out: files, YAML and terminals are the command line's. Nothing here decides about pods, and
nothing is lost in silence: what has no counterpart with us becomes a warning that says where.
"""
