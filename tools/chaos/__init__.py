"""`make chaos`: what becomes of pods while certificates, replicas and API servers are tormented.

`table` lists the rows, `rows_*` inflict the faults, `stage` has the servers that they are inflicted
on, `load` creates pods all the while, `samples` counts what became of these, `scene` is what a row
sees of it all, `report` prints. Here belongs what needs a real API server, time and violence. Not
here: tests of a single rule (tests/), starting the servers (tools.controlplane).
"""
