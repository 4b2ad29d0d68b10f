"""What a pod's status annotation says about what was added to it.

The annotation is a hint and never a proof: anybody may have written it. It is read without ever
failing, and whatever it claims is compared with the pod before it counts.

Its shape: `{"injections": [ENTRY, ...], "skipped": [{"kind", "name", "reason"}], "version": 1}` as
compact JSON with sorted keys; an ENTRY has kind, name, generation, hash, mode, and `added` with the
names of containers, initContainers and volumes, and labels and annotations with their values.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from typing import Any

from sidecar_injector import names

VERSION = 1
NAMED_LISTS = ("containers", "initContainers", "volumes")
"""Lists of the pod's spec whose items are recorded by name."""
MAPS = ("labels", "annotations")
"""Maps of the pod's metadata whose members are recorded with their values."""

_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"))

OPERATIONS = ("set", "add", "append")

Added = Mapping[str, Any]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What one injection added to a pod."""

    kind: str
    name: str
    generation: int | None = None
    hash: str = ""
    mode: str = ""
    added: Added = dataclasses.field(default_factory=dict)
    patched: tuple[Mapping[str, Any], ...] = ()
    """What was changed elsewhere, each with what undoes it; `additions` has the shapes."""

    @property
    def identity(self) -> tuple[str, str]:
        """Kind and name of the injection."""
        return self.kind, self.name

    def names(self, field: str) -> list[str]:
        """The names that it added to a list of the pod's spec."""
        return [name for name in self.added.get(field) or () if isinstance(name, str)]

    def members(self, field: str) -> dict[str, str]:
        """The labels or annotations that it added."""
        return dict(self.added.get(field) or {})

    def as_json(self) -> dict[str, Any]:
        """As it stands in the annotation: empty members are left out."""
        members = {
            "kind": self.kind,
            "name": self.name,
            "generation": self.generation,
            "hash": self.hash,
            "mode": self.mode,
            "added": {key: value for key, value in self.added.items() if value},
            "patched": list(self.patched),
        }
        return {key: value for key, value in members.items() if value not in (None, "", {}, [])}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """An injection that applied and could not be done."""

    kind: str
    name: str
    reason: str


@dataclasses.dataclass(frozen=True, slots=True)
class Provenance:
    """All that the annotation says."""

    entries: tuple[Entry, ...] = ()
    skipped: tuple[Skipped, ...] = ()

    def entry(self, identity: tuple[str, str]) -> Entry | None:
        """What this injection is said to have added; None if nothing is said."""
        return next((entry for entry in self.entries if entry.identity == identity), None)

    def with_entry(self, new: Entry) -> Provenance:
        """The same with this injection's entry put in its place, or at the end."""
        replaced = tuple(new if one.identity == new.identity else one for one in self.entries)
        entries = replaced if self.entry(new.identity) else (*self.entries, new)
        return dataclasses.replace(self, entries=entries)

    def same_skipped(self, other: Provenance) -> bool:
        """Whether both name the same injections as skipped, for whatever reason."""
        return [(one.kind, one.name) for one in self.skipped] == [
            (one.kind, one.name) for one in other.skipped
        ]

    def as_text(self) -> str:
        """The annotation's value: the same bytes for the same provenance, always.

        ASCII only: a forged lone surrogate stays an escape and cannot spoil the answer.
        """
        content = {
            "injections": [entry.as_json() for entry in self.entries],
            "skipped": [dataclasses.asdict(one) for one in self.skipped],
            "version": VERSION,
        }
        return _ENCODER.encode({key: value for key, value in content.items() if value})


NOTHING = Provenance()


def read(annotations: Mapping[str, Any]) -> Provenance:
    """What a pod's annotations claim. Text that is no provenance claims nothing."""
    text = annotations.get(names.STATUS_ANNOTATION)
    if not isinstance(text, str):
        return NOTHING
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return NOTHING
    if not isinstance(content, dict) or content.get("version") != VERSION:
        return NOTHING
    entries = [entry for item in _objects(content, "injections") if (entry := _entry(item))]
    skipped = [
        Skipped(kind=item["kind"], name=item["name"], reason=item["reason"])
        for item in _objects(content, "skipped")
        if all(isinstance(item.get(key), str) for key in ("kind", "name", "reason"))
    ]
    return Provenance(tuple(_unique(entries)), tuple(skipped))


def author_view(pod: Mapping[str, Any], said: Provenance) -> dict[str, dict[str, Any]]:
    """Labels and annotations as the pod's author wrote them.

    What the annotation says that we added, and what still has our value, is left out: so what we
    add never changes what we decide, however often we are asked.
    """
    metadata = pod.get("metadata") or {}
    view: dict[str, dict[str, Any]] = {}
    for field in MAPS:
        ours = {item for entry in said.entries for item in entry.members(field).items()}
        present = metadata.get(field)
        members = present if isinstance(present, dict) else {}
        if ours:
            members = {
                key: value
                for key, value in members.items()
                if not isinstance(value, str) or (key, value) not in ours
            }
        view[field] = members
    return view


def author_scalar(pod: Mapping[str, Any], said: Provenance, field: str) -> Any:
    """A field of the pod's spec as its author wrote it."""
    value = (pod.get("spec") or {}).get(field)
    for entry in reversed(said.entries):
        for one in entry.patched:
            is_field = one["op"] == "set" and one["path"] == f"/spec/{field}"
            if is_field and "value" in one and one["value"] == value:
                value = one.get("previous")
    return value


def _objects(content: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    items = content.get(key)
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def _entry(item: Mapping[str, Any]) -> Entry | None:
    """The entry that an item states; None where it names no injection."""
    kind, name, generation = item.get("kind"), item.get("name"), item.get("generation")
    if not isinstance(kind, str) or not isinstance(name, str):
        return None
    claimed = item.get("added")
    added = claimed if isinstance(claimed, dict) else {}
    lists = {key: _strings(added.get(key)) for key in NAMED_LISTS}
    maps = {key: _string_map(added.get(key)) for key in MAPS}
    return Entry(
        kind=kind,
        name=name,
        generation=generation if type(generation) is int else None,
        hash=_string(item.get("hash")),
        mode=_string(item.get("mode")),
        added={key: value for key, value in (lists | maps).items() if value},
        patched=tuple(
            one
            for one in _objects(item, "patched")
            if isinstance(one.get("path"), str) and one.get("op") in OPERATIONS
        ),
    )


def _string(value: object) -> str:
    return value if isinstance(value, str) else ""


def _strings(value: object) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _string_map(value: object) -> dict[str, str]:
    members = value if isinstance(value, dict) else {}
    return {key: item for key, item in members.items() if isinstance(item, str)}


def _unique(entries: Iterable[Entry]) -> Iterable[Entry]:
    """The first entry of each injection: a second one can only be forged."""
    first: dict[tuple[str, str], Entry] = {}
    for entry in entries:
        first.setdefault(entry.identity, entry)
    return first.values()
