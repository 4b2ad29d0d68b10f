"""The containers of a SidecarSet, whose settings an injection has once for all its containers."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from sidecar_injector.convert import findings, fitting, injection, sources
from sidecar_injector.core.pods import lenient

Json = dict[str, Any]
OWN_FIELDS = (
    "podInjectPolicy", "upgradeStrategy", "shareVolumePolicy", "shareVolumeDevicePolicy",
    "transferEnv", "resourcesPolicy",
)  # fmt: skip
"""What a SidecarSet's container has besides what every container has."""
MEMBERS = {
    "upgradeStrategy": ("upgradeType", "hotUpgradeEmptyImage"),
    "shareVolumePolicy": ("type",),
    "shareVolumeDevicePolicy": ("type",),
    "transferEnv": ("sourceContainerName", "sourceContainerNameFrom", "envName", "envNames"),
}
"""The fields within these."""
INJECTED_VARIABLE = "IS_INJECTED"
"""OpenKruise gives it to every container that it injects."""
BEFORE, AFTER = "BeforeAppContainer", "AfterAppContainer"
PLACES = {BEFORE: "First", AFTER: "Last"}
DEFAULT_PLACE = {"containers": "First", "initContainers": "Last"}


@dataclasses.dataclass(slots=True)
class SidecarGroup:
    """Sidecars with the same settings, which fit into one injection."""

    inherit: Json
    placement: dict[str, str] = dataclasses.field(default_factory=dict)
    pod_spec: Json = dataclasses.field(default_factory=dict)

    def takes(self, field: str, place: str, inherit: Json) -> bool:
        """Whether a sidecar with these settings fits in."""
        return inherit == self.inherit and place == self.placement.get(field, place)

    def mounted(self) -> set[str]:
        """The volumes that its containers mount or use as devices."""
        return {
            mount["name"]
            for container in injection.containers(self.pod_spec)
            for field in ("volumeMounts", "volumeDevices")
            for mount in container.get(field) or ()
        }


def split(spec: Mapping[str, Any], location: findings.Location) -> list[SidecarGroup]:
    """The sidecars in few groups, at least one; injected one after the other they keep their order.

    A volume is in each group that mounts it, or else in the first.
    """
    groups = _in_order(_sidecars(spec, location))
    if len(groups) > 1:
        location.member("containers").warn(
            f"they differ in podInjectPolicy, shareVolumePolicy or transferEnv, which an injection"
            f" has once: they became {len(groups)} injections, each applied by itself"
        )
    mounted = set[str]().union(*(group.mounted() for group in groups))
    shared = injection.pod_parts(("volumes", "imagePullSecrets"), spec, location)
    for index, group in enumerate(groups):
        volumes = [
            volume
            for volume in shared.get("volumes", ())
            if volume["name"] in group.mounted() or (not index and volume["name"] not in mounted)
        ]
        group.pod_spec |= injection.present(
            volumes=volumes, imagePullSecrets=shared.get("imagePullSecrets")
        )
    return groups


def _in_order(sidecars: Iterable[tuple[str, Json, str, Json]]) -> list[SidecarGroup]:
    """The groups. Those of one list that are First come before those that are Last."""
    groups: list[SidecarGroup] = []
    last_index = dict.fromkeys(injection.CONTAINER_LISTS, 0)
    by_place = sorted(sidecars, key=lambda sidecar: list(PLACES.values()).index(sidecar[2]))
    for field, container, place, inherit in by_place:
        # A group in front of the last one of this list would put the container before others.
        candidates = range(last_index[field], len(groups))
        index = next((i for i in candidates if groups[i].takes(field, place, inherit)), len(groups))
        if index == len(groups):
            groups.append(SidecarGroup(inherit))
        groups[index].placement[field] = place
        groups[index].pod_spec.setdefault(field, []).append(container)
        last_index[field] = index
    return groups or [SidecarGroup({})]


