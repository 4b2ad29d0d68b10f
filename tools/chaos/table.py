"""The table: which faults, how often, and what is accepted of each."""

from __future__ import annotations

from typing import Final

from tools.chaos.rows import certificates
from tools.chaos.scene import Row

ROWS: Final = (
    Row(
        name="leaf",
        title="leaf rotation, 3 replicas",
        times=100,
        quick=5,
        run=certificates.leaf,
        below=1.0,
    ),
    Row(
        name="roll",
        title="CA roll, one API server 2 s late, one replica 1.5 s late",
        times=20,
        quick=1,
        run=certificates.roll,
        settings=certificates.SHORT,
    ),
    Row(
        name="kill",
        title="SIGKILL of a replica at a random step of a CA roll",
        times=25,
        quick=1,
        run=certificates.kill,
        settings=certificates.SHORT,
    ),
)
