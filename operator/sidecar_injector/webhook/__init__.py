"""The answers to the API server: admission requests in, admission responses out.

`mutate` answers for pods and `validate` for our own kinds; `server` starts and drains the port,
`readiness` and `admin` say whether this replica can answer. `cluster_state` is what the informers
know, compiled for decisions. The decision itself is in `core`, the HTTP protocol in `httpserver`.
"""
