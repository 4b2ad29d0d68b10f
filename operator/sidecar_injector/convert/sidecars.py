"""The containers of a SidecarSet, each of which says for itself what an injection says once."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from sidecar_injector.convert import findings, fitting, injection, sources

Json = dict[str, Any]
OWN_FIELDS = (
    "podInjectPolicy", "upgradeStrategy", "shareVolumePolicy", "shareVolumeDevicePolicy",
    "transferEnv", "resourcesPolicy",
)  # fmt: skip
"""What a SidecarSet's container has besides what every container has."""
BEFORE, AFTER = "BeforeAppContainer", "AfterAppContainer"
PLACES = {BEFORE: "First", AFTER: "Last"}
DEFAULT_PLACE = {"containers": "First", "initContainers": "Last"}


@dataclasses.dataclass(slots=True)
class Part:
    """Sidecars whose settings agree, and so fit into one injection."""

    inherit: Json
    placement: dict[str, str] = dataclasses.field(default_factory=dict)
    pod_spec: Json = dataclasses.field(default_factory=dict)

    def takes(self, field: str, place: str, inherit: Json) -> bool:
        """Whether a sidecar of those settings fits in."""
        return inherit == self.inherit and place == self.placement.get(field, place)

    def mounted(self) -> set[str]:
        """The volumes that its containers mount or use as devices."""
        return {
            one["name"]
            for container in injection.containers(self.pod_spec)
            for field in ("volumeMounts", "volumeDevices")
            for one in container.get(field) or ()
        }


def split(
    spec: Mapping[str, Any], *, target: injection.Target, spot: findings.Location
) -> list[Part]:
    """The sidecars in as few parts as their settings need, at least one, in their order.

    Volumes are in each part that mounts them, in the first one if none does.
    """
    parts: list[Part] = []
    for field, container, place, inherit in _sidecars(spec, target=target, spot=spot):
        part = next((one for one in parts if one.takes(field, place, inherit)), None)
        if part is None:
            part = Part(inherit)
            parts.append(part)
        part.placement[field] = place
        part.pod_spec.setdefault(field, []).append(container)
    if len(parts) > 1:
        spot.member("containers").warn(
            f"they differ in podInjectPolicy, shareVolumePolicy or transferEnv, which an injection"
            f" has once: they became {len(parts)} injections, each applied by itself"
        )
    parts = parts or [Part({})]
    mounted = set[str]().union(*(part.mounted() for part in parts))
    shared = injection.pod_parts(target, ("volumes", "imagePullSecrets"), spec, spot)
    for index, part in enumerate(parts):
        volumes = [
            one
            for one in shared.get("volumes", ())
            if one["name"] in part.mounted() or (not index and one["name"] not in mounted)
        ]
        part.pod_spec |= injection.present(
            volumes=volumes, imagePullSecrets=shared.get("imagePullSecrets")
        )
    return parts


def _sidecars(
    spec: Mapping[str, Any], *, target: injection.Target, spot: findings.Location
) -> Iterator[tuple[str, Json, str, Json]]:
    """List, container, place and what it inherits."""
    plain: Json = {}
    settings: dict[tuple[str, object], tuple[str, Json]] = {}
    for field in injection.CONTAINER_LISTS:
        plain[field] = spec.get(field)
        if isinstance(spec.get(field), list):
            plain[field] = [_without_own(item) for item in spec[field]]
        for index, item in enumerate(sources.sequence(spec.get(field))):
            own = sources.mapping(item)
            where = spot.member(field).item(index)
            said = _place(field, own, where), _inherit(own, target=target, spot=where)
            settings.setdefault((field, str(own.get("name"))), said)
            _warn_of_own(own, where)

    fitted = injection.pod_parts(target, injection.CONTAINER_LISTS, plain, spot)
    # They are injected in the order of their names, whatever the order in which they are written.
    if "initContainers" in fitted:
        fitted["initContainers"] = sorted(fitted["initContainers"], key=lambda one: one["name"])
    for field in injection.CONTAINER_LISTS:
        for container in fitted.get(field, ()):
            place, inherit = settings.get(
                (field, container["name"]), (DEFAULT_PLACE[field], dict[str, Any]())
            )
            yield field, container, place, inherit


def _without_own(item: Any) -> Any:
    if not isinstance(item, dict):
        return item
    return {key: value for key, value in item.items() if key not in OWN_FIELDS}


def _place(field: str, own: Json, spot: findings.Location) -> str:
    policy = own.get("podInjectPolicy") or ""
    if isinstance(policy, str) and policy in PLACES:
        return PLACES[policy]
    if policy:
        spot.member("podInjectPolicy").warn(
            f"is left out: {policy!r} is unknown; known are {' and '.join(PLACES)}"
        )
    return DEFAULT_PLACE[field]


def _inherit(own: Json, *, target: injection.Target, spot: findings.Location) -> Json:
    where = spot.member("shareVolumePolicy")
    shares = fitting.mapping(own.get("shareVolumePolicy"), where).get("type") == "enabled"
    where = spot.member("transferEnv")
    wanted = [
        variable
        for item, at in fitting.items(own.get("transferEnv"), where)
        for variable in _transferred(item, at)
    ]
    env = fitting.fit(target.part("inherit", "env"), wanted, where)
    if env:
        where.note("a pod without one of these variables is not injected, with MissingValue")
    mounts = {"fromContainers": ["*"]} if shares else None
    return injection.present(volumeMounts=mounts, env=env)


def _transferred(item: Json, spot: findings.Location) -> list[Json]:
    if item.get("sourceContainerNameFrom"):
        spot.member("sourceContainerNameFrom").warn(
            "has no counterpart: only a container whose name is known can be asked"
        )
        return []
    found = [item.get("envName"), *sources.sequence(item.get("envNames"))]
    named = sorted({name for name in found if isinstance(name, str) and name})
    if not named:
        spot.warn("is left out: it names no variable")
    return [{"name": name, "fromContainer": item.get("sourceContainerName")} for name in named]


def _warn_of_own(own: Json, spot: findings.Location) -> None:
    if sources.mapping(own.get("upgradeStrategy")).get("upgradeType") == "HotUpgrade":
        spot.member("upgradeStrategy").warn(
            "has no counterpart: one container is injected and stays as it is"
        )
    if sources.mapping(own.get("shareVolumeDevicePolicy")).get("type") == "enabled":
        spot.member("shareVolumeDevicePolicy").warn("has no counterpart: only mounts are shared")
    if own.get("resourcesPolicy"):
        spot.member("resourcesPolicy").warn(
            "has no counterpart: give resources, or take them from the pod by parameters"
        )
