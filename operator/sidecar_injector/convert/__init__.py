"""Other injectors' configuration as SidecarInjections.

Here belongs what their formats mean, one module for each injector, and what these share. Data in,
data out: files, YAML and terminals belong to the command line. Nothing here decides about pods.
Whatever has no counterpart in a SidecarInjection becomes a warning that says where it is.
"""
