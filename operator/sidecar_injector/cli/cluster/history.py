"""What happened to a pod when it was created, in rows and for programs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sidecar_injector import names
from sidecar_injector.cli.cluster import subjects
from sidecar_injector.cli.output import tables
from sidecar_injector.core.merging import status_annotation
from sidecar_injector.core.reasons import Reason

COLUMNS = ("INJECTION", "OUTCOME", "TEMPLATE", "WHAT")
CURRENT, OUTDATED, GONE = "current", "outdated", "deleted since"
STYLES = {CURRENT: tables.GOOD, OUTDATED: tables.NEUTRAL, GONE: tables.NEUTRAL} | {
    one.value: tables.style(one) for one in Reason
}
SENTENCE = "what happened when it was created"
NOTHING = "nothing was recorded when it was created"


def rows(past: subjects.Past) -> Iterator[tables.Row]:
    """A row for each injection that the pod's annotation tells of."""
    for entry in past.said.entries:
        yield _reference(entry.kind, entry.name), "Injected", _template(past, entry), _what(entry)
    for one in past.said.skipped:
        yield _reference(one.kind, one.name), one.reason, "-", _sentence(one.reason)


def as_json(past: subjects.Past) -> dict[str, Any]:
    """For programs; its shape is stable."""
    return {
        "injected": [
            {
                "kind": entry.kind,
                "name": entry.name,
                "generation": entry.generation,
                "hash": entry.hash,
                "mode": entry.mode,
                "added": dict(entry.added),
                "template": _template(past, entry),
            }
            for entry in past.said.entries
        ],
        "skipped": [
            {"kind": one.kind, "name": one.name, "reason": one.reason} for one in past.said.skipped
        ],
    }


def _template(past: subjects.Past, entry: status_annotation.Entry) -> str:
    now = past.now(entry.identity)
    if now is None:
        return GONE
    return CURRENT if now.hash == entry.hash else OUTDATED


def _what(entry: status_annotation.Entry) -> str:
    added = ", ".join(
        f"{field.removesuffix('s')} {name}"
        for field in status_annotation.NAMED_LISTS
        for name in entry.names(field)
    )
    members = ", ".join(
        f"{field.removesuffix('s')} {key}" for field in status_annotation.MAPS
        for key in sorted(entry.members(field))
    )  # fmt: skip
    patched = f"{len(entry.patched)} more changes" if entry.patched else ""
    return ", ".join(filter(None, (added, members, patched))) or "nothing that is recorded by name"


def _sentence(reason: str) -> str:
    known = {one.value: one.sentence for one in Reason}
    return known.get(reason, "")


def _reference(kind: str, name: str) -> str:
    return f"{names.CLUSTER_PREFIX}{name}" if kind == names.CLUSTER_KIND else name
