"""A Kubernetes operator that puts sidecar containers into pods.

Imports go one way: `cli` > `app` > `runtime` > `controllers` > `webhook` > `httpserver` | `kube` >
`observability` > `pki` > `core` > `settings` | `names`; `convert` is between `cli` and `core`, and
`crds` contains data. Importing a module registers, reads and starts nothing.
"""

__version__ = "0.1.0"
