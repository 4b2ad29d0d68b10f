"""The validating webhook for our own kinds: refuses an injection that could never be applied.

The refusal is the sentence that the status of the injection would have. An injection that can be
applied is admitted, with warnings about what its author should look at.
"""

from __future__ import annotations

import asyncio
import contextvars
import dataclasses
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import orjson

from sidecar_injector import names
from sidecar_injector.core.injections import model, namespace_view
from sidecar_injector.core.pods import lenient
from sidecar_injector.httpserver import messages
from sidecar_injector.observability import logs
from sidecar_injector.webhook import admission_review, judge

Json = dict[str, Any]
Namespaces = Callable[[str | None], Sequence[namespace_view.Namespace]]
"""Where an injection of this namespace (None: of the cluster) may work."""
CompetingInjections = Callable[[str | None], Sequence[model.Injection]]
"""The injections that may meet one of this namespace (None: of the cluster) on a pod."""

UNCHECKED: Final = f"{names.PRODUCT}: this injection could not be checked; see its status"
NOT_CALLED: Final = (
    "spec.optOut: set the chart's value webhook.optedOutPods: until then the label"
    f" {names.INJECTION_LABEL}={names.DISABLED} opts out"
)
KOPF_SECONDS = 2.0
"""How long to wait for Kopf, beside `judge.JUDGE_SECONDS` of the API server's five seconds."""
MAX_REVIEW_BYTES: Final = 2 << 20
"""Of a review of an injection. It has the object twice, with what was applied last and who owns
which field: sixteen times the most bytes of a spec."""

MAX_LOGGED: Final = 256
"""Characters of the field paths in the log."""

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """What the API server is told about an injection."""

    refusal: str = ""
    """Names every field that is wrong; empty for an injection that is admitted."""
    warnings: Sequence[str] = ()


_ADMITTED = Verdict()
_UNCHECKED = Verdict(warnings=(UNCHECKED,))
current_verdict: contextvars.ContextVar[Verdict] = contextvars.ContextVar(
    "current_verdict", default=_UNCHECKED
)
"""The verdict of the review that Kopf dispatches now."""


class InjectionWebhook:
    """Judges the injections of `/validate`."""

    def __init__(
        self,
        injection_judge: judge.Judge,
        *,
        competing: CompetingInjections,
        namespaces: Namespaces,
        is_called_for_opted_out: Callable[[], bool],
    ) -> None:
        """`is_called_for_opted_out`: whether the API server calls us for pods that opt out."""
        self._judge, self._competing, self._namespaces = injection_judge, competing, namespaces
        self._is_called_for_opted_out = is_called_for_opted_out

    async def verdict(self, resource: Json, *, kind: str) -> Verdict:
        """The verdict about an injection.

        One that is being deleted is admitted: its last update must not be held up. One that is not
        judged is admitted too, with a warning.
        """
        metadata = resource.get("metadata") or {}
        if metadata.get("deletionTimestamp"):
            return _ADMITTED
        namespace = None if kind == names.CLUSTER_KIND else metadata.get("namespace")
        try:
            findings = await self._judge.findings(
                resource,
                kind=kind,
                others=lambda: self._competing(namespace),
                namespaces=lambda: self._namespaces(namespace),
            )
        except judge.UncheckedError:
            return _UNCHECKED
        if findings.errors:
            # A mistake of the user's, who has the answer; a value in it may be private.
            short_name = admission_review.short_name
            where = f"{short_name(namespace)}/" if namespace else ""
            name = short_name(metadata.get("name") or metadata.get("generateName"))
            paths = ", ".join(dict.fromkeys(problem.path for problem in findings.errors))
            fields = logs.shortened(paths, MAX_LOGGED)
            _log.info("%s %s%s is refused, as it is not valid: %s", kind, where, name, fields)
        warnings = findings.short_warnings()
        if _is_mandatory(resource, kind) and not self._is_called_for_opted_out():
            warnings = [NOT_CALLED, *warnings]
        return Verdict("; ".join(map(str, findings.errors)), warnings)

    def handler(self, dispatch: Callable[..., Awaitable[Any]]) -> messages.Handler:
        """The handler of `/validate`: Kopf's handler answers with the verdict, or we do without it.

        If the injection is not judged, it is admitted; its status says `Accepted=False` if it has
        errors.
        """
        # Kopf holds the event loop for a millisecond: pods are answered after each review.
        kopf_turn = asyncio.Lock()

        async def validate_injection(request: messages.Request) -> messages.Response:
            if len(request.body) > MAX_REVIEW_BYTES:
                size = f"{len(request.body)} bytes, at most {MAX_REVIEW_BYTES} are accepted"
                return messages.text(413, f"the review of an injection has {size}")
            try:
                version, admission_request = await _read(request.body)
            except admission_review.InvalidReview as error:
                return messages.text(400, f"no AdmissionReview: {error}")
            if not admission_review.is_injection(admission_request):
                return messages.text(400, "no AdmissionReview of an injection")
            kind = admission_request["kind"]["kind"]
            verdict = await self.verdict(admission_request["object"], kind=kind)
            current_verdict.set(verdict)
            review = {
                "apiVersion": version,
                "kind": "AdmissionReview",
                "request": _outline(admission_request),
            }
            try:
                async with asyncio.timeout(KOPF_SECONDS), kopf_turn:
                    answer = await dispatch(review, webhook=names.VALIDATE_HANDLER)
                    await asyncio.sleep(0)  # Nothing in `dispatch` waits: let others run.
            except Exception as error:  # noqa: BLE001 - the boundary of Kopf
                _log_without_kopf(error)
                response = response_without_kopf(admission_request["uid"], verdict)
                answer = {"apiVersion": version, "kind": "AdmissionReview", "response": response}
            return messages.Response(200, orjson.dumps(answer))

        return validate_injection


def _is_mandatory(resource: Json, kind: str) -> bool:
    spec = lenient.child(resource, "spec")
    return kind == names.CLUSTER_KIND and spec.get("optOut") == "Forbidden"


def response_without_kopf(uid: str, verdict: Verdict) -> Json:
    """The response to a request that Kopf does not dispatch.

    Kopf looks up which resources the API server serves when a CRD changes, which is before the
    resource is served. After a CRD was recreated Kopf may not know it until the next change.
    https://github.com/nolar/kopf/blob/main/kopf/_core/reactor/observation.py
    """
    if not verdict.refusal:
        return {"uid": uid, "allowed": True, "warnings": list(verdict.warnings)}
    status = {"code": admission_review.UNPROCESSABLE, "message": verdict.refusal}
    return {"uid": uid, "allowed": False, "status": status}


def _outline(admission_request: Json) -> Json:
    """The request without the content of the object, of which Kopf makes copies and a diff."""
    resource = admission_request["object"]
    metadata = resource.get("metadata") or {}
    outline = {key: metadata[key] for key in ("name", "namespace", "uid") if key in metadata}
    return {
        **admission_request,
        "object": {**resource, "metadata": outline, "spec": {}, "status": {}},
        "oldObject": None,
    }


def _log_without_kopf(error: Exception) -> None:
    if isinstance(error, TimeoutError):
        why = f"not within {KOPF_SECONDS:g} s (TimeoutError); many may have been applied at once"
    else:
        why = type(error).__name__  # Its text may repeat a value of the injection.
    _log.warning("Kopf cannot dispatch an injection, it is judged directly: %s", why)


async def _read(body: bytes) -> admission_review.Review:
    if len(body) <= admission_review.MAX_BLOCKING_BYTES:
        return admission_review.read(body)
    return await asyncio.to_thread(admission_review.read, body)
