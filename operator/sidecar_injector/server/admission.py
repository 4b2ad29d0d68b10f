"""Admission reviews: one in, one out.

A pod is never refused because of us: whatever goes wrong in here is answered with `allowed: true`
and no patch, since `allowed: false`, and a patch that does not apply, refuse a pod even under
`failurePolicy: Ignore`. Only an injection's own `failurePolicy: Fail` refuses.
https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/
"""

from __future__ import annotations

import base64
import dataclasses
import logging
import time
from collections.abc import Callable
from typing import Any

import orjson

from sidecar_injector import names, observe
from sidecar_injector.core import decide, world
from sidecar_injector.core.decision import Decision
from sidecar_injector.core.reasons import PodVerdict, Reason
from sidecar_injector.server import http, registry, reviews

Json = dict[str, Any]

REVIEW_VERSIONS = ("admission.k8s.io/v1", "admission.k8s.io/v1beta1")
MAX_WARNINGS = 3
MAX_WARNING_LENGTH = 120
UNPROCESSABLE = 422
ERROR = "error"

_log = logging.getLogger(__name__)


class NoReview(ValueError):
    """The body is no AdmissionReview; the text says what is missing."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """A decision that was given to the API server, for whoever tells people about it."""

    namespace: str
    pod: Json
    decision: Decision
    dry_run: bool


class Admission:
    """Answers `/mutate`."""

    def __init__(
        self,
        *,
        known: registry.Registry,
        metrics: observe.Metrics,
        tell: Callable[[Admitted], None],
    ) -> None:
        self._known = known
        self._metrics = metrics
        self._tell = tell
        # A label value that appears only with its first pod would hide that pod from rate().
        for verdict in (*(one.value for one in PodVerdict), ERROR):
            metrics.admission_requests.labels(result=verdict)
        for reason in Reason:
            metrics.decisions.labels(reason=reason.value)

    def mutate(self, request: http.Request) -> http.Response:
        """The answer to a review of a pod; 400 where the body is no review."""
        start = time.perf_counter()
        try:
            version, asked = read_review(request.body)
        except NoReview as error:
            return http.text(400, f"no AdmissionReview: {error}")

        try:
            response = self._response(asked, start)
        except Exception:  # noqa: BLE001 - our own bug must not cost a pod
            if said := reviews.complaint(asked):
                _log.warning("cannot decide about a pod, it is admitted as it is: %s", said)
            else:
                _log.exception("cannot decide about %s, it is admitted as it is", _subject(asked))
            self._metrics.admission_requests.labels(result=ERROR).inc()
            response = {"allowed": True}
        response["uid"] = asked["uid"]
        review = {"apiVersion": version, "kind": "AdmissionReview", "response": response}
        self._metrics.admission_duration.observe(time.perf_counter() - start)
        return http.Response(200, orjson.dumps(review))

    def _response(self, asked: Json, start: float) -> Json:
        if not is_pod(asked):
            return {"allowed": True}
        pod = asked["object"]
        namespace = asked.get("namespace") or ""
        known, behind = self._known.world(namespace)
        decision = decide.decide(
            world.Request(
                namespace=namespace,
                pod=pod,
                operation=asked.get("operation") or "",
                subresource=asked.get("subResource") or "",
            ),
            known,
        )

        response = respond(decision)
        self._count(decision, response)
        self._report(asked, decision, behind=behind, start=start)
        dry_run = asked.get("dryRun") is True
        self._told(
            Admitted(namespace=namespace, pod=pod, decision=decision, dry_run=dry_run), asked
        )
        return response

    def _told(self, admitted: Admitted, asked: Json) -> None:
        try:
            self._tell(admitted)
        except Exception:
            if reviews.complaint(asked):
                raise
            # The answer is made and worth more than its Event.
            _log.exception("cannot tell of a decision in namespace %s", admitted.namespace)

    def _count(self, decision: Decision, response: Json) -> None:
        self._metrics.admission_requests.labels(result=decision.verdict.value).inc()
        for reason in reasons(decision):
            self._metrics.decisions.labels(reason=reason.value).inc()
        if "patch" in response:
            self._metrics.patch_bytes.observe(len(response["patch"]) * 3 // 4)

    def _report(self, asked: Json, decision: Decision, *, behind: bool, start: float) -> None:
        """One line a decision: identity, verdict, reasons; never a part of the pod's body."""
        if not _log.isEnabledFor(logging.INFO):
            return
        metadata = asked["object"].get("metadata") or {}
        subject = _subject(asked)
        fields = {
            "namespace": asked.get("namespace"),
            "pod": metadata.get("name") or metadata.get("generateName"),
            "uid": asked["uid"],
            "owner": owner(metadata),
            "verdict": decision.verdict.value,
            "reasons": [reason.value for reason in reasons(decision)],
            "milliseconds": round((time.perf_counter() - start) * 1000, 3),
        }
        if behind:
            fields["cacheBehind"] = True
        _log.info("pod %s: %s: %s", subject, decision.verdict.value, decision.message,
                  extra={"fields": fields})  # fmt: skip


def read_review(body: bytes) -> tuple[str, Json]:
    """The version and the request of a review. Raises NoReview."""
    try:
        review = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise NoReview("the body is no JSON") from error
    if not isinstance(review, dict) or review.get("kind") != "AdmissionReview":
        raise NoReview("kind must be AdmissionReview")
    version = review.get("apiVersion")
    if version not in REVIEW_VERSIONS:
        raise NoReview(f"apiVersion must be one of {', '.join(REVIEW_VERSIONS)}")
    asked = review.get("request")
    if not isinstance(asked, dict) or not isinstance(asked.get("uid"), str):
        raise NoReview("request.uid is missing")
    return version, asked


def is_pod(asked: Json) -> bool:
    """Whether the question is about a pod itself; everything else is none of our business."""
    resource = asked.get("resource")
    return (
        isinstance(resource, dict)
        and resource.get("group", "") == ""
        and resource.get("resource") == "pods"
        and isinstance(asked.get("object"), dict)
    )


def respond(decision: Decision) -> Json:
    """A decision in the API server's words, without `uid`."""
    response: Json = {"allowed": decision.verdict is not PodVerdict.REFUSED}
    if decision.verdict is PodVerdict.REFUSED:
        response["status"] = {"code": UNPROCESSABLE, "message": decision.message}
    elif decision.operations:
        response["patchType"] = "JSONPatch"
        response["patch"] = base64.b64encode(orjson.dumps(decision.operations)).decode()
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


def reasons(decision: Decision) -> list[Reason]:
    """Every reason that a decision carries, once each, in its own order."""
    found = [decision.reason] if decision.reason else []
    found += [word.reason for word in decision.words]
    found += [line.reason for line in decision.lines]
    return list(dict.fromkeys(found))


def owner(metadata: Json) -> str | None:
    """The controller that made the pod, as KIND/NAME."""
    for reference in metadata.get("ownerReferences") or ():
        if reference.get("controller"):
            return f"{reference.get('kind')}/{reference.get('name')}"
    return None


def _subject(asked: Json) -> str:
    thing = asked.get("object")
    metadata = thing.get("metadata") if isinstance(thing, dict) else None
    if not isinstance(metadata, dict):
        return f"{asked.get('namespace')}/?"
    name = metadata.get("name") or f"{metadata.get('generateName') or ''}*"
    return f"{asked.get('namespace')}/{name}"


def _cut(text: str) -> str:
    return text if len(text) <= MAX_WARNING_LENGTH else f"{text[: MAX_WARNING_LENGTH - 1]}…"
