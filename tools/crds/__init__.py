"""The generator of the two CustomResourceDefinitions.

Here belong the schema as we write it (the YAML files), its join with the API server's own schema of
pods, and writing the files that are committed. Here does not belong anything that runs in the
operator, nor a check that the API server or the operator does.
"""
