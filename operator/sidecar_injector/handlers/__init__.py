"""What the operator does about changes: level-based, idempotent, safe on every replica at once.

Here belong the loops and Kopf's handlers, which look at the world, ask `core` or `pki` what should
be, compare, and then write. Here does not belong any rule of what should be.
"""
