"""What the product thinks: which pods, which parts, why; as pure functions on plain data.

Here belong the model of the two kinds, the one decision, the merge and its patch, provenance and
validation. Here does not belong anything that reads a clock, a file, a socket or the environment,
that logs, or that knows of Kopf, HTTP or the Kubernetes client.
"""
