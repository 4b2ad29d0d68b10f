"""What a pod has and lacks since it was created, for people and for programs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sidecar_injector import names
from sidecar_injector.cli.cluster import subjects
from sidecar_injector.cli.output import tables
from sidecar_injector.core import remedies
from sidecar_injector.core.decision import Decision
from sidecar_injector.core.injections import model
from sidecar_injector.core.merging import part_names, status_annotation
from sidecar_injector.core.reasons import BY_CODE, Reason

COLUMNS = ("INJECTION", "OUTCOME", "TEMPLATE", "WHAT")
CURRENT, OUTDATED, GONE = "current", "outdated", "deleted since"
STYLES = {CURRENT: tables.GOOD, OUTDATED: tables.NEUTRAL, GONE: tables.NEUTRAL} | {
    reason.value: tables.style(reason) for reason in Reason
}
WITHOUT = "none of our sidecars"
_SINGULAR = {"initContainers": "init container"}


def missing(history: subjects.PodHistory, decision: Decision) -> dict[str, str]:
    """What the pod lacks and a new one would get: the injection, and why this pod lacks it."""
    recorded = {entry.identity for entry in history.recorded.entries}
    return {
        line.injection.reference: _why_missing(history, line.injection)
        for line in decision.injected
        if line.injection.identity not in recorded
    }


def _why_missing(history: subjects.PodHistory, injection: model.Injection) -> str:
    # Texts in RFC 3339 and UTC have the order of their times.
    if history.created < history.ages.get(injection.identity, ""):
        return "it was created before this injection existed"
    for skipped in history.recorded.skipped:
        if (skipped.kind, skipped.name) == injection.identity:
            return f"it could not be done then ({skipped.reason})"
    if history.recorded.entries or history.recorded.skipped:
        return "it was created before this injection was changed"
    return (
        "it was created while the injector did not answer, or before the injection or the"
        " namespace's label was changed"
    )


def headline(history: subjects.PodHistory, absent: Mapping[str, str]) -> str:
    """What the pod has, and why it lacks the rest."""
    present = ", ".join(
        f"{_reference(entry.kind, entry.name)}"
        + ("" if _template(history, entry) == CURRENT else f" ({_template(history, entry)})")
        for entry in history.recorded.entries
    )
    parts = [f"has {present or WITHOUT}"]
    parts += [f"without {reference}: {why}" for reference, why in absent.items()]
    return "; ".join(parts)


def remedy(history: subjects.PodHistory) -> remedies.Remedy:
    """How the pod gets what a new one would get."""
    owner = history.owner
    restart = remedies.of(Reason.NOT_A_CREATE, owner)
    if restart.command:
        return restart
    if owner.kind == "Pod":
        return remedies.Remedy("delete the pod and create it again")
    return remedies.Remedy(f"new pods of {owner.kind} {owner.name} have it")


def rows(history: subjects.PodHistory) -> Iterator[tables.Row]:
    """A row for each injection that the pod's annotation lists."""
    for entry in history.recorded.entries:
        reference = _reference(entry.kind, entry.name)
        yield reference, "Injected", _template(history, entry), _additions(entry)
    for skipped in history.recorded.skipped:
        reason = BY_CODE.get(skipped.reason)
        sentence = reason.sentence if reason else ""
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
        f"{_SINGULAR.get(field, field.removesuffix('s'))} {name}"
        for field in status_annotation.NAMED_LISTS
        for name in entry.names(field)
    )
    members = ", ".join(
        f"{field.removesuffix('s')} {key}" for field in status_annotation.MAPS
        for key in sorted(entry.members(field))
    )  # fmt: skip
    patched = ", ".join(
        dict.fromkeys(part_names.of_path(record["path"]) for record in entry.patched)
    )
    without = ", ".join(map(part_names.of_path, entry.left_out))
    left_out = f"without {without}" if without else ""
    parts = filter(None, (added, members, patched, left_out))
    return ", ".join(parts) or "nothing that is recorded by name"


def _reference(kind: str, name: str) -> str:
    return f"{names.CLUSTER_PREFIX}{name}" if kind == names.CLUSTER_KIND else name