def _sidecars(
    spec: Mapping[str, Any], location: findings.Location
) -> Iterator[tuple[str, Json, str, Json]]:
    """List, container, place and what it inherits, of each sidecar."""
    without_own: Json = {}
    settings: dict[tuple[str, object], tuple[str, Json]] = {}
    for field in injection.CONTAINER_LISTS:
        without_own[field] = spec.get(field)
        if isinstance(spec.get(field), list):
            without_own[field] = [_without_own(item) for item in spec[field]]
        for index, item in enumerate(lenient.items(spec, field)):
            own = sources.mapping(item)
            at = location.member(field).item(index)
            pair = _place(field, own, at), _inherit(own, at)
            settings.setdefault((field, str(own.get("name"))), pair)
            _warn_of_own(own, at)

    fitted = injection.pod_parts(injection.CONTAINER_LISTS, without_own, location)
    # The other injector adds them in the order of their names.
    if "initContainers" in fitted:
        fitted["initContainers"].sort(key=lambda container: container["name"])
    for field in injection.CONTAINER_LISTS:
        for container in fitted.get(field, ()):
            place, inherit = settings.get(
                (field, container["name"]), (DEFAULT_PLACE[field], dict[str, Any]())
            )
            yield field, container, place, inherit


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _without_own(item: Any) -> Any:
    if not isinstance(item, dict):
        return item
    return {key: value for key, value in item.items() if key not in OWN_FIELDS}


def _place(field: str, own: Json, location: findings.Location) -> str:
    policy = own.get("podInjectPolicy") or ""
    if isinstance(policy, str) and policy in PLACES:
        return PLACES[policy]
    if policy:
        location.member("podInjectPolicy").warn(
            f"is left out: {policy!r} is unknown; known are {' and '.join(PLACES)}"
        )
    return DEFAULT_PLACE[field]


def _inherit(own: Json, location: findings.Location) -> Json:
    policy = fitting.mapping(own.get("shareVolumePolicy"), location.member("shareVolumePolicy"))
    at = location.member("transferEnv")
    variables = [
        variable
        for item, place in fitting.items(own.get("transferEnv"), at)
        for variable in _transferred(item, place)
    ]
    env = fitting.fit(at.target.part("inherit", "env"), variables, at)
    if env:
        at.note("a pod without one of these variables is not injected, with MissingValue")
    mounts = {"fromContainers": ["*"]} if policy.get("type") == "enabled" else None
    if mounts:
        location.member("shareVolumePolicy").note(
            "a mount that may hold credentials is shared only if inherit.volumeMounts.credentials"
            " names it"
        )
    return injection.present(volumeMounts=mounts, env=env)


def _transferred(item: Json, location: findings.Location) -> list[Json]:
    if item.get("sourceContainerNameFrom"):
        location.member("sourceContainerNameFrom").warn(
            "has no counterpart: only a container whose name is known can be asked"
        )
        return []
    single = item.get("envName")
    candidates = {single if isinstance(single, str) else "", *lenient.strings(item, "envNames")}
    variables = sorted(candidates - {""})
    if not variables:
        location.warn("is left out: it names no variable")
    return [{"name": name, "fromContainer": item.get("sourceContainerName")} for name in variables]


def _warn_of_own(own: Json, location: findings.Location) -> None:
    for field, members in MEMBERS.items():
        for item in lenient.items({field: _listed(own.get(field))}, field):
            for member in sources.mapping(item).keys() - set(members):
                location.member(field).member(member).warn("is left out: the field is unknown")
    if any(INJECTED_VARIABLE in str(own.get(field)) for field in ("command", "args", "env")):
        location.warn(f"refers to the variable {INJECTED_VARIABLE}, which is not set here")
    if lenient.child(own, "upgradeStrategy").get("upgradeType") == "HotUpgrade":
        location.member("upgradeStrategy").warn(
            "has no counterpart: one container is injected and stays as it is"
        )
    if lenient.child(own, "shareVolumeDevicePolicy").get("type") == "enabled":
        location.member("shareVolumeDevicePolicy").warn(
            "has no counterpart: only mounts are shared"
        )
    if own.get("resourcesPolicy"):
        location.member("resourcesPolicy").warn(
            "has no counterpart: give resources, or take them from the pod by parameters"
        )
