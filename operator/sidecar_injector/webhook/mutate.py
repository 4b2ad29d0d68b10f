"""Admission reviews: one in, one out.

A pod is never refused because of us: whatever goes wrong in here is answered with `allowed: true`
and no patch, since `allowed: false`, and a patch that does not apply, refuse a pod even under
`failurePolicy: Ignore`. Only an injection's own `failurePolicy: Fail` refuses.
https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import re
import time
from collections.abc import Callable
from typing import Final

import orjson

from sidecar_injector import names
from sidecar_injector.httpserver import messages
from sidecar_injector.observability.metrics import ERROR, Metrics
from sidecar_injector.webhook import (
    admission_review,
    cluster_state,
    decision_log,
    outcome,
    response,
    response_cache,
)

_ANSWER: Final = b'{"apiVersion":"%b","kind":"AdmissionReview","response":{"uid":%b,%b}'
"""With what `Answer.response` has, which closes the response."""
_TRACEPARENT = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")

_log = logging.getLogger(__name__)


class PodWebhook:
    """Answers `/mutate`."""

    def __init__(
        self,
        *,
        known: cluster_state.ClusterState,
        metrics: Metrics,
        tell: Callable[[outcome.Admitted], None],
        report: decision_log.Report = decision_log.through_logging,
    ) -> None:
        self._known = known
        self._metrics = metrics
        self._tell = tell
        self._report = report
        self._memory: response_cache.ResponseCache[outcome.Outcome] = response_cache.ResponseCache()
        # One thread: large pods may wait for each other, and the loop for one of them at a time.
        self._aside = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix=names.PRODUCT)
        self._results = metrics.admission_requests.counts
        self._reasons = metrics.decisions.counts

    def mutate(self, request: messages.Request) -> messages.Answer:
        """The answer to a review of a pod; 400 where the body is no review."""
        start = time.perf_counter()
        if recalled := self._memory.recall(request.body):
            known, uid = recalled
            if known.serial == self._known.known(known.admitted.namespace).serial:
                return self._said(known, uid=uid, request=request, start=start)
        if len(request.body) > response_cache.LARGEST:
            return self._at_leisure(request, start)
        try:
            review = admission_review.read(request.body)
        except admission_review.NoReview as error:
            return _no_review(error)
        made = (
            outcome.of(review, self._known_of(review)) if admission_review.is_pod(review) else None
        )
        return self._answered(review, made, request=request, start=start)

    async def _at_leisure(self, request: messages.Request, start: float) -> messages.Response:
        """The same for a large body, with the event loop taking its turns in between."""
        loop = asyncio.get_running_loop()
        try:
            review = await loop.run_in_executor(self._aside, admission_review.read, request.body)
        except admission_review.NoReview as error:
            return _no_review(error)
        made = None
        if admission_review.is_pod(review):
            known = self._known_of(review)
            made = await loop.run_in_executor(self._aside, outcome.of, review, known)
        return self._answered(review, made, request=request, start=start)

    def _known_of(self, review: admission_review.Review) -> cluster_state.NamespaceState:
        return self._known.known(review.request.get("namespace") or "")

    def _answered(
        self,
        review: admission_review.Review,
        made: outcome.Outcome | None,
        *,
        request: messages.Request,
        start: float,
    ) -> messages.Response:
        """The answer, which is remembered; without an outcome the pod stays as it is."""
        uid = orjson.dumps(review.request["uid"])
        if made is None:
            if admission_review.is_pod(review):
                self._results[ERROR] += 1
            body = _ANSWER % (review.version.encode(), uid, response.UNCHANGED)
            return self._timed(body, start)
        layout = response_cache.layout_of(request.body)
        if layout and not outcome.minds(made, layout.token_volume(request.body)):
            self._memory.learn(request.body, made, layout=layout)
        return self._said(made, uid=uid, request=request, start=start)

    def _said(
        self, made: outcome.Outcome, *, uid: bytes, request: messages.Request, start: float
    ) -> messages.Response:
        """The answer; on the way it is counted, logged and told."""
        try:
            self._count(made.answer)
            traced = request.headers.get(b"traceparent")
            trace = trace_id(traced) if traced else ""
            milliseconds = (time.perf_counter() - start) * 1000
            self._report(made.line, decision_log.Asked(uid, milliseconds, trace))
            self._tell(made.admitted)
        except Exception:  # noqa: BLE001 - the answer is made and worth more than what is said of it
            _log.exception("cannot tell of this decision: %s", made.line.message)
        return self._timed(_ANSWER % (made.version, uid, made.answer.response), start)

    def _count(self, answer: response.Answer) -> None:
        self._results[answer.verdict] += 1
        for reason in answer.reasons:
            self._reasons[reason] += 1
        if answer.patch:
            self._metrics.patch_bytes.observe(len(answer.patch))

    def _timed(self, body: bytes, start: float) -> messages.Response:
        self._metrics.admission_duration.observe(time.perf_counter() - start)
        return messages.Response(200, body)


def _no_review(error: admission_review.NoReview) -> messages.Response:
    return messages.text(400, f"no AdmissionReview: {error}")


def trace_id(traceparent: bytes) -> str:
    """The trace that a request belongs to; empty without one that can be read.

    https://www.w3.org/TR/trace-context/#traceparent-header
    """
    found = _TRACEPARENT.match(traceparent)
    return found[1].decode() if found and found[1] != b"0" * 32 else ""
