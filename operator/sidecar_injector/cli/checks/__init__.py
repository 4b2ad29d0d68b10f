"""What `check` looks at, one module a subject; each check yields what it found and what would help.

Here belongs asking a cluster and judging the answer. Printing and exit codes are the verb's.
"""
