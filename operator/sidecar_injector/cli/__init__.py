"""The command line: one module a verb; the only place that prints, reads files or exits.

Here belong arguments, files, tables and exit codes. Here does not belong any decision: what a pod
gets is `core`'s to say.
"""
