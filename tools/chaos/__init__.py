"""`make chaos`: what happens to pods while certificates, replicas and API servers fail.

`table` lists the rows and `rows` has their faults. `cluster` starts the servers, `load` creates
pods meanwhile, `samples` counts what happened to them, `run` plays one row, `report` prints. Here
belongs what needs a real API server and time. Not here: tests of a single rule (tests/), the start
of servers (tools.controlplane).
"""
