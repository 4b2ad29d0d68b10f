"""What a conversion makes, its result, and what is to be said about its source."""

from __future__ import annotations

import dataclasses
from typing import Any

from sidecar_injector import names
from sidecar_injector.core.injections import schema


@dataclasses.dataclass(frozen=True, slots=True)
class ConversionFinding:
    """One sentence about one field of the source."""

    place: str
    """File and document."""
    field: str
    """Empty for the document as a whole."""
    sentence: str

    def __str__(self) -> str:
        """One line: place, field, sentence."""
        return ": ".join(part for part in (self.place, self.field, self.sentence) if part)


@dataclasses.dataclass(frozen=True, slots=True)
class Target:
    """The kind of injection that a conversion makes, and what its schema accepts."""

    namespace: str | None
    """Of the SidecarInjections; None for ClusterSidecarInjections."""
    spec_schema: schema.Schema
    """The schema of `spec` in the CRD of that kind."""

    @property
    def kind(self) -> str:
        """The kind of the injections."""
        return names.CLUSTER_KIND if self.namespace is None else names.KIND

    def part(self, *path: str) -> schema.Schema:
        """The schema of a field of `spec`; empty where this kind has no such field."""
        part: schema.Schema = self.spec_schema
        for name in path:
            part = (part.get("properties") or {}).get(name) or {}
        return part

    def pod_part(self, field: str) -> schema.Schema:
        """The schema of a field of `spec.template.spec`."""
        return self.part("template", "spec", field)


@dataclasses.dataclass(slots=True)
class Conversion:
    """The result of a conversion; filled while the source is read."""

    target: Target
    injections: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    """Custom resources of one of our kinds, each with a name of its own."""
    warnings: list[ConversionFinding] = dataclasses.field(default_factory=list)
    """What is in the source and not in the injections."""
    notes: list[ConversionFinding] = dataclasses.field(default_factory=list)
    """What is in the injections and works another way there."""


@dataclasses.dataclass(frozen=True, slots=True)
class Location:
    """A field of the source, for findings about it."""

    conversion: Conversion
    place: str
    field: str = ""

    @property
    def target(self) -> Target:
        """What the conversion makes."""
        return self.conversion.target

    def member(self, key: str) -> Location:
        """A member of the object at this place."""
        return dataclasses.replace(self, field=f"{self.field}.{key}" if self.field else key)

    def key(self, key: str) -> Location:
        """An entry of the map at this place, whose keys the user chooses."""
        return dataclasses.replace(self, field=f"{self.field}[{key}]")

    def item(self, index: int) -> Location:
        """An item of the list at this place."""
        return self.key(str(index))

    def warn(self, sentence: str) -> None:
        """Adds a warning: something at this place is not in the injections."""
        self.conversion.warnings.append(ConversionFinding(self.place, self.field, sentence))

    def note(self, sentence: str) -> None:
        """Adds a note: what is at this place works another way in the injections."""
        self.conversion.notes.append(ConversionFinding(self.place, self.field, sentence))
