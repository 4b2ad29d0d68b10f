"""The command line: one module a verb; the only place that prints, reads files or exits.

Here belong arguments, files, tables and exit codes. Decisions do not: `core` decides what a pod
gets.
"""
