"""SidecarSets of one conversion that may select the same pod."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

from sidecar_injector.convert import findings
from sidecar_injector.core.injections import model
from sidecar_injector.core.linting import overlap

Json = dict[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class ConvertedSet:
    """The injections of one SidecarSet."""

    parts: Sequence[model.Injection]
    """At least one; all of them have the same selectors."""
    location: findings.Location

    @property
    def annotations(self) -> Json:
        """What it writes into a pod's metadata, which only its first part has."""
        annotations: Json = self.parts[0].template_metadata.get("annotations") or {}
        return annotations

    def init_containers(self, place: str) -> list[str]:
        """The names of those that are placed there."""
        return [
            container["name"]
            for part in self.parts
            if (part.spec.get("placement") or {}).get("initContainers") == place
            for container in part.template_spec.get("initContainers") or ()
        ]


def converted(injections: Sequence[Json], location: findings.Location) -> ConvertedSet:
    """The injections that a SidecarSet became."""
    schema = location.target.spec_schema
    return ConvertedSet([model.read(each, spec_schema=schema) for each in injections], location)


def warn(sets: Sequence[ConvertedSet]) -> None:
    """Warns about sets that work another way together than there."""
    readable = [each for each in sets if not any(part.errors for part in each.parts)]
    in_order = sorted(readable, key=lambda each: each.parts[0].order)
    for first, second in itertools.combinations(in_order, 2):
        if overlap.can_meet(first.parts[0], second.parts[0]):
            _warn_of_annotations(first, second)
            _warn_of_order(first, second)


def _warn_of_annotations(first: ConvertedSet, second: ConvertedSet) -> None:
    at = second.location.member("spec.patchPodMetadata")
    for key, value in second.annotations.items():
        if first.annotations.get(key, value) != value:
            at.warn(
                f"{first.parts[0].name!r} has another value for {key!r}: a pod that both select"
                f" does not get {second.parts[0].name!r} at all"
            )


def _warn_of_order(first: ConvertedSet, second: ConvertedSet) -> None:
    """The init containers of all SidecarSets of a pod are sorted by their names there."""
    for place in ("First", "Last"):
        ours, theirs = first.init_containers(place), second.init_containers(place)
        if ours and theirs and max(ours) > min(theirs):
            second.location.member("spec.initContainers").warn(
                f"they come behind those of {first.parts[0].name!r}, not sorted by name among"
                " them: the field priority changes the order of the injections"
            )
