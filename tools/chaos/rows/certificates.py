"""Requested rotations: of the leaf, of the CA, and of the CA while a replica dies."""

from __future__ import annotations

import time
from typing import Final

from sidecar_injector.pki import secret_data
from tools.chaos import cluster, run

BURST: Final = 5
"""More requests without a pause are answered once a minute."""
LEAF_SECONDS: Final = 30
"""Renewed with a third left: enough for a late replica on a machine that has others to serve."""
ROLL_WAIT_SECONDS: Final = 4
SHORT: Final = {"leaf_seconds": str(LEAF_SECONDS), "ca_roll_wait_seconds": str(ROLL_WAIT_SECONDS)}
"""A roll ends when the last leaf of the old CA has expired."""
SERVER_LATE_SECONDS: Final = 2.0
REPLICA_LATE_SECONDS: Final = 1.5
END_SECONDS: Final = LEAF_SECONDS + ROLL_WAIT_SECONDS + 30
STEPS: Final = ("asked", "staged", "announced", "waiting", "switched", "dropped")
MOMENT_SECONDS: Final = 0.3
"""A replica finishes a step in less: the death comes before, during or after it."""


def leaf(row: run.Run) -> None:
    """A new leaf, until every replica serves it."""
    for _ in row.rounds(every=0.5, burst=BURST):
        rotate_leaf(row)


def rotate_leaf(row: run.Run) -> None:
    """One rotation."""
    before = row.cluster.stored()
    moment = row.cluster.rotate("leaf")
    _, stored = row.cluster.wait_stored(
        "a new leaf", lambda now: now.leaf != before.leaf, since=moment
    )
    row.require(stored.ca == before.ca, "the CA has changed with the leaf")
    row.repairs.append(row.cluster.wait_served(stored.leaf.parsed()) - moment)


def roll(row: run.Run) -> None:
    """A new CA, while everything reaches one API server and one replica late."""
    server, replica = row.cluster.second.late, row.cluster.late_replica
    server.seconds, replica.seconds = SERVER_LATE_SECONDS, REPLICA_LATE_SECONDS
    try:
        for _ in row.rounds():
            before = row.cluster.stored()
            moment = row.cluster.rotate("ca")
            row.repairs.append(_wait_end(row, before, since=moment) - moment)
    finally:
        server.seconds = replica.seconds = 0


def kill(row: run.Run) -> None:
    """A new CA with nothing late, and one replica killed during each step in turn."""
    servers = row.cluster
    killed: list[str] = []
    steps = row.random.sample(STEPS, len(STEPS))
    for number in row.rounds():
        step, victim = steps[number % len(steps)], row.random.randrange(cluster.REPLICAS)
        before = servers.stored()
        moment = servers.rotate("ca")
        _wait_step(row, step, before=before, since=moment)
        death = time.monotonic()
        servers.replicas[victim].kill()
        row.excuse(death, servers.wait_unready(victim))
        servers.start(victim)
        servers.wait_ready()
        row.repairs.append(_wait_end(row, before, since=moment) - moment)
        killed.append(step)
    row.notes.append("killed " + ", ".join(f"{killed.count(step)} x {step}" for step in STEPS))


def _wait_end(row: run.Run, before: secret_data.CertificateSet, *, since: float) -> float:
    """The moment at which another CA is the only one, in the Secret and in the configuration."""
    written, stored = row.cluster.wait_stored(
        "the end of the roll",
        lambda now: now.ca != before.ca and now.next_ca is None and now.previous is None,
        since=since,
        seconds=END_SECONDS,
    )
    ca = stored.ca.certificate.decode()
    # The configuration may have it already when the Secret is written for the last time.
    trusted = row.cluster.wait_bundle(
        "the old CA is not trusted any more", lambda bundle: bundle == ca, since=since, seconds=30
    )
    return max(written, trusted)


def _wait_step(
    row: run.Run, step: str, *, before: secret_data.CertificateSet, since: float
) -> None:
    """Return at a random moment of this step of a roll."""
    in_secret = {
        "staged": lambda now: now.next_ca is not None,
        "switched": lambda now: now.ca != before.ca and now.previous is not None,
        "dropped": lambda now: now.ca != before.ca and now.previous is None,
    }
    if step in in_secret:
        row.cluster.wait_stored(step, in_secret[step], since=since, seconds=END_SECONDS)
    elif step in {"announced", "waiting"}:
        row.cluster.wait_bundle(
            step, lambda bundle: bundle.count("BEGIN CERTIFICATE") > 1,
            since=since, seconds=END_SECONDS,
        )  # fmt: skip
    time.sleep(row.random.uniform(0, ROLL_WAIT_SECONDS if step == "waiting" else MOMENT_SECONDS))
