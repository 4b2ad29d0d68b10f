"""A decision in the API server's words, and in those of log and metrics."""

from __future__ import annotations

import base64
import dataclasses
from typing import Any, Final

import orjson

from sidecar_injector import names
from sidecar_injector.core.decision import Decision
from sidecar_injector.core.reasons import PodVerdict
from sidecar_injector.webhook import compact

Json = dict[str, Any]

MAX_WARNINGS: Final = 3
MAX_WARNING_LENGTH: Final = 120
UNPROCESSABLE: Final = 422
UNCHANGED: Final = b'"allowed":true}'
"""What admits a pod as it is, as `Answer.response` has it."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """All that is said about a decision; nothing in it belongs to one pod alone."""

    response: bytes
    """The members of the response and its closing brace; `uid` goes before them."""
    verdict: str
    reasons: tuple[str, ...]
    message: str
    patch: bytes
    decision: Decision
    """Without the pod and the way to it, which nobody needs any more and which are large."""


def of(decision: Decision) -> Answer:
    """What is said about this decision."""
    patch = compact.dumps(decision.operations) if decision.operations else b""
    return Answer(
        response=orjson.dumps(_response(decision, patch))[1:],
        verdict=decision.verdict.value,
        reasons=tuple(reason.value for reason in decision.reasons),
        message=decision.message,
        patch=patch,
        decision=dataclasses.replace(decision, pod={}, operations=()),
    )


def _response(decision: Decision, patch: bytes) -> Json:
    response: Json = {"allowed": decision.verdict is not PodVerdict.REFUSED}
    if decision.verdict is PodVerdict.REFUSED:
        response["status"] = {"code": UNPROCESSABLE, "message": decision.message}
    elif patch:
        response["patchType"] = "JSONPatch"
        response["patch"] = base64.b64encode(patch).decode()
    if lines := warnings(decision):
        response["warnings"] = lines
    if audit := audit_annotations(decision):
        response["auditAnnotations"] = audit
    return response


def warnings(decision: Decision) -> list[str]:
    """What the pod's author should act on: few and short, as the API server cuts long ones.

    https://github.com/kubernetes/apiserver/blob/master/pkg/endpoints/filters/warning.go
    """
    subjects = [(word.subject, word.reason, word.message) for word in decision.words]
    subjects += [(line.injection.reference, line.reason, line.message) for line in decision.skipped]
    return [
        _cut(f"{names.PRODUCT}: {subject}: {reason.value}: {message}")
        for subject, reason, message in subjects[:MAX_WARNINGS]
    ]


def audit_annotations(decision: Decision) -> dict[str, str]:
    """What the API server's audit log keeps of a decision."""
    skipped = [f"{one.injection.reference}={one.reason.value}" for one in decision.skipped]
    injected = [one.injection.reference for one in decision.injected]
    values = {"injected": ",".join(injected), "skipped": ",".join(skipped)}
    return {key: value for key, value in values.items() if value}


def _cut(text: str) -> str:
    return text if len(text) <= MAX_WARNING_LENGTH else f"{text[: MAX_WARNING_LENGTH - 1]}…"
