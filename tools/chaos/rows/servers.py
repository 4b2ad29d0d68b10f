"""Faults of the API server and of etcd, and pods as large as they can be."""

from __future__ import annotations

import contextlib
import functools
import time
from http import HTTPStatus
from typing import Final

from tools.chaos import cluster, load, run, samples
from tools.controlplane import release, waiting

PAUSED_SECONDS: Final = 10
PATIENT_SECONDS: Final = 3
"""The API server would wait a minute for watches to end, and they do not."""
UP_SECONDS: Final = 90
READYZ: Final = "/readyz?exclude=poststarthook/rbac/bootstrap-roles"
"""It checks its RBAC rules one by one, under load for minutes, and serves meanwhile."""
SETTLE_SECONDS: Final = 1.0
"""An API server that is ready has read everything by then."""
VARIABLES: Final = 29
VARIABLE_BYTES: Final = 100_000


def apiserver(row: run.Run) -> None:
    """A restart; meanwhile an injection is deleted through the other API server."""
    server = row.cluster.plane.apiserver
    for number in row.rounds():
        name = _create(row, number)
        down = time.monotonic()
        server.terminate(seconds=PATIENT_SECONDS)
        row.cluster.second.client.request("DELETE", _path(name))
        server.start()
        wait_serving(row)
        _recovered(row, name, down=down)
    _stay_deleted(row)


def etcd(row: run.Run) -> None:
    """Frozen; an injection is deleted as soon as it continues."""
    plane = row.cluster.plane
    for number in row.rounds():
        name = _create(row, number)
        down = time.monotonic()
        plane.etcd.freeze()
        try:
            time.sleep(PAUSED_SECONDS)
        finally:
            plane.etcd.thaw()
        wait_serving(row)
        waiting.until(
            functools.partial(plane.client.request, "DELETE", _path(name)),
            what=f"{name} can be deleted",
        )
        _recovered(row, name, down=down)
    _stay_deleted(row)


def big(row: run.Run) -> None:
    """Pods of 2.9 MB, more than etcd takes, so only as dry runs; each API server in turn."""
    path = f"{release.pods(cluster.NAMESPACE)}?dryRun=All"
    pod = load.pod()
    pod["spec"]["containers"][0]["env"] = [
        {"name": f"VARIABLE_{number}", "value": "x" * VARIABLE_BYTES} for number in range(VARIABLES)
    ]
    with contextlib.ExitStack() as exits:
        creators = [load.Creator(server, path) for server in row.cluster.servers]
        for creator in creators:
            exits.enter_context(contextlib.closing(creator))
        for number in row.rounds():
            sample = creators[number % len(creators)].create(pod)
            injected = sample.outcome is samples.Outcome.INJECTED
            row.require(injected, f"a big pod is {sample.outcome.value}: {sample.detail}")
            row.repairs.append(sample.ended - sample.began)


def _create(row: run.Run, number: int) -> str:
    """The name of a new injection that every replica knows."""
    name = f"{row.row.name}-{number}"
    row.cluster.create_injection(cluster.PASSING, name)
    row.cluster.wait_known(name, known=True)
    return name


def wait_serving(row: run.Run) -> None:
    """Return when the API server that was restarted serves again."""
    waiting.until(
        lambda: row.cluster.plane.client.text("GET", READYZ)[0] == HTTPStatus.OK,
        what="the API server serves again", seconds=UP_SECONDS,
    )  # fmt: skip


def _recovered(row: run.Run, name: str, *, down: float) -> None:
    up = time.monotonic()
    row.excuse(down, up + SETTLE_SECONDS)
    row.repairs.append(row.cluster.wait_known(name, known=False) - up)


def _stay_deleted(row: run.Run) -> None:
    for number in range(row.times):
        row.cluster.wait_known(f"{row.row.name}-{number}", known=False)


def _path(name: str) -> str:
    return f"{release.injections(cluster.PASSING)}/{name}"
