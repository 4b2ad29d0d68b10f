"""An injection's template as it would stand in one pod."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from sidecar_injector import names
from sidecar_injector.core import model

Json = dict[str, Any]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What an injection wants a pod to have. The dicts are shared: nobody changes them."""

    mode: str = "Container"
    containers: tuple[Json, ...] = ()
    init_containers: tuple[Json, ...] = ()
    """The template's own first, then its native sidecars."""
    volumes: tuple[Json, ...] = ()
    labels: Mapping[str, str] = dataclasses.field(default_factory=dict)
    annotations: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is wanted."""
        return not (
            self.containers
            or self.init_containers
            or self.volumes
            or self.labels
            or self.annotations
        )


def render(injection: model.Injection, pod: Mapping[str, Any]) -> Parts:
    """The parts for this pod."""
    spec, metadata = injection.template_spec, injection.template_metadata
    containers = tuple(spec.get("containers") or ())
    init_containers = tuple(spec.get("initContainers") or ())
    mode = mode_of(injection, pod)
    if mode == "Native":
        # https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/
        init_containers += tuple(
            {**one, "restartPolicy": names.CONTAINER_RESTART_ALWAYS} for one in containers
        )
        containers = ()
    return Parts(
        mode=mode,
        containers=containers,
        init_containers=init_containers,
        volumes=tuple(spec.get("volumes") or ()),
        labels=metadata.get("labels") or {},
        annotations=metadata.get("annotations") or {},
    )


def mode_of(injection: model.Injection, pod: Mapping[str, Any]) -> str:
    """`Native` or `Container`: Auto is native where the pod ends, so that the sidecar ends too."""
    mode = str(injection.spec.get("sidecarMode") or "Auto")
    if mode != "Auto":
        return mode
    restarts = (pod.get("spec") or {}).get("restartPolicy") or names.CONTAINER_RESTART_ALWAYS
    return "Container" if restarts == names.CONTAINER_RESTART_ALWAYS else "Native"


def mounted_volumes(containers: Iterator[Mapping[str, Any]]) -> Iterator[str]:
    """The names of the volumes that containers mount or use as block devices."""
    for container in containers:
        for field in ("volumeMounts", "volumeDevices"):
            for mount in container.get(field) or ():
                yield mount["name"]
