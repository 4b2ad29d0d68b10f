"""The checks of `check`, one module a subject; each result says what would help.

Here a cluster is read and judged. Printing and exit codes belong to the verb.
"""
