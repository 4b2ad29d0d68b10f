"""A Kubernetes operator that puts sidecar containers into pods.

Imports go one way: `cli` > `app` > `handlers` > `server` > `kube` | `observe` > `pki` > `core` >
`settings` | `names`. Importing a module registers, reads and starts nothing.
"""

__version__ = "0.1.0"
