"""Whether an injection's parts can be added to a pod, and which of them the pod has already.

The author's parts are compared first, and only then what other injections added: on a second call
all of the latter are there, on the first call only the earlier ones were, and both calls must give
the same reason.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from sidecar_injector.core import patch
from sidecar_injector.core.injections import model
from sidecar_injector.core.merging import (
    additions,
    container_additions,
    container_union,
    defaults,
    ports,
)
from sidecar_injector.core.merging.claims import Claims
from sidecar_injector.core.merging.render import Json, Parts
from sidecar_injector.core.merging.status_annotation import Entry, ItemKey, RecordsByPath
from sidecar_injector.core.pods import fields as pod_fields
from sidecar_injector.core.pods import references
from sidecar_injector.core.reasons import Conflict, Reason

PROBES = frozenset({"livenessProbe", "readinessProbe", "startupProbe"})
"""What `kubectl debug --copy-to` takes out of containers."""


class Fit:
    """Compares the parts of one injection with the contents of one pod.

    `claims` are those of the pod's annotation and of what this pass has added so far;
    `host_network` is what the author wrote. `wishes` are the items that the injections before this
    one want and that an earlier call added: a part that is wanted alike is shared, even if others
    changed it since.
    """

    def __init__(
        self,
        parts: Parts,
        *,
        pod: Mapping[str, Any],
        claims: Claims,
        injection: model.Injection,
        host_network: bool,
        wishes: Mapping[str, Any],
        settled: Iterable[Collection[ItemKey]],
    ) -> None:
        self.pod = pod
        self.parts = parts
        self.host_network = host_network
        self.wanted = (("initContainers", parts.init_containers), ("containers", parts.containers))
        self.own_entry = claims.entry(injection.identity)
        self.other_entries = [entry for entry in claims.entries if entry is not self.own_entry]
        self._claims = claims
        self._wishes = wishes
        self.placement: Mapping[str, str] = injection.spec.get("placement") or {}
        self.containers = {
            container["name"]: (field, index, container)
            for field in pod_fields.CONTAINER_LISTS
            for index, container in enumerate(pod_fields.items(pod, field))
        }
        self.members = [
            (field, wanted, pod_fields.metadata_map(pod, field))
            for field, wanted in (("labels", parts.labels), ("annotations", parts.annotations))
        ]
        """Labels and annotations, each with what is wanted and what the pod has."""
        self.volumes = {volume["name"]: volume for volume in pod_fields.items(pod, "volumes")}
        self.is_current = bool(self.own_entry and self.own_entry.hash == injection.hash)

        unions, self.differing = self._differing(merges=injection.spec.get("onConflict") == "Merge")
        self.additions: tuple[additions.Addition, ...] = (*parts.additions, *unions)
        self.unsettled = self._unsettled(settled)
        """The additions without what an earlier call added, whatever it has become."""
        self.needed_volumes = self._needed_volumes()
        self.left_out = parts.left_out
        """The paths of what the pod does not get although it is wanted."""
        if self.additions:
            of_additions = (path for addition in self.additions for path in addition.left_out)
            self.left_out = (*parts.left_out, *of_additions)

    @functools.cached_property
    def records(self) -> RecordsByPath:
        """The records of other injections."""
        return self._claims.records_of_others(self.own_entry)

    def container_owner(self, name: str) -> Entry | None:
        """Which other injection added a container; the first claim counts."""
        return self._other(self._claims.containers.get(name, ()))

    def volume_owner(self, name: str) -> Entry | None:
        """Which other injection added a volume; the first claim counts."""
        return self._other(self._claims.volumes.get(name, ()))

    def _other(self, claimants: Iterable[Entry]) -> Entry | None:
        return next((entry for entry in claimants if entry is not self.own_entry), None)

    def is_claimed(self, name: str) -> bool:
        """Whether any injection added the container."""
        return name in self._claims.containers

    @functools.cached_property
    def lacking(self) -> Sequence[tuple[str, Json]]:
        """The wanted containers that the pod does not have, each with its list."""
        present = self.containers
        return [
            (field, container)
            for field, wanted in self.wanted
            for container in wanted
            if container["name"] not in present
        ]

    @property
    def lacks_everything(self) -> bool:
        """Whether the pod has no part at all; False if some are additions, which may be there."""
        names = self.parts.names
        return (
            not self.additions
            and len(self.needed_volumes) == len(self.parts.volumes)
            and self.volumes.keys().isdisjoint(names["volumes"])
            and self.containers.keys().isdisjoint(names["containers"])
            and self.containers.keys().isdisjoint(names["initContainers"])
            and all(present.keys().isdisjoint(wanted) for _, wanted, present in self.members)
        )

    def has_container(self, field: str, wanted: Json) -> bool:
        """Whether the pod's container of that name has all that the wanted one sets."""
        placed_field, _, container = self.containers[wanted["name"]]
        if self.host_network:
            container = pod_fields.with_host_ports(container)
        return placed_field == field and defaults.contains(container, wanted, defaults.CONTAINER)

    def shares_container(self, field: str, wanted: Json) -> bool:
        """Whether another injection's container of that name has all that the wanted one sets."""
        wish = self._wishes.get(patch.pointer(("spec", field, wanted["name"])))
        return self.has_container(field, wanted) or (
            wish is not None and defaults.contains(wish, wanted, defaults.CONTAINER)
        )

    def has_volume(self, wanted: Json) -> bool:
        """Whether the pod's volume of that name is the wanted one, or has become of it."""
        name = wanted["name"]
        if self._is_own(name, ("volumes",)) or defaults.same_volume(self.volumes[name], wanted):
            return True
        wish = self._wishes.get(patch.pointer(("spec", "volumes", name)))
        return wish is not None and defaults.same_volume(wish, wanted)

    def _differing(self, *, merges: bool) -> tuple[list[container_union.Union], list[str]]:
        """The author's containers that have the name of a wanted container but differ from it.

        Returns first those that can be merged with the wanted one, then the names of those that
        cannot, which are conflicts.
        """
        unions, names = [], []
        for field, wanted in self.wanted:
            for container in wanted:
                name = container["name"]
                if name not in self.containers or self.container_owner(name):
                    continue
                if self.has_container(field, container) or self.is_own_container(name):
                    continue
                union = None
                if merges and self._can_merge(field, container):
                    union = self._union(field, container)
                if union:
                    unions.append(union)
                elif not self._is_copy(field, container):
                    names.append(name)
        return unions, names

    def _union(self, field: str, wanted: Json) -> container_union.Union | None:
        """What is merged; None if a part of it refers to a variable that is left out."""
        _, index, container = self.containers[wanted["name"]]
        target = container_additions.Target(field, index, wanted["name"])
        variables, left_out = container_additions.without_uncertain(
            wanted.get("env") or (), container, target, self._claims
        )
        if not left_out:
            return container_union.Union(target, wanted)
        kept = {variable["name"] for variable in variables}
        needed = references.of_items(wanted.get("volumeMounts") or (), "subPathExpr")
        needed |= references.of_items(variables, "value")
        if any(variable["name"] in needed - kept for variable in wanted["env"]):
            return None
        return container_union.Union(target, {**wanted, "env": list(variables)}, left_out=left_out)

    def is_own_container(self, name: str) -> bool:
        """Whether this injection added the container; others may have changed all of it since."""
        return self._is_own(name, pod_fields.CONTAINER_LISTS)

    def _is_own(self, name: str, fields: Iterable[str]) -> bool:
        entry = self.own_entry if self.is_current else None
        return entry is not None and any(name in entry.names(field) for field in fields)

    def _is_copy(self, field: str, wanted: Json) -> bool:
        """Whether the container is the wanted one without its probes.

        `kubectl debug --copy-to` also drops the annotation that says whose the container is.
        """
        container = self.containers[wanted["name"]][2]
        dropped = [probe for probe in PROBES if not container.get(probe)]
        rest = {key: value for key, value in wanted.items() if key not in dropped}
        return len(rest) < len(wanted) and self.has_container(field, rest)

    def _unsettled(self, settled: Iterable[Collection[ItemKey]]) -> tuple[additions.Addition, ...]:
        unsettled = self.additions
        for keys in settled:
            if keys and unsettled:
                rest = (addition.unsettled(self.pod, keys) for addition in unsettled)
                unsettled = tuple(addition for addition in rest if addition)
        return unsettled

    def _can_merge(self, field: str, wanted: Json) -> bool:
        """Whether both are of one kind: in the same list, and both native sidecars or neither."""
        placed_field, _, container = self.containers[wanted["name"]]
        policies = {container.get("restartPolicy"), wanted.get("restartPolicy")}
        # Among the main containers a policy makes no native sidecar.
        same_kind = field == "containers" or len(policies) == 1
        return placed_field == field and same_kind

    def _needed_volumes(self) -> Sequence[Json]:
        """The template's volumes that this injection or the author mounts.

        A volume that only another injection mounts must be in the template of that injection.
        """
        if not self.parts.unmounted:
            return self.parts.volumes
        unmounted = self.parts.unmounted.difference(self._mounted_by_author())
        unmounted -= {name for addition in self.unsettled for _, name in addition.mounts}
        return [volume for volume in self.parts.volumes if volume["name"] not in unmounted]

    def _mounted_by_author(self) -> Iterator[str]:
        """The volumes that the author's containers mount, without what other injections added."""
        for field in pod_fields.CONTAINER_LISTS:
            for container in pod_fields.items(self.pod, field):
                name = container["name"]
                if self.container_owner(name):
                    continue
                for mount in container.get("volumeMounts") or ():
                    path = ("spec", field, name, "volumeMounts", mount.get("mountPath") or "")
                    if patch.pointer(path) not in self.records:
                        yield mount["name"]
                yield from (device["name"] for device in container.get("volumeDevices") or ())


