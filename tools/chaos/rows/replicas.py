"""Replicas that freeze, end, start without certificates, or have a wrong clock."""

from __future__ import annotations

import time
from typing import Final

from tools import thirdparty
from tools.chaos import cluster, run, samples
from tools.chaos.rows import certificates
from tools.controlplane import waiting

FROZEN_SECONDS: Final = 10
INJECTED_SECONDS: Final = 60
ROTATIONS: Final = 3
OFFSETS: Final = ("+30m", "-30m")


def freeze(row: run.Run) -> None:
    """SIGSTOP for a while: connections stay open and nothing answers on them."""
    servers = row.cluster
    for number in row.rounds(every=FROZEN_SECONDS + 2):
        victim = number % cluster.REPLICAS
        replica = servers.replicas[victim]
        begun = time.monotonic()
        replica.freeze()
        try:
            unready = servers.wait_unready(victim)
            kept = servers.balancer.open_connections(replica.backend)
            row.excuse(begun, unready, hung=kept)
            time.sleep(max(begun + FROZEN_SECONDS - time.monotonic(), 0))
        finally:
            replica.thaw()
        servers.wait_ready()


def cold(row: run.Run) -> None:
    """All replicas die and the Secret is deleted: no CA is left that the API servers trust."""
    servers = row.cluster
    for _ in row.rounds():
        servers.stop()
        _wait_balancer(row, ready=False)
        servers.damage(None)
        for number in range(cluster.REPLICAS):
            servers.start(number)
        _wait_balancer(row, ready=True)
        ready = time.monotonic()
        row.repairs.append(_first_injected(row, since=ready) - ready)
        servers.wait_ready()


def restart(row: run.Run) -> None:
    """SIGTERM and a new start, one after the other."""
    for _ in row.rounds():
        for number, replica in enumerate(row.cluster.replicas):
            begun = time.monotonic()
            status = replica.terminate(seconds=cluster.READY_SECONDS)
            row.require(status == 0, f"{replica.name} ended with status {status}")
            row.cluster.start(number)
            row.cluster.wait_ready()
            row.repairs.append(time.monotonic() - begun)


def clock(row: run.Run) -> None:
    """One replica half an hour ahead, then behind; any replica may rotate the leaves."""
    library = str(thirdparty.libfaketime())
    for number in row.rounds():
        _restart(row, LD_PRELOAD=library, FAKETIME=OFFSETS[number % len(OFFSETS)],
                 FAKETIME_DONT_FAKE_MONOTONIC="1")  # fmt: skip
        for _ in range(ROTATIONS):
            certificates.rotate_leaf(row)
        _restart(row)


def _first_injected(row: run.Run, *, since: float) -> float:
    return row.load.wait(
        "an injected pod",
        lambda sample: sample.ended >= since and sample.outcome is samples.Outcome.INJECTED,
        seconds=INJECTED_SECONDS,
    ).ended


def _restart(row: run.Run, **environment: str) -> None:
    row.cluster.replicas[0].terminate()
    row.cluster.start(0, **environment)
    row.cluster.wait_ready()


def _wait_balancer(row: run.Run, *, ready: bool) -> None:
    waiting.until(
        lambda: bool(row.cluster.balancer.ready) is ready,
        what=f"{'a' if ready else 'no'} replica is ready",
        seconds=cluster.READY_SECONDS, pause=0.005,
    )  # fmt: skip
