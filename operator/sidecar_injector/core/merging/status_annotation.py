"""The pod's status annotation, which records what was added to the pod.

The annotation is a hint and never a proof, as anyone may have written it. Reading it never fails,
and each of its claims is compared with the pod before it counts.

Its shape: `{"empty": {PATH: VALUE}, "injections": [ENTRY, ...], "skipped": [{"kind", "name",
"reason"}], "version": 1}` as compact JSON with sorted keys. `empty` has the null, empty and zero
values of the author that were filled or replaced, so that `uninject` puts them back. `kept` has the
words of the `marks` that the author has set. An ENTRY has
kind, name, generation, hash and mode, then `added` with the names of containers, initContainers and
volumes and with the labels and annotations, then `patched` with one record for each other change,
and `leftOut` with the paths of what was not added.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import orjson

from sidecar_injector import names
from sidecar_injector.core import patch
from sidecar_injector.core.pods import lenient
from sidecar_injector.core.pods.lenient import Json

VERSION = 1
NAMED_LISTS = ("containers", "initContainers", "volumes")
"""Lists of the pod's spec whose items are recorded by name."""
MAPS = ("labels", "annotations")
"""Maps of the pod's metadata whose members are recorded with their values."""
MARK_WORDS = ("label", "injected", "skipped")
"""The marks of a pod, as `kept` names them; `marks` has their keys."""

_LONGEST_ESCAPE = 12
"""Of one character: two halves of a surrogate pair."""
_MOST_ESCAPED = 3
"""Times as long is JSON in ASCII as in UTF-8: an escape of six for two bytes."""
_LONGEST_REST = 1024
"""Of an entry without what it lists, and of a record without its path and its values."""

_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"))

OPERATIONS = ("set", "add", "append")

Added = Mapping[str, Any]
Record = dict[str, Any]
"""One change and what undoes it; `additions` has the shapes."""
ItemKey = tuple[str, str]
"""What identifies an item that was added to a list: its path, and its value as JSON where the path
does not end in the item's own key."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Entry:
    """What one injection added to a pod."""

    kind: str
    name: str
    generation: int | None = None
    hash: str = ""
    mode: str = ""
    added: Added = dataclasses.field(default_factory=dict)
    patched: tuple[Record, ...] = ()
    """What was changed elsewhere."""
    left_out: tuple[str, ...] = ()
    """The paths of what was wanted and not added."""

    @property
    def identity(self) -> tuple[str, str]:
        """Kind and name of the injection."""
        return self.kind, self.name

    def names(self, field: str) -> list[str]:
        """The names that it added to a list of the pod's spec."""
        names: list[str] = self.added.get(field) or []
        return names

    def members(self, field: str) -> dict[str, str]:
        """The labels or annotations that it added."""
        return dict(self.added.get(field) or {})

    def as_json(self) -> dict[str, Any]:
        """The entry as the annotation has it: empty members are left out."""
        members: Json = {
            "kind": self.kind,
            "name": self.name,
            "generation": self.generation,
            "hash": self.hash,
            "mode": self.mode,
            "added": {key: value for key, value in self.added.items() if value},
            "patched": list(self.patched),
        }
        if self.left_out:
            members["leftOut"] = list(self.left_out)
        return {key: value for key, value in members.items() if value not in (None, "", {}, [])}

    @functools.cached_property
    def length(self) -> int:
        """How long the entry is in the annotation, which is ASCII."""
        return len(json_text(self.as_json()))

    def most_bytes(self, values: int) -> int:
        """At least `length`, found in a fraction of the time: `values` are the bytes of all that
        was added, as JSON."""
        keys = sum(len(key) for field in MAPS for key in self.added.get(field) or ())
        paths = sum(len(record["path"]) for record in self.patched) + sum(map(len, self.left_out))
        rest = _LONGEST_REST * (1 + len(self.patched) + len(self.left_out))
        # Names and values are there once, or twice in a record of a whole item.
        return _LONGEST_ESCAPE * (keys + paths) + _MOST_ESCAPED * 2 * values + rest


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """An injection that applied and could not be done."""

    kind: str
    name: str
    reason: str

    def as_json(self) -> Json:
        """The injection as the annotation has it."""
        return {"kind": self.kind, "name": self.name, "reason": self.reason}


