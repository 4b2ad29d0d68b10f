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
    reason.value: tables.style(reason) for reason in Reason
}
HEADING = "what happened when it was created"
NOTHING = "nothing was recorded when it was created"
_SENTENCES = {reason.value: reason.sentence for reason in Reason}


def rows(history: subjects.PodHistory) -> Iterator[tables.Row]:
    """A row for each injection that the pod's annotation lists."""
    for entry in history.recorded.entries:
        reference = _reference(entry.kind, entry.name)
        yield reference, "Injected", _template(history, entry), _additions(entry)
    for skipped in history.recorded.skipped:
        sentence = _SENTENCES.get(skipped.reason, "")
        yield _reference(skipped.kind, skipped.name), skipped.reason, "-", sentence


def as_json(history: subjects.PodHistory) -> dict[str, Any]:
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
                "leftOut": list(entry.left_out),
                "template": _template(history, entry),
            }
            for entry in history.recorded.entries
        ],
        "skipped": [
            {"kind": skipped.kind, "name": skipped.name, "reason": skipped.reason}
            for skipped in history.recorded.skipped
        ],
    }


def _template(history: subjects.PodHistory, entry: status_annotation.Entry) -> str:
    current = history.current(entry.identity)
    if current is None:
        return GONE
    return CURRENT if current.hash == entry.hash else OUTDATED


def _additions(entry: status_annotation.Entry) -> str:
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
    left_out = f"without {', '.join(entry.left_out)}" if entry.left_out else ""
    parts = filter(None, (added, members, patched, left_out))
    return ", ".join(parts) or "nothing that is recorded by name"


def _reference(kind: str, name: str) -> str:
    return f"{names.CLUSTER_PREFIX}{name}" if kind == names.CLUSTER_KIND else name
