"""What a conversion has to say, and where in its source."""

from __future__ import annotations

import dataclasses
from typing import Any


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


@dataclasses.dataclass(slots=True)
class Conversion:
    """What became of a source; filled while it is read."""

    injections: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    """Custom resources of one of our kinds, of which no two have the same name."""
    warnings: list[ConversionFinding] = dataclasses.field(default_factory=list)
    """What the source says and the injections do not."""
    notes: list[ConversionFinding] = dataclasses.field(default_factory=list)
    """What was carried over and works another way with us."""


@dataclasses.dataclass(frozen=True, slots=True)
class Location:
    """A field of the source, to which findings are tied."""

    conversion: Conversion
    place: str
    field: str = ""

    def member(self, key: str) -> Location:
        """A member of the object that stands here."""
        return dataclasses.replace(self, field=f"{self.field}.{key}" if self.field else key)

    def key(self, key: str) -> Location:
        """An entry of the map that stands here, whose keys are of the user's choice."""
        return dataclasses.replace(self, field=f"{self.field}[{key}]")

    def item(self, index: int) -> Location:
        """An item of the list that stands here."""
        return self.key(str(index))

    def warn(self, sentence: str) -> None:
        """The source says something here that the injections do not."""
        self.conversion.warnings.append(ConversionFinding(self.place, self.field, sentence))

    def note(self, sentence: str) -> None:
        """What stands here was carried over and works another way."""
        self.conversion.notes.append(ConversionFinding(self.place, self.field, sentence))
