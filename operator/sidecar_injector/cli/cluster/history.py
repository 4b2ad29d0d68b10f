"""What a pod has and lacks since it was created, for people and for programs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sidecar_injector import names
from sidecar_injector.cli.cluster import injections as cluster_injections
from sidecar_injector.cli.cluster import owners
from sidecar_injector.cli.output import tables
from sidecar_injector.core import remedies
from sidecar_injector.core.decision import Decision
from sidecar_injector.core.injections import model
from sidecar_injector.core.merging import part_names, status_annotation
from sidecar_injector.core.pods import fields as pod_fields
from sidecar_injector.core.reasons import BY_CODE, Reason
from sidecar_injector.kube import api

COLUMNS = ("INJECTION", "OUTCOME", "TEMPLATE", "WHAT")
CURRENT, OUTDATED, GONE = "current", "outdated", "deleted since"
STYLES = {CURRENT: tables.GOOD, OUTDATED: tables.NEUTRAL, GONE: tables.NEUTRAL} | {
    reason.value: tables.style(reason) for reason in Reason
}
WITHOUT = "none of our sidecars"
_SINGULAR = {"initContainers": "init container"}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PodHistory:
    """What a pod's annotation says of its creation."""

    recorded: status_annotation.Provenance
    injections: Sequence[model.Injection]
    """The injections as they are now."""
    owner: remedies.Subject
    """What makes a new pod in place of this one, or the pod itself."""
    created: str = ""
    """RFC 3339, in UTC."""
    ages: Mapping[tuple[str, str], str] = dataclasses.field(default_factory=dict)
    """When each injection was created, by `Injection.identity`."""

    def current(self, identity: tuple[str, str]) -> model.Injection | None:
        """The injection as it is now; None if it was deleted."""
        return next(
            (injection for injection in self.injections if injection.identity == identity), None
        )


async def read(
    pod: api.Json, injections: cluster_injections.ReadInjections, pod_owners: owners.Owners
) -> PodHistory:
    """The history of a live pod."""
    metadata = api.metadata(pod)
    namespace = metadata["namespace"]
    owner = await pod_owners.of(pod)
    return PodHistory(
        recorded=status_annotation.read(pod_fields.metadata_map(pod, "annotations")),
        injections=injections.of(namespace),
        owner=remedies.Subject.of(
            owner, pod_fields.metadata_map(pod, "annotations").get(names.INJECT_ANNOTATION)
        ),
        created=metadata["creationTimestamp"],
        ages=injections.ages(namespace),
    )


def missing(history: PodHistory, decision: Decision) -> dict[str, str]:
    """What the pod lacks and a new one would get: the injection, and why this pod lacks it."""
    recorded = {entry.identity for entry in history.recorded.entries}
    return {
        line.injection.reference: why_missing(history, line.injection)
        for line in decision.injected
        if line.injection.identity not in recorded
    }


def why_missing(history: PodHistory, injection: model.Injection) -> str:
    """Why the pod lacks an injection that a new one would get."""
    # Texts in RFC 3339 and UTC have the order of their times.
    if history.created < history.ages.get(injection.identity, ""):
        return "created before this injection existed"
    for skipped in history.recorded.skipped:
        if (skipped.kind, skipped.name) == injection.identity:
            return f"could not be done then ({skipped.reason})"
    if history.recorded.entries or history.recorded.skipped:
        return "created before this injection was changed"
    return (
        "created while the injector did not answer, or before the injection or the namespace's"
        " label was changed"
    )


def headline(history: PodHistory, absent: Mapping[str, str]) -> str:
    """What the pod has, and why it lacks the rest."""
    present = ", ".join(
        f"{_reference(entry.kind, entry.name)}"
        + ("" if _template(history, entry) == CURRENT else f" ({_template(history, entry)})")
        for entry in history.recorded.entries
    )
    parts = [f"has {present or WITHOUT}"]
    parts += [f"without {reference}: {why}" for reference, why in absent.items()]
    return "; ".join(parts)


def remedy(history: PodHistory) -> remedies.Remedy:
    """How the pod gets what a new one would get."""
    owner = history.owner
    restart = remedies.of(Reason.NOT_A_CREATE, owner)
    if restart.command:
        return restart
    if owner.kind == "Pod":
        return remedies.Remedy("delete the pod and create it again")
    return remedies.Remedy(f"new pods of {owner.kind} {owner.name} have it")


def rows(history: PodHistory) -> Iterator[tables.Row]:
    """A row for each injection that the pod's annotation lists."""
    for entry in history.recorded.entries:
        reference = _reference(entry.kind, entry.name)
        yield reference, "Injected", _template(history, entry), _additions(entry)
    for skipped in history.recorded.skipped:
        reason = BY_CODE.get(skipped.reason)
        sentence = reason.sentence if reason else ""
        yield _reference(skipped.kind, skipped.name), skipped.reason, "-", sentence


def as_json(history: PodHistory) -> dict[str, Any]:
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


def _template(history: PodHistory, entry: status_annotation.Entry) -> str:
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