@dataclasses.dataclass(frozen=True, slots=True)
class Provenance:
    """The content of the annotation."""

    entries: tuple[Entry, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    empty: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """What the author wrote as null, empty or zero and what is so no longer, by its path."""
    kept: tuple[str, ...] = ()
    """The words of the marks that are the author's: they are never written and never removed."""

    def entry(self, identity: tuple[str, str]) -> Entry | None:
        """What this injection added, as recorded; None without a record."""
        return next((entry for entry in self.entries if entry.identity == identity), None)

    def same_skipped(self, other: Provenance) -> bool:
        """Whether both name the same injections as skipped; the reasons may differ."""
        return [(skipped.kind, skipped.name) for skipped in self.skipped] == [
            (skipped.kind, skipped.name) for skipped in other.skipped
        ]

    def as_text(self) -> str:
        """The annotation's value: the same bytes for the same provenance, always.

        ASCII only: a forged lone surrogate stays an escape and cannot break the response.
        """
        content: Json = {"version": VERSION}
        if self.entries:
            content["injections"] = [entry.as_json() for entry in self.entries]
        if self.skipped:
            content["skipped"] = [skipped.as_json() for skipped in self.skipped]
        if self.empty:
            content["empty"] = dict(self.empty)
        if self.kept:
            content["kept"] = list(self.kept)
        has_values = self.empty or any(entry.patched for entry in self.entries)
        return json_text(content) if has_values else _text_of_names(content)


NOTHING = Provenance()


PARENTS = ("metadata", "annotations")
"""Where the annotation is."""
LABELS = ("metadata", "labels")
"""Where the label is that is written with it."""


def all_empty(
    pod: Mapping[str, Any], filled: Mapping[str, Any], *, before: Provenance
) -> dict[str, Any]:
    """What to record as empty: on the way to the annotation, what was `filled`, and so far."""
    return {
        **patch.empty_along(pod, PARENTS),
        **patch.empty_along(pod, LABELS),
        **filled,
        **before.empty,
    }


def json_text(value: Any) -> str:
    """Compact JSON with sorted keys: equal for equal values."""
    return _ENCODER.encode(value)


def _text_of_names(content: Json) -> str:
    """The same as `json_text` for texts and integers, mostly in a fraction of the time.

    orjson writes floats in another way, and what is not printable ASCII without an escape.
    """
    try:
        text = orjson.dumps(content, option=orjson.OPT_SORT_KEYS).decode()
    except orjson.JSONEncodeError:  # Half a surrogate pair, or an integer of more than 64 bits.
        return json_text(content)
    return text if text.isascii() and "\x7f" not in text else json_text(content)


RecordsByPath = Mapping[str, Sequence[tuple[Entry, Record]]]
"""Records by their paths, each with its entry."""


def item_keys(records: Iterable[Record]) -> Iterator[ItemKey]:
    """The keys of the list items that the records say were added."""
    for record in records:
        if record["op"] == "add":
            yield record["path"], ""
            if "value" in record:
                yield record["path"], json_text(record["value"])


def read(annotations: Mapping[str, Any]) -> Provenance:
    """What a pod's annotations claim; nothing where the text is not a status annotation."""
    text = annotations.get(names.STATUS_ANNOTATION)
    if not isinstance(text, str):
        return NOTHING
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return NOTHING
    if not isinstance(content, dict) or content.get("version") != VERSION:
        return NOTHING
    entries: dict[tuple[str, str], Entry] = {}
    for item in lenient.objects(content, "injections"):
        if entry := _entry(item):
            # A second entry of the same injection is forged.
            entries.setdefault(entry.identity, entry)
    skipped = [
        Skipped(kind=item["kind"], name=item["name"], reason=item["reason"])
        for item in lenient.objects(content, "skipped")
        if all(isinstance(item.get(key), str) for key in ("kind", "name", "reason"))
    ]
    empty = {path: value for path, value in lenient.child(content, "empty").items() if not value}
    kept = (word for word in lenient.strings(content, "kept") if word in MARK_WORDS)
    return Provenance(tuple(entries.values()), tuple(skipped), empty, tuple(dict.fromkeys(kept)))


def _entry(item: Mapping[str, Any]) -> Entry | None:
    """The entry in an item of the annotation; None where it does not name an injection."""
    kind, name = lenient.text(item, "kind"), lenient.text(item, "name")
    if not kind or not name:
        return None
    generation = item.get("generation")
    claimed = lenient.child(item, "added")
    added: Json = {key: lenient.strings(claimed, key) for key in NAMED_LISTS}
    for key in MAPS:
        members = lenient.child(claimed, key)
        added[key] = {key: value for key, value in members.items() if isinstance(value, str)}
    return Entry(
        kind=kind,
        name=name,
        generation=generation if type(generation) is int else None,
        hash=lenient.text(item, "hash"),
        mode=lenient.text(item, "mode"),
        added={key: value for key, value in added.items() if value},
        patched=tuple(
            record
            for record in lenient.objects(item, "patched")
            if isinstance(record.get("path"), str) and record.get("op") in OPERATIONS
        ),
        left_out=tuple(lenient.strings(item, "leftOut")),
    )