def is_outdated(fit: Fit) -> bool:
    """Whether parts of another template are in the pod, by the names in the annotation."""
    if fit.own_entry is None or fit.is_current:
        return False
    containers = fit.own_entry.names("containers") + fit.own_entry.names("initContainers")
    if containers:
        return any(name in fit.containers for name in containers)
    return any(name in fit.volumes for name in fit.own_entry.names("volumes"))


def missing_parts(fit: Fit) -> Parts:
    """The parts that the pod lacks; a container that another injection added counts as present."""
    if fit.lacks_everything:
        return fit.parts
    lacking = (addition.missing(fit.pod) for addition in fit.unsettled)
    labels, annotations = (
        {key: value for key, value in wanted.items() if key not in present}
        for _, wanted, present in fit.members
    )
    return Parts(
        mode=fit.parts.mode,
        precomputed=fit.parts.precomputed,
        containers=_absent(fit.parts.containers, fit.containers),
        init_containers=_absent(fit.parts.init_containers, fit.containers),
        volumes=_absent(fit.needed_volumes, fit.volumes),
        labels=labels,
        annotations=annotations,
        additions=tuple(addition for addition in lacking if addition),
        left_out=fit.left_out,
    )


def preserved_paths(fit: Fit) -> list[str]:
    """The paths at which the pod keeps its own value and not the template's."""
    paths = [
        patch.pointer(("metadata", field, key))
        for field, wanted, present in fit.members
        for key, value in wanted.items()
        if present.get(key, value) != value
    ]
    paths += (path for addition in fit.additions for path in addition.preserved_paths(fit.pod))
    return paths


