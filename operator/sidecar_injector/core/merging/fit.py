"""Whether an injection's parts can be added to a pod, and which of them are there already."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from sidecar_injector.core import patch
from sidecar_injector.core.merging import (
    additions,
    container_additions,
    container_union,
    defaults,
    render,
)
from sidecar_injector.core.merging.conflict import Conflict
from sidecar_injector.core.merging.render import Json, Parts
from sidecar_injector.core.merging.status_annotation import Entry, Provenance
from sidecar_injector.core.pods import fields as pod_fields
from sidecar_injector.core.reasons import Reason

REWRITTEN = ("image", "imagePullPolicy", "resources")
"""What other admission controllers are known to rewrite in containers that we added: registry
mirrors, AlwaysPullImages, vertical autoscalers. It does not make the container another's."""


class Fit:
    """One injection's parts, held against one pod.

    `said` is what the pod's annotation claims and what this pass has added so far, `host_network`
    what the author wrote; with `merges` a container of that name takes what it lacks. The author's
    items are judged first, and only then what other injections hold: on a second call all of those
    are there, on the first only the earlier ones were, and the answer must be the same.
    """

    def __init__(
        self,
        *,
        pod: Mapping[str, Any],
        parts: Parts,
        said: Provenance,
        identity: tuple[str, str],
        merges: bool,
        host_network: bool,
    ) -> None:
        self._pod = pod
        self._host_network = host_network
        self._parts = parts
        self._merges = merges
        self._wanted = (("initContainers", parts.init_containers), ("containers", parts.containers))
        self._own = said.entry(identity)
        self._others = [entry for entry in said.entries if entry.identity != identity]
        self._claims = _claims(self._others, pod_fields.CONTAINER_LISTS)
        self._volume_claims = _claims(self._others, ("volumes",))
        self._placed = {
            container["name"]: (field, container)
            for field in pod_fields.CONTAINER_LISTS
            for container in pod_fields.items(pod, field)
        }
        self._volumes = {volume["name"]: volume for volume in pod_fields.items(pod, "volumes")}
        self._unions: list[additions.Addition] = []

    def missing(self, *, template_hash: str) -> Parts:
        """The parts that the pod lacks. Raises Conflict where one of them cannot be added."""
        own = self._own if self._own and self._own.hash == template_hash else None
        # Up to the conflicts with others everything that raises is about the author's part.
        lacking = {
            field: tuple(one for one in wanted if not self._is_there(field, one, own))
            for field, wanted in self._wanted
        }
        volumes = tuple(self._missing_volumes())
        self._check_mounts()
        self._check_host_ports()
        adding = [one for one in self._additions() if self._is_lacking(one)]
        for conflict in self._conflicts_with_others():
            raise conflict
        return Parts(
            mode=self._parts.mode,
            precomputed=self._parts.precomputed,
            containers=lacking["containers"],
            init_containers=lacking["initContainers"],
            volumes=volumes,
            labels=self._missing_members("labels", self._parts.labels),
            annotations=self._missing_members("annotations", self._parts.annotations),
            additions=tuple(adding),
        )

    def is_outdated(self, *, template_hash: str) -> bool:
        """Whether parts of another template are there, by what the annotation names."""
        if self._own is None or self._own.hash == template_hash:
            return False
        placed = self._own.names("containers") + self._own.names("initContainers")
        if placed:
            return any(name in self._placed for name in placed)
        return any(name in self._volumes for name in self._own.names("volumes"))

    def kept(self) -> list[str]:
        """The paths at which the pod keeps its own value against the template's."""
        members = [
            patch.pointer(("metadata", field, key))
            for field, wanted in self._members()
            for key, value in wanted.items()
            if pod_fields.metadata_map(self._pod, field).get(key, value) != value
        ]
        return members + [one.path for one in self._additions() if one.is_kept(self._pod)]

    def _members(self) -> tuple[tuple[str, Mapping[str, str]], ...]:
        return ("labels", self._parts.labels), ("annotations", self._parts.annotations)

    def _additions(self) -> Iterable[additions.Addition]:
        return itertools.chain(self._parts.additions, self._unions)

    def _is_lacking(self, addition: additions.Addition) -> bool:
        if isinstance(addition, container_additions.Mount):
            addition.check(self._pod, self._others)
        return addition.is_lacking(self._pod)

    def _is_there(self, field: str, wanted: Json, own: Entry | None) -> bool:
        """Whether the pod has the container; one that another injection holds counts as there."""
        name = wanted["name"]
        if name not in self._placed:
            return False
        if name in self._claims or self._equals(field, wanted):
            return True
        if own and name in own.names(field):
            bare = self._parts.bare.get(name, wanted)
            rest = {key: value for key, value in bare.items() if key not in REWRITTEN}
            if self._equals(field, rest):
                return True
        if self._can_merge(field, wanted):
            self._unions.append(container_union.Union(field, name, wanted))
            return True
        raise Conflict(Reason.CONTAINER_CONFLICT, repr(name))

    def _can_merge(self, field: str, wanted: Json) -> bool:
        """Not across the lists, and a container does not become a native sidecar by it."""
        where, found = self._placed[wanted["name"]]
        same_kind = found.get("restartPolicy") == wanted.get("restartPolicy")
        return self._merges and where == field and same_kind

    def _equals(self, field: str, wanted: Json) -> bool:
        where, found = self._placed[wanted["name"]]
        return where == field and defaults.contains(found, wanted, defaults.CONTAINER)

    def _missing_volumes(self) -> Iterator[Json]:
        """Template volumes that something in the resulting pod mounts and that are not there."""
        for wanted in self._needed_volumes():
            name = wanted["name"]
            if name not in self._volumes:
                yield wanted
            elif name not in self._volume_claims and not self._is_same_volume(wanted):
                raise Conflict(Reason.VOLUME_CONFLICT, repr(name))

    def _needed_volumes(self) -> Iterator[Json]:
        """What another injection mounts is its own concern, and may be added only after us."""
        mounted = set(render.mounted_volumes(self._all_wanted()))
        mounted.update(name for one in self._additions() for name in one.mounts)
        if not all(volume["name"] in mounted for volume in self._parts.volumes):
            mounted.update(self._author_mounts())
        return (volume for volume in self._parts.volumes if volume["name"] in mounted)

    def _author_mounts(self) -> Iterator[str]:
        """The volumes that the author's containers mount, without what others made them mount."""
        recorded = {record.get("path") for entry in self._others for record in entry.patched}
        for field in pod_fields.CONTAINER_LISTS:
            for container in pod_fields.items(self._pod, field):
                if container["name"] not in self._claims:
                    root = ("spec", field, container["name"], "volumeMounts")
                    yield from (
                        mount["name"]
                        for mount in container.get("volumeMounts") or ()
                        if patch.pointer((*root, mount.get("mountPath") or "")) not in recorded
                    )
                    yield from (one["name"] for one in container.get("volumeDevices") or ())

    def _is_same_volume(self, wanted: Json) -> bool:
        return defaults.same_volume(self._volumes[wanted["name"]], wanted)

    def _all_wanted(self) -> Iterator[Json]:
        return (container for _, wanted in self._wanted for container in wanted)

    def _check_mounts(self) -> None:
        known = self._volumes.keys() - self._volume_claims.keys()
        known |= {volume["name"] for volume in self._parts.volumes}
        mounts = [
            (f"container {one['name']!r}", name)
            for one in self._all_wanted()
            for name in render.mounted_volumes((one,))
        ]
        mounts += [(one.path, name) for one in self._additions() for name in one.mounts]
        for what, name in mounts:
            if name not in known:
                raise Conflict(Reason.MISSING_VOLUME, f"{what} mounts {name!r}")

    def _check_host_ports(self) -> None:
        for port, container, holder in self._taken_ports():
            if holder not in self._claims:
                raise Conflict(
                    Reason.PORT_CONFLICT,
                    f"{port[0]} {port[1]} of {container!r} is used by {holder!r}",
                )

    def _taken_ports(self) -> Iterator[tuple[pod_fields.Port, str, str]]:
        """On the host network: ports that are wanted twice, with both containers' names."""
        if not self._host_network:
            return
        taken: dict[pod_fields.Port, str] = {}
        for container in itertools.chain(pod_fields.containers(self._pod), self._all_wanted()):
            for port in pod_fields.ports(container):
                holder = taken.setdefault(port, container["name"])
                if holder != container["name"]:
                    yield port, container["name"], holder

    def _conflicts_with_others(self) -> Iterator[Conflict]:
        if not self._others:
            return
        for field, wanted in self._wanted:
            for container in wanted:
                entry = self._claims.get(container["name"])
                placed = container["name"] in self._placed
                if entry and placed and not self._equals(field, container):
                    yield additions.held(repr(container["name"]), entry)
        for volume in self._needed_volumes():
            entry = self._volume_claims.get(volume["name"])
            if entry and volume["name"] in self._volumes and not self._is_same_volume(volume):
                yield additions.held(f"volume {volume['name']!r}", entry)
        for port, _, holder in self._taken_ports():
            yield additions.held(f"{port[0]} {port[1]}", self._claims[holder])
        yield from self._rival_members()
        for one in self._additions():
            yield from one.rivals(self._pod, self._others)

    def _rival_members(self) -> Iterator[Conflict]:
        for field, members in self._members():
            present = pod_fields.metadata_map(self._pod, field)
            for entry in self._others:
                for key, value in entry.members(field).items():
                    if present.get(key) == value != members.get(key, value):
                        yield additions.held(f"metadata.{field}[{key}]", entry)

    def _missing_members(self, field: str, wanted: Mapping[str, str]) -> dict[str, str]:
        present = pod_fields.metadata_map(self._pod, field)
        return {key: value for key, value in wanted.items() if key not in present}


def _claims(entries: Iterable[Entry], fields: tuple[str, ...]) -> dict[str, Entry]:
    """Who added what, by name; the first claim counts."""
    claims: dict[str, Entry] = {}
    for entry in entries:
        for field in fields:
            for name in entry.names(field):
                claims.setdefault(name, entry)
    return claims
