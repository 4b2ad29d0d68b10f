"""What happens to the API server and its store, and pods as large as they can be."""

from __future__ import annotations

import time
from http import HTTPStatus
from typing import Any, Final

from tools.chaos import load, samples, scene, stage
from tools.controlplane import waiting

PAUSED_SECONDS: Final = 10
PATIENT_SECONDS: Final = 3
"""It would wait a minute for watches to end, which do not."""
UP_SECONDS: Final = 90
READYZ: Final = "/readyz?exclude=poststarthook/rbac/bootstrap-roles"
"""It checks its RBAC rules one by one, under load for minutes, and serves meanwhile."""
SETTLE_SECONDS: Final = 1.0
"""An API server that says it is ready has heard of everything by then."""
VARIABLES: Final = 29
VARIABLE_BYTES: Final = 100_000


def apiserver(scene: scene.Scene) -> None:
    """Restarted; an injection is deleted, through the other one, while the replicas are deaf."""
    place = scene.stage
    for number in scene.rounds():
        name = _passing(scene, number)
        down = time.monotonic()
        place.plane.apiserver.terminate(seconds=PATIENT_SECONDS)
        place.second.client.request("DELETE", _path(name))
        place.plane.apiserver.start()
        _wait_serving(scene)
        _recovered(scene, name, down=down, up=time.monotonic())
    _stay_deleted(scene)


def etcd(scene: scene.Scene) -> None:
    """Frozen; an injection is deleted as soon as it goes on."""
    place = scene.stage
    for number in scene.rounds():
        name = _passing(scene, number)
        down = time.monotonic()
        place.plane.etcd.freeze()
        try:
            time.sleep(PAUSED_SECONDS)  # the length of the fault
        finally:
            place.plane.etcd.thaw()
        _wait_serving(scene)
        _delete(scene, name)
        _recovered(scene, name, down=down, up=time.monotonic())
    _stay_deleted(scene)


def big(scene: scene.Scene) -> None:
    """Larger than etcd takes, so only as dry runs; each API server in turn."""
    place = scene.stage
    path = f"/api/v1/namespaces/{stage.NAMESPACE}/pods?dryRun=All"
    creators = [load.Creator(server, path) for server in place.servers]
    for number in scene.rounds():
        sample = creators[number % len(creators)].create(_big())
        injected = sample.outcome is samples.Outcome.INJECTED
        scene.require(injected, f"a big pod is {sample.outcome.value}: {sample.detail}")
        scene.repaired(sample.ended - sample.began)
    for creator in creators:
        creator.close()


def _passing(scene: scene.Scene, number: int) -> str:
    """An injection that everybody knows."""
    name = f"{scene.row.name}-{number}"
    stage.create_injection(scene.stage.plane.client, stage.PASSING, name)
    scene.stage.wait_known(name, known=True)
    return name


def _wait_serving(scene: scene.Scene) -> None:
    waiting.until(
        lambda: scene.stage.plane.client.text("GET", READYZ)[0] == HTTPStatus.OK,
        what="the API server serves again",
        seconds=UP_SECONDS,
    )


def _delete(scene: scene.Scene, name: str) -> None:
    waiting.until(
        lambda: scene.stage.plane.client.request("DELETE", _path(name)),
        what=f"{name} can be deleted",
    )


def _recovered(scene: scene.Scene, name: str, *, down: float, up: float) -> None:
    scene.excuse(down, up + SETTLE_SECONDS)
    scene.repaired(scene.stage.wait_known(name, known=False) - up)


def _stay_deleted(scene: scene.Scene) -> None:
    for number in range(scene.times):
        scene.stage.wait_known(f"{scene.row.name}-{number}", known=False)


def _path(name: str) -> str:
    return f"{stage.injections_path(stage.PASSING)}/{name}"


def _big() -> dict[str, Any]:
    """2.9 MB."""
    pod = load.pod()
    pod["spec"]["containers"][0]["env"] = [
        {"name": f"VARIABLE_{number}", "value": "x" * VARIABLE_BYTES} for number in range(VARIABLES)
    ]
    return pod
