"""The table: which faults, how often, and what is accepted of each."""

from __future__ import annotations

import functools
from typing import Final

from tools.chaos.rows import bundle, certificates, dead, race, replicas, secret, servers
from tools.chaos.run import Row

ROWS: Final = (
    Row(
        name="leaf", title="leaf rotation, 3 replicas",
        times=100, quick=5, play=certificates.leaf, below=1.0,
    ),
    Row(
        name="roll", title="CA roll, one API server 2 s late, one replica 1.5 s late",
        times=20, quick=1, play=certificates.roll, settings=certificates.SHORT,
    ),
    Row(
        name="kill", title="SIGKILL of a replica at each step of a CA roll in turn",
        times=25, quick=1, play=certificates.kill, settings=certificates.SHORT,
    ),
    Row(
        name="freeze", title="a replica frozen (SIGSTOP) for 10 s",
        times=10, quick=1, play=replicas.freeze,
    ),
    Row(
        name="wipe", title="caBundle wiped, rubbish, another CA; half with one replica frozen",
        times=50, quick=4, play=bundle.wipe, below=1.0,
    ),
    Row(
        name="fight", title="a bot that rewrites the bundle every second (times are seconds)",
        times=120, quick=16, play=bundle.fight, reported=True, spoils=True,
    ),
    *(
        Row(
            name=damage.__name__, title=f"Secret {title}",
            times=20, quick=1, play=functools.partial(secret.repaired, damage), below=2.0,
        )
        for title, damage in (
            ("deleted", secret.deleted),
            ("emptied", secret.emptied),
            ("with a swapped key", secret.swapped),
            ("with a truncated PEM", secret.truncated),
            ("restored from an older backup", secret.older),
        )
    ),
    Row(
        name="cold", title="cold: Secret deleted and all replicas restarted",
        times=10, quick=1, play=replicas.cold, below=5.0, reported=True,
    ),
    Row(
        name="race", title="20 replicas starting at once on nothing",
        times=5, quick=1, play=race.race, below=5.0, per_second=0, spoils=True,
    ),
    Row(
        name="restart", title="rolling restart of all replicas (SIGTERM, one by one)",
        times=10, quick=1, play=replicas.restart,
    ),
    Row(
        name="dead", title="all replicas dead (times are seconds), injections compiled to a policy",
        times=60, quick=6, play=dead.dead, below=3.0, outage=True,
    ),
    Row(
        name="apiserver", title="API server restarted",
        times=5, quick=1, play=servers.apiserver, below=5.0, outage=True,
    ),
    Row(
        name="etcd", title="etcd paused for 10 s",
        times=5, quick=1, play=servers.etcd, below=5.0, outage=True,
    ),
    Row(
        name="clock", title="clock of one replica 30 min ahead, 30 min behind (libfaketime)",
        times=2, quick=1, play=replicas.clock,
    ),
    Row(
        name="big", title="pods of 2.9 MB (dry run)",
        # Each costs the servers as much as a hundred others.
        times=20, quick=2, play=servers.big, per_second=10,
    ),
)  # fmt: skip
