"""A pod as its author wrote it: without what the status annotation says was added.

On a second call of the webhook this is the pod of the first call. So all that is decided by what
the author wrote comes out the same. The work is proportional to the pod and the annotation.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from sidecar_injector import names
from sidecar_injector.core import patch
from sidecar_injector.core.merging import marks
from sidecar_injector.core.merging.status_annotation import (
    MAPS,
    NAMED_LISTS,
    Provenance,
    Record,
    json_text,
)
from sidecar_injector.core.pods import lenient, shapes

Json = dict[str, Any]
Steps = tuple[str, ...]
Tree = dict[str | None, Any]
"""What was changed below one place of the pod: a tree for each step, the records of the place
itself under None."""

FIELDS = ("hostNetwork", "serviceAccountName", "serviceAccount")
_ABSENT: Final = object()
_MOST_STEPS = 8
"""No path that we record has more; a forged one of a million steps would be a tree of as many."""
_STATUS: Steps = ("metadata", "annotations", names.STATUS_ANNOTATION)


def pod_of(pod: Mapping[str, Any], recorded: Provenance) -> Mapping[str, Any]:
    """The author's pod, which shares what did not change with the pod.

    What was changed since it was recorded counts as the author's. `recorded` is what the pod's
    annotation claims. A claim that makes no pod of the rest is forged: then no value that was
    recorded counts, and only the names do.
    """
    metadata = lenient.child(pod, "metadata")
    if names.STATUS_ANNOTATION not in lenient.child(metadata, "annotations"):
        return pod
    author: Json = _without(pod, _tree(pod, recorded))
    if any(shapes.problems(shapes.POD, author)):
        # Forged values are only in `patched`. What else was added is not the author's.
        names_only = (dataclasses.replace(entry, patched=()) for entry in recorded.entries)
        author = _without(pod, _tree(pod, Provenance(tuple(names_only))))
    return author


def fields_of(pod: Mapping[str, Any], recorded: Provenance) -> Json:
    """The metadata of the author's pod, and of its spec at least the fields in `FIELDS`.

    That is all that decides which injections apply, and the audit knows no more of a pod.
    """
    part: Json = {"metadata": pod.get("metadata") or {}, "spec": pod.get("spec") or {}}
    if names.STATUS_ANNOTATION not in lenient.child(part["metadata"], "annotations"):
        return part
    part["spec"] = {field: part["spec"][field] for field in FIELDS if field in part["spec"]}
    return {"metadata": {}, "spec": {}, **pod_of(part, recorded)}


def _tree(pod: Mapping[str, Any], recorded: Provenance) -> Tree:
    root: Tree = {}
    for steps, record in _changes(pod, recorded):
        node = root
        for step in steps:
            node = node.setdefault(step, {})
        node.setdefault(None, []).append(record)
    return root


def _changes(pod: Mapping[str, Any], recorded: Provenance) -> Iterator[tuple[Steps, Record]]:
    """Every change of what the pod has, with its place, in the order in which they were made."""
    spec, metadata = lenient.child(pod, "spec"), lenient.child(pod, "metadata")
    lists = [field for field in NAMED_LISTS if field in spec]
    paths = tuple(
        patch.pointer((part, field))
        for part, members in (("spec", spec), ("metadata", metadata))
        for field in members
    )
    for entry in recorded.entries:
        for field in lists:
            for name in entry.names(field):
                yield ("spec", field, name), {"op": "add"}
        for field in MAPS:
            for key, value in entry.members(field).items():
                yield ("metadata", field, key), {"op": "set", "value": value}
        for record in entry.patched:
            path = record["path"]
            if path.startswith(paths) and path.count("/") <= _MOST_STEPS:
                steps = patch.steps_of(path)
                if steps == ("spec", "serviceAccountName") and "value" in record:
                    # The API server gives the alias the value of the name.
                    yield ("spec", "serviceAccount"), {"op": "set", "value": record["value"]}
                yield steps, record
    for field, key in marks.ours(recorded):
        yield ("metadata", field, key), {"op": "set"}
    yield _STATUS, {"op": "set"}


def _without(value: Any, tree: Tree) -> Any:
    """The value without the changes of the tree; _ABSENT if they made it."""
    if isinstance(value, dict):
        kept = (
            (key, _without(item, tree[key]) if key in tree else item) for key, item in value.items()
        )
        value = {key: item for key, item in kept if item is not _ABSENT}
    elif isinstance(value, list):
        value = _without_items(value, tree)
    return _undone(value, tree.get(None, ()))


def _undone(value: Any, records: Sequence[Record]) -> Any:
    """The value before the records, which are about all of it."""
    end = len(value) if isinstance(value, str) else 0
    for record in reversed(records):
        if record["op"] == "append" and isinstance(value, str):
            suffix = lenient.text(record, "suffix")
            # A slice for each of thousands of forged records would copy a large text as often.
            end -= len(suffix) if value.endswith(suffix, 0, end) else 0
        elif record["op"] == "set" and _has_value(value, end, record):
            value = record.get("previous", _ABSENT)
            end = len(value) if isinstance(value, str) else 0
    return value[:end] if isinstance(value, str) else value


def _has_value(value: Any, end: int, record: Record) -> bool:
    """Whether the value, a string only up to `end`, is what the record says was set."""
    if "value" not in record or not isinstance(value, str):
        return bool(record.get("value", value) == value)
    text = record["value"]
    return isinstance(text, str) and len(text) == end and value.startswith(text)


def _without_items(items: list[Any], tree: Tree) -> list[Any]:
    """The items of a list without those that were added, by key or by value."""
    counts = collections.Counter(
        json_text(record["value"])
        for record in tree.get(None, ())
        if record["op"] == "add" and "value" in record
    )
    kept: list[Any] = []
    # What is added by value is placed last, or is equal to what the author has.
    for item in reversed(items):
        if counts and counts[text := json_text(item)] > 0:
            counts[text] -= 1
            continue
        # Of items with one key, which only the author can have, the last one counts.
        below = tree.pop(_key_of(item), {})
        if any(record["op"] == "add" for record in below.get(None, ())):
            continue
        if (rest := _without(item, below) if below else item) is not _ABSENT:
            kept.append(rest)
    return kept[::-1]


def _key_of(item: Any) -> str:
    return next(filter(None, (lenient.text(item, key) for key in ("mountPath", "name", "ip"))), "")
