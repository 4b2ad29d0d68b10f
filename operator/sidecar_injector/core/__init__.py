"""What the product decides: which pods, which parts, and why. Pure functions on plain data.

`decide` decides about a pod, `audit` about one that runs, `status` about an injection's conditions.
The floors below: `linting`, `merging`, `validity` and `injections`, `pods`. Nothing in here reads a
clock, a file, a socket or the environment, logs, or knows of Kopf, HTTP or the Kubernetes client.
"""
