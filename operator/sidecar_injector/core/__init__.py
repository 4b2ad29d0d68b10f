"""What the product decides: which pods get which parts, and why. Pure functions on plain data.

`decide` decides about a pod that is created, `audit` about a pod that runs, and `status` about the
conditions of an injection. Below are `linting`, `merging`, `validity` and `injections`, `pods`.
Nothing in here reads a clock, a file, a socket or the environment, nothing logs, and nothing knows
Kopf, HTTP or the Kubernetes client.

Several threads may decide at the same time on the same injections and namespaces: these never
change, and what is cached with them depends on them alone, so a race at most repeats work.
"""
