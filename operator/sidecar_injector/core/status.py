"""The conditions in the status of an injection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sidecar_injector import names
from sidecar_injector.core.injections import model, namespace_view, schema

Json = dict[str, Any]
MAX_MESSAGE = 1024
"""Characters of a message; the API accepts 32 KiB, but people read only the beginning."""


def wanted(
    injection: model.Injection,
    *,
    errors: Sequence[schema.Problem],
    namespace: namespace_view.Namespace | None,
    serving: bool,
    current: Mapping[str, Any],
    now: str,
) -> Json | None:
    """The members of `status` that should change; None if nothing should.

    `errors` are those that `linting.validate` finds, `namespace` is the injection's own (None for
    the cluster kind, or while it is unknown), `serving` is whether this replica injects pods now,
    `now` is an RFC 3339 time. A replica that does not serve yet keeps the condition `Ready`,
    because another replica may serve.
    """
    ready = _ready(injection, namespace, serving=serving, accepted=not errors)
    before = {condition.get("type"): condition for condition in current.get("conditions") or ()}
    present = before.get("Ready") or {}
    is_of_this_spec = present.get("observedGeneration") == injection.generation
    if present and is_of_this_spec and ready[1] == "Pending":
        ready = tuple(present.get(field, "") for field in ("status", "reason", "message"))
    conditions = [
        _condition(kind, fields, before.get(kind) or {}, injection=injection, now=now)
        for kind, fields in (("Accepted", _accepted(errors)), ("Ready", ready))
    ]
    status = {
        "observedGeneration": injection.generation,
        "templateHash": injection.hash,
        "conditions": conditions,
    }
    return None if all(current.get(key) == value for key, value in status.items()) else status


Fields = tuple[str, str, str]
"""Status, reason and message of a condition."""
Content = tuple[Any, ...]
"""What a status says, without times; hashable."""


def content(status: Mapping[str, Any]) -> Content:
    """What a status says, whoever wrote it."""
    fields = ("type", "status", "reason", "message", "observedGeneration")
    return (
        status.get("observedGeneration"),
        status.get("templateHash"),
        *(
            tuple(str(condition.get(field, "")) for field in fields)
            for condition in status.get("conditions") or ()
        ),
    )


def is_complete(status: Mapping[str, Any], *, generation: int | None) -> bool:
    """Whether a replica, of whatever version, may have written this status for this spec."""
    judged = {
        condition.get("type")
        for condition in status.get("conditions") or ()
        if condition.get("observedGeneration") == generation
        and condition.get("status") in {"True", "False", "Unknown"}
    }
    return (
        status.get("observedGeneration") == generation
        and bool(status.get("templateHash"))
        and judged >= {"Accepted", "Ready"}
    )


def _accepted(errors: Sequence[schema.Problem]) -> Fields:
    if not errors:
        return "True", "Valid", ""
    return "False", "Invalid", "; ".join(map(str, errors))[:MAX_MESSAGE]


def _ready(
    injection: model.Injection,
    namespace: namespace_view.Namespace | None,
    *,
    serving: bool,
    accepted: bool,
) -> Fields:
    if not accepted:
        return "False", "NotAccepted", "an injection that is not valid is never applied"
    if injection.spec.get("suspend"):
        return "False", "Suspended", "spec.suspend is true"
    if not injection.is_cluster:
        if namespace is None:
            return "Unknown", "Pending", "the namespace is not known yet"
        if not namespace.is_enabled:
            command = (
                f"kubectl label namespace {namespace.name} {names.INJECTION_LABEL}={names.ENABLED}"
            )
            return "False", "NamespaceNotEnabled", f"enable the namespace: {command} --overwrite"
    if not serving:
        return "Unknown", "Pending", "the injector is starting"
    return "True", "Active", ""


def _condition(
    kind: str, fields: Fields, before: Mapping[str, Any], *, injection: model.Injection, now: str
) -> Json:
    status, reason, message = fields
    since = before.get("lastTransitionTime") if before.get("status") == status else None
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "observedGeneration": injection.generation,
        "lastTransitionTime": since or now,
    }
