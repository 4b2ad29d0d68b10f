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
_TRACEPARENT = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")

_log = logging.getLogger(__name__)


class NoReview(ValueError):
    """The body is no AdmissionReview; the text says what is missing."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """A decision that was given to the API server, for whoever tells people about it."""

    namespace: str
    pod: Json
    decision: Decision
    """Without the pod that it makes and the operations that make it."""
    dry_run: bool


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
        self._memory = memory.Memory()
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
            version, asked = read_review(request.body)
        except NoReview as error:
            return http.text(400, f"no AdmissionReview: {error}")

        try:
            response = self._response(asked, request, start)
        except Exception:  # noqa: BLE001 - our own bug must not cost a pod
            _broken("cannot decide, the pod is admitted as it is", asked)
            self._results[ERROR].inc()
            response = answers.UNCHANGED
        # Put together from ready-made parts: most of an answer was written with an earlier one.
        body = b'{"apiVersion":"%b","kind":"AdmissionReview","response":{"uid":%b,%b}' % (
            version.encode(), orjson.dumps(asked["uid"]), response,
        )  # fmt: skip
        self._metrics.admission_duration.observe(time.perf_counter() - start)
        return http.Response(200, body)

    def _response(self, asked: Json, request: http.Request, start: float) -> bytes:
        if not is_pod(asked):
            return answers.UNCHANGED
        known = self._known.known(asked.get("namespace") or "")
        answer = self._answer(asked, known)

        self._results[answer.verdict].inc()
        for reason in answer.reasons:
            self._reasons[reason].inc()
        if answer.patch:
            self._metrics.patch_bytes.observe(len(answer.patch))
        more: Json = {"milliseconds": round((time.perf_counter() - start) * 1000, 3)}
        if known.behind:
            more["cacheBehind"] = True
        if trace := trace_id(request.headers.get(b"traceparent", b"")):
            more["trace"] = trace
        self._report(asked, answer, more)
        self._told(asked, answer)
        return answer.response

    def _answer(self, asked: Json, known: registry.Known) -> answers.Answer:
        """Remembered where a pod like this one was asked about before, else decided."""
        question = world.Request(
            namespace=known.world.namespace.name,
            pod=asked["object"],
            operation=asked.get("operation") or "",
            subresource=asked.get("subResource") or "",
        )
        # Only a creation is worth it: all else is out of scope at a glance.
        is_creation = question.operation == "CREATE" and not question.subresource
        key = (
            memory.key_of(question.pod, known=known.world, serial=known.serial)
            if is_creation
            else None
        )
        answer = self._memory.recall(key) if key else None
        if answer is None:
            answer = answers.of(decide.decide(question, known.world))
            if key:
                self._memory.learn(key, answer)
        return answer

    def _told(self, asked: Json, answer: answers.Answer) -> None:
        admitted = Admitted(
            namespace=asked.get("namespace") or "",
            pod=asked["object"],
            decision=answer.decision,
            dry_run=asked.get("dryRun") is True,
        )
        try:
            self._tell(admitted)
        except Exception:  # noqa: BLE001 - the answer is made and worth more than its Event
            _broken("cannot tell of the decision", asked)


def _broken(what: str, asked: Json) -> None:
    """Log the exception that is being handled: a bug of ours, unless the pod is none."""
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
