"""What people call a part of a pod, of which the status annotation has the path."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sidecar_injector.core import patch

_CONTAINERS: Final[Mapping[str, str]] = {
    "containers": "container",
    "initContainers": "init container",
}
_OF_CONTAINERS: Final[Mapping[str, str]] = {"volumeMounts": "mount", "volumeDevices": "device"}


def of_path(path: str) -> str:
    """`env REGION of container app` for `/spec/containers/app/env/REGION`."""
    steps = patch.steps_of(path)
    if len(steps) > 3 and steps[0] == "spec" and steps[1] in _CONTAINERS:
        owner = f"{_CONTAINERS[steps[1]]} {steps[2]}"
        # Text that is appended has the path of the variable's value.
        names = steps[4:5] if steps[3] == "env" else steps[4:]
        return " ".join((_OF_CONTAINERS.get(steps[3], steps[3]), *names, "of", owner))
    if len(steps) > 1 and steps[0] == "spec":
        return " ".join(steps[1:])
    return ".".join(steps)
