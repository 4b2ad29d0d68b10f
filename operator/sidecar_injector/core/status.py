"""The conditions in the status of an injection."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sidecar_injector import names
from sidecar_injector.core import audit
from sidecar_injector.core.injections import model, namespace_view, schema

Json = dict[str, Any]
MAX_MESSAGE = 1024
"""Characters of a message; the API accepts 32 KiB, but people read only the beginning."""


def wanted(
    injection: model.Injection,
    *,
    errors: Sequence[schema.Problem],
    namespace: namespace_view.Namespace | None,
    reach: Reach,
    serving: bool,
    current: Mapping[str, Any],
    now: str,
    compiled: Fields | None = None,
) -> Json | None:
    """The members of `status` that should change; None if nothing should.

    `errors` are those that `linting.validate` finds, `namespace` is the injection's own (None for
    the cluster kind, or while it is unknown), `serving` is whether this replica injects pods now,
    `now` is an RFC 3339 time. A replica that does not serve yet keeps the conditions `Ready` and
    `Effective`, because another replica may serve. `compiled` is what became of an injection with
    `engine: Policy`; only the leader knows it, and the others keep what is there.
    """
    before = {condition.get("type"): condition for condition in current.get("conditions") or ()}
    ready = _ready(injection, namespace, reach, serving=serving, accepted=not errors)
    effective = _effective(ready, current.get("pods") or {})
    if ready[1] == PENDING:
        ready = _as_present(before.get("Ready"), injection) or ready
        effective = _as_present(before.get("Effective"), injection) or effective
    conditions = [
        _condition(kind, fields, before.get(kind) or {}, injection=injection, now=now)
        for kind, fields in (
            ("Accepted", _accepted(errors)),
            ("Effective", effective),
            ("Ready", ready),
        )
    ]
    if injection.is_compiled:
        conditions[1:1] = _compiled(compiled, before.get(COMPILED), injection=injection, now=now)
    status = {
        "observedGeneration": injection.generation,
        "templateHash": injection.hash,
        "conditions": conditions,
    }
    return None if all(current.get(key) == value for key, value in status.items()) else status


Fields = tuple[str, str, str]
"""Status, reason and message of a condition; no message is empty."""
PENDING = "Pending"
COMPILED = "Compiled"


@dataclasses.dataclass(frozen=True, slots=True)
class Reach:
    """What is known of the namespaces in which an injection applies."""

    has_namespace: bool = True
    """Whether an enabled namespace matches, for the cluster kind."""
    forbidden: str = ""
    """Why the Pod Security level of its namespace forbids the template; empty if it does not."""


Content = tuple[Any, ...]
"""What a status says, without times; hashable."""


def content(status: Mapping[str, Any]) -> Content:
    """What a status says, whoever wrote it, but for the condition that only the leader writes."""
    fields = ("type", "status", "reason", "message", "observedGeneration")
    return (
        status.get("observedGeneration"),
        status.get("templateHash"),
        *(
            tuple(str(condition.get(field, "")) for field in fields)
            for condition in status.get("conditions") or ()
            if condition.get("type") != COMPILED
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


_MANAGE: Final = (
    "the webhook injects it, as the operator may not write policies: helm upgrade RELEASE CHART"
    " --reuse-values --set policies.managed=true lets it, and sidecar-injector compile makes one"
    " to apply"
)
NOT_ACCEPTED: Final[Fields] = (
    "False", "NotAccepted", "an injection that is not valid is never applied",
)  # fmt: skip
SUSPENDED: Final[Fields] = "False", "Suspended", "spec.suspend is true"
NOT_MANAGED: Final[Fields] = "False", "NotManaged", _MANAGE


def not_served(minor: int) -> Fields:
    """Of a cluster of the release 1.`minor`."""
    message = f"the webhook injects it, as Kubernetes 1.{minor} has no such policies: 1.36 has"
    return "False", "NotServed", message


def not_compiled(why: str, *, is_size: bool) -> Fields:
    """Of an injection that no policy can do; `why` begins with the path of a field."""
    reason = "TooLarge" if is_size else "Unsupported"
    return "False", reason, f"the webhook injects it: {why}"[:MAX_MESSAGE]


def not_written(problem: str) -> Fields:
    """Of an injection whose policy is not in the cluster as it should be."""
    return "False", "NotWritten", f"the webhook injects it: {problem}"[:MAX_MESSAGE]


def in_force(policy: str, unguarded: str) -> Fields:
    """Of an injection in a policy; `unguarded` is why the guard cannot hold `failurePolicy`."""
    message = f"MutatingAdmissionPolicy {policy} adds it, also while no replica runs"
    if unguarded:
        message += f"; only the webhook can refuse a pod for it: {unguarded}"
    return "True", "InForce", message[:MAX_MESSAGE]


def _compiled(
    fields: Fields | None,
    before: Mapping[str, Any] | None,
    *,
    injection: model.Injection,
    now: str,
) -> list[Json]:
    """The condition; as it is if nothing is known of this version of the injection."""
    if fields is None:
        return [dict(before)] if before else []
    return [_condition(COMPILED, fields, before or {}, injection=injection, now=now)]


def _accepted(errors: Sequence[schema.Problem]) -> Fields:
    if not errors:
        return "True", "Valid", "the spec is valid"
    return "False", "Invalid", "; ".join(map(str, errors))[:MAX_MESSAGE]


def _ready(
    injection: model.Injection,
    namespace: namespace_view.Namespace | None,
    reach: Reach,
    *,
    serving: bool,
    accepted: bool,
) -> Fields:
    if not accepted:
        return NOT_ACCEPTED
    if injection.spec.get("suspend"):
        return SUSPENDED
    if not injection.is_cluster:
        if namespace is None:
            return "Unknown", PENDING, "the namespace is not known yet"
        if not namespace.is_enabled:
            command = (
                f"kubectl label namespace {namespace.name} {names.INJECTION_LABEL}={names.ENABLED}"
            )
            return "False", "NamespaceNotEnabled", f"enable the namespace: {command} --overwrite"
    if not serving:
        return "Unknown", PENDING, "the injector is starting"
    if not reach.has_namespace:
        label = f"{names.INJECTION_LABEL}={names.ENABLED}"
        message = f"no namespace with the label {label} matches spec.namespaceSelector"
        return "False", "NoNamespace", message
    if reach.forbidden:
        return "False", "PodSecurity", reach.forbidden[:MAX_MESSAGE]
    if injection.is_dry_run:
        return "False", "DryRun", "spec.dryRun is true: nothing is added, and no pod is refused"
    return "True", "Active", "new pods that it selects are injected"


def _effective(ready: Fields, pods: Mapping[str, Any]) -> Fields:
    """What became of the pods that were created so far, as the audit counted them."""
    if ready[0] != "True":
        return ready
    selected, skipped = pods.get(audit.SELECTED) or 0, pods.get(audit.SKIPPED) or 0
    if not selected:
        return "Unknown", "NoPods", "it selects no pod that runs now"
    # No message has a count: each pod that comes or goes would be one more write.
    if skipped < selected:
        return "True", "HasPods", "pods that it selects have it, or get it when created again"
    reasons = ", ".join(pods.get(audit.SKIPPED_REASONS) or ())
    because = f": {reasons}" if reasons else ""
    message = f"all pods that it selects are skipped{because}"
    return "False", "AllSkipped", f"{message}. See their annotation {names.SKIPPED_ANNOTATION}"


def _as_present(present: Mapping[str, Any] | None, injection: model.Injection) -> Fields | None:
    """The fields of a condition that is there; None if it is not about this spec."""
    if not present or present.get("observedGeneration") != injection.generation:
        return None
    status, reason, message = (present.get(field, "") for field in ("status", "reason", "message"))
    return status, reason, message


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
