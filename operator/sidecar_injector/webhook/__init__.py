"""The webhooks: admission requests in, admission responses out.

`mutate` answers for pods and `validate` for our own kinds; `server` starts and drains the port,
`readiness` and `admin` say whether this replica can answer. `cluster_state` is what the informers
report, compiled for decisions. `response` calls `core.decide`, which alone decides; the HTTP
protocol is in `httpserver`.
"""