def conflicts_with_author(fit: Fit) -> Iterator[Conflict]:
    """Parts of the pod's author that conflict with the wanted parts."""
    for name in fit.differing:
        yield Conflict(Reason.CONTAINER_CONFLICT, repr(name))
    for volume in fit.needed_volumes:
        name = volume["name"]
        if name in fit.volumes and not fit.volume_owner(name) and not fit.has_volume(volume):
            yield Conflict(Reason.VOLUME_CONFLICT, repr(name))
    for part, name in _undefined_mounts(fit):
        yield Conflict(Reason.MISSING_VOLUME, f"{part} mounts {name!r}")
    for port, name, holder in ports.taken(fit):
        if not fit.container_owner(holder):
            message = f"{port[0]} {port[1]} of {name!r} is used by {holder!r}"
            yield Conflict(Reason.PORT_CONFLICT, message)
    for port_name, name, holder in ports.redirected(fit):
        message = f"the name {port_name!r} would mean {name!r} and no longer {holder!r}"
        yield Conflict(Reason.PORT_CONFLICT, message)
    for addition in fit.unsettled:
        yield from addition.conflicts_with_author(fit.pod, fit.records)
    if fit.left_out and not _wants_anything_else(fit):
        yield Conflict(Reason.ENV_CONFLICT, f"{fit.left_out[0]} may come from envFrom")


