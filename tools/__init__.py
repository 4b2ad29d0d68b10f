"""What the repository needs to build, try and test the product; nothing of it is shipped.

Here belongs: the local control plane, generators of committed files, the demo. Not here: anything
that the operator or its command line imports.
"""
