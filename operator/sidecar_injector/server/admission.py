"""Admission reviews: one in, one out.

A pod is never refused because of us: whatever goes wrong in here is answered with `allowed: true`
and no patch, since `allowed: false`, and a patch that does not apply, refuse a pod even under
`failurePolicy: Ignore`. Only an injection's own `failurePolicy: Fail` refuses.
https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/
"""

from __future__ import annotations

import dataclasses
import logging
import re
import time
from collections.abc import Callable
from typing import Any

import orjson

from sidecar_injector import observe
from sidecar_injector.core import decide, world
from sidecar_injector.core.decision import Decision
from sidecar_injector.core.reasons import PodVerdict, Reason
from sidecar_injector.server import answers, http, journal, memory, registry, reviews

Json = dict[str, Any]

REVIEW_VERSIONS = ("admission.k8s.io/v1", "admission.k8s.io/v1beta1")
ERROR = "error"
_OPENING = b'{"apiVersion":"%b","kind":"AdmissionReview","response":{"uid":'
_ANSWER = b"%b%b,%b}"
"""Put together from ready-made parts: most of an answer was written with an earlier one."""
_TRACEPARENT = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")

_log = logging.getLogger(__name__)


class NoReview(ValueError):
    """The body is no AdmissionReview; the text says what is missing."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """A decision that was given to the API server, for whoever tells people about it."""

    namespace: str
    owner: Json | None
    """The reference to the controller that made the pod, if one did."""
    decision: Decision
    """Without the pod that it makes and the operations that make it."""
    dry_run: bool


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """All that is said about a pod, and about every other one whose review is like its own."""

    opening: bytes
    """Of the answer, up to the number of the question."""
    answer: answers.Answer
    line: journal.Line
    admitted: Admitted
    serial: int
    """Of what was known when it was decided: `registry.Known` has another one for all else."""


class Admission:
    """Answers `/mutate`."""

    def __init__(
        self,
        *,
        known: registry.Registry,
        metrics: observe.Metrics,
        tell: Callable[[Admitted], None],
        report: journal.Report = journal.through_logging,
    ) -> None:
        self._known = known
        self._metrics = metrics
        self._tell = tell
        self._report = report
        self._memory: memory.Memory[Outcome] = memory.Memory()
        # A label value that appears only with its first pod would hide that pod from rate().
        results = (*(one.value for one in PodVerdict), ERROR)
        self._results = {
            result: metrics.admission_requests.labels(result=result) for result in results
        }
        self._reasons = {
            reason.value: metrics.decisions.labels(reason=reason.value) for reason in Reason
        }

    def mutate(self, request: http.Request) -> http.Response:
        """The answer to a review of a pod; 400 where the body is no review."""
        start = time.perf_counter()
        try:
            body = self._reviewed(request, start)
        except NoReview as error:
            return http.text(400, f"no AdmissionReview: {error}")
        self._metrics.admission_duration.observe(time.perf_counter() - start)
        return http.Response(200, body)

    def _reviewed(self, request: http.Request, start: float) -> bytes:
        if known := self._memory.recall(request.body):
            outcome, uid = known
            if outcome.serial == self._known.known(outcome.admitted.namespace).serial:
                return self._said(outcome, uid=uid, request=request, start=start)

        version, asked = read_review(request.body)
        opening, uid = _OPENING % version.encode(), orjson.dumps(asked["uid"])
        if not is_pod(asked):
            return _ANSWER % (opening, uid, answers.UNCHANGED)
        try:
            outcome = self._decided(asked, opening=opening, body=request.body)
        except Exception:  # noqa: BLE001 - our own bug must not cost a pod
            _broken(asked)
            self._results[ERROR].inc()
            return _ANSWER % (opening, uid, answers.UNCHANGED)
        return self._said(outcome, uid=uid, request=request, start=start)

    def _decided(self, asked: Json, *, opening: bytes, body: bytes) -> Outcome:
        namespace = asked.get("namespace") or ""
        known = self._known.known(namespace)
        question = world.Request(
            namespace=known.world.namespace.name,
            pod=asked["object"],
            operation=asked.get("operation") or "",
            subresource=asked.get("subResource") or "",
        )
        answer = answers.of(decide.decide(question, known.world))
        admitted = Admitted(
            namespace=namespace,
            owner=journal.controller(question.pod.get("metadata") or {}),
            decision=answer.decision,
            dry_run=asked.get("dryRun") is True,
        )
        outcome = Outcome(
            opening=opening,
            answer=answer,
            line=journal.line_of(asked, answer, behind=known.behind),
            admitted=admitted,
            serial=known.serial,
        )
        layout = memory.layout_of(body)
        if layout and not _minds(outcome, layout.token_volume(body), known.world):
            self._memory.learn(body, outcome, layout=layout)
        return outcome

    def _said(self, outcome: Outcome, *, uid: bytes, request: http.Request, start: float) -> bytes:
        """The body of the answer; on the way it is counted, logged and told."""
        try:
            self._count(outcome.answer)
            traced = request.headers.get(b"traceparent")
            trace = trace_id(traced) if traced else ""
            milliseconds = (time.perf_counter() - start) * 1000
            self._report(outcome.line, journal.Asked(uid, milliseconds, trace))
            self._tell(outcome.admitted)
        except Exception:  # noqa: BLE001 - the answer is made and worth more than what is said of it
            _log.exception("cannot tell of this decision: %s", outcome.line.message)
        return _ANSWER % (outcome.opening, uid, outcome.answer.response)

    def _count(self, answer: answers.Answer) -> None:
        self._results[answer.verdict].inc()
        for reason in answer.reasons:
            self._reasons[reason].inc()
        if answer.patch:
            self._metrics.patch_bytes.observe(len(answer.patch))


def _minds(outcome: Outcome, token_volume: str, known: world.World) -> bool:
    """Whether a pod whose token volume has another name may get another outcome."""
    if not token_volume:
        return False
    said = (outcome.answer.message, *(line.message for line in outcome.admitted.decision.skipped))
    return (
        known.minds_token_volumes
        or any(token_volume in text for text in said)
        or token_volume.encode() in outcome.answer.patch
    )


def _broken(asked: Json) -> None:
    """Log the exception that is being handled: a bug of ours, unless the pod is none."""
    what = "cannot decide, the pod is admitted as it is"
    if said := reviews.complaint(asked):
        _log.warning("%s: no API server sends this: %s", what, said)
    else:
        _log.exception("%s: %s", what, journal.subject(asked))


def trace_id(traceparent: bytes) -> str:
    """The trace that a request belongs to; empty without one that can be read.

    https://www.w3.org/TR/trace-context/#traceparent-header
    """
    found = _TRACEPARENT.match(traceparent)
    return found[1].decode() if found and found[1] != b"0" * 32 else ""


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