def _wants_anything_else(fit: Fit) -> bool:
    """Whether something is wanted besides what is left out."""
    parts = fit.parts
    wanted = (parts.containers, parts.init_containers, parts.labels, parts.annotations)
    return any(wanted) or bool(fit.needed_volumes) or any(each.paths for each in fit.additions)


def conflicts_with_injections(fit: Fit) -> Iterator[Conflict]:
    """Parts of other injections that conflict with the wanted parts."""
    if not fit.other_entries:
        return
    for field, wanted in fit.wanted:
        for container in wanted:
            name = container["name"]
            owner = fit.container_owner(name) if name in fit.containers else None
            if owner and not (fit.is_own_container(name) or fit.shares_container(field, container)):
                yield additions.belongs_to(repr(name), owner)
    for volume in fit.needed_volumes:
        name = volume["name"]
        owner = fit.volume_owner(name) if name in fit.volumes else None
        if owner and not fit.has_volume(volume):
            yield additions.belongs_to(f"volume {name!r}", owner)
    for port, _, holder in ports.taken(fit):
        if owner := fit.container_owner(holder):
            yield additions.belongs_to(f"{port[0]} {port[1]}", owner)
    yield from _differing_members(fit)
    for addition in fit.unsettled:
        yield from addition.conflicts_with_injections(fit.pod, fit.records)


def _differing_members(fit: Fit) -> Iterator[Conflict]:
    """Labels and annotations that another injection added with another value."""
    for field, wanted, present in fit.members:
        differing = {key for key, value in wanted.items() if present.get(key, value) != value}
        for entry in fit.other_entries if differing else ():
            for key, value in entry.members(field).items():
                if key in differing and present[key] == value:
                    yield additions.belongs_to(f"metadata.{field}[{key}]", entry)


def _undefined_mounts(fit: Fit) -> Iterator[tuple[str, str]]:
    """What mounts a volume that neither the template nor the author defines, and the volume.

    A container that is there already is left out: what it mounts is its own affair.
    """
    in_template = set(fit.parts.names["volumes"])
    of_containers = (
        (f"container {container!r}", name)
        for container, name in fit.parts.foreign_mounts
        if container not in fit.containers
    )
    of_additions = (mount for addition in fit.unsettled for mount in addition.mounts)
    for part, name in itertools.chain(of_containers, of_additions):
        if name not in in_template and (name not in fit.volumes or fit.volume_owner(name)):
            yield part, name


def _absent(wanted: Iterable[Json], present: Mapping[str, Any]) -> tuple[Json, ...]:
    return tuple(part for part in wanted if part["name"] not in present)
