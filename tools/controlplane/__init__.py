"""A real Kubernetes control plane on loopback, and the operator running against it.

`binaries` builds and caches the programs, `cluster` starts and stops them, `operators` runs the
operator as an installed Deployment says, `balancer` is in the place of the Service, `release` and
`webhook` have what its users and the API server send.
Here belongs what tests, demo and benchmarks share to use a real API server. Not here: checks of
the product's behaviour (tests/controlplane), nodes that run containers (tools/node).
"""
