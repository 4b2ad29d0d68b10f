"""The mutating webhook for pods: an admission review in, an admission review out.

A pod is never refused because of an error of ours: it is answered with `allowed: true` and no
patch, since `allowed: false`, and a patch that does not apply, refuse a pod even under
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
from sidecar_injector.observability import logs
from sidecar_injector.observability.metrics import ERROR, Metrics
from sidecar_injector.webhook import (
    admission_review,
    cluster_state,
    decision_log,
    response,
    response_cache,
)

_REVIEW: Final = b'{"apiVersion":"%b","kind":"AdmissionReview","response":{"uid":%b,%b}'
"""With `PodResponse.members`, which close the response."""
_TRACEPARENT = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")

_log = logging.getLogger(__name__)


class PodWebhook:
    """Answers `/mutate`."""

    def __init__(
        self,
        *,
        state: cluster_state.ClusterState,
        metrics: Metrics,
        record_events: Callable[[response.PodResponse], None],
        log: decision_log.DecisionLog,
    ) -> None:
        self._state = state
        self._metrics = metrics
        self._record_events = record_events
        self._log = log
        self._cache = response_cache.ResponseCache()
        # One thread: large pods may wait for each other, and the loop for one of them at a time.
        self._worker = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix=names.PRODUCT)
        self._results = metrics.admission_requests.counts
        self._reasons = metrics.decisions.counts

    def mutate(self, request: messages.Request) -> messages.Answer:
        """The answer to the review of a pod; 400 if the body is not a review."""
        start = time.perf_counter()
        key, uid = response_cache.masked(request.body) or (None, b"")
        cached = self._cache.get(key) if key is not None else None
        if cached and cached.serial == self._state.of_namespace(cached.namespace).serial:
            if cached.is_cacheable:
                return self._finish(cached, uid=uid, request=request, start=start)
            key = None
        if len(request.body) > response_cache.MAX_REVIEW_BYTES:
            return self._in_worker_thread(request, start)
        try:
            return self._decide(request, key=key, uid=uid, start=start)
        except admission_review.InvalidReview as error:
            return _bad_request(error)

    def _decide(
        self, request: messages.Request, *, key: bytes | None, uid: bytes, start: float
    ) -> messages.Response:
        """The answer to a review that did not come before. Raises InvalidReview.

        Without a key the decision is about the review itself, and is not cached.
        """
        review = response_cache.canonical_review(key, uid) if key is not None else None
        if review is None:
            key, review = None, admission_review.read(request.body)
        if not admission_review.is_pod(review):
            return self._unchanged(review, start)
        has_token_volume = key is not None and response_cache.has_token_volume(key)
        token_volume = names.TOKEN_VOLUME_PREFIX if has_token_volume else ""
        state = self._state_for(review)
        pod_response = response.respond(review, state, token_volume=token_volume)
        if key is not None and pod_response:
            if state.is_kept:
                self._cache.put(key, pod_response)
            if not pod_response.is_cacheable:
                review = admission_review.read(request.body)
                pod_response = response.respond(review, state)
        return self._respond(review, pod_response, request=request, start=start)

    async def _in_worker_thread(self, request: messages.Request, start: float) -> messages.Response:
        """The same for a large body, which the event loop does not wait for; it is not cached."""
        loop = asyncio.get_running_loop()
        try:
            review = await loop.run_in_executor(self._worker, admission_review.read, request.body)
        except admission_review.InvalidReview as error:
            return _bad_request(error)
        if not admission_review.is_pod(review):
            return self._unchanged(review, start)
        state = self._state_for(review)
        pod_response = await loop.run_in_executor(self._worker, response.respond, review, state)
        return self._respond(review, pod_response, request=request, start=start)

    def _state_for(self, review: admission_review.Review) -> cluster_state.NamespaceState:
        return self._state.of_namespace(review.request.get("namespace") or "")

    def _respond(
        self,
        review: admission_review.Review,
        pod_response: response.PodResponse | None,
        *,
        request: messages.Request,
        start: float,
    ) -> messages.Response:
        """The answer; after an error of ours the pod stays as it is."""
        if pod_response is None:
            self._results[ERROR] += 1
            return self._unchanged(review, start)
        uid = orjson.dumps(review.request["uid"])
        return self._finish(pod_response, uid=uid, request=request, start=start)

    def _finish(
        self, pod_response: response.PodResponse, *, uid: bytes, request: messages.Request,
        start: float,
    ) -> messages.Response:  # fmt: skip
        """The answer, after it was counted, logged and queued for Events."""
        try:
            self._results[pod_response.verdict] += 1
            for reason in pod_response.reasons:
                self._reasons[reason] += 1
            if pod_response.patch_bytes:
                self._metrics.patch_bytes.observe(pod_response.patch_bytes)
            traceparent = request.headers.get(b"traceparent")
            self._log.write(
                pod_response.log_line,
                uid=uid,
                milliseconds=(time.perf_counter() - start) * 1000,
                trace=trace_id(traceparent) if traceparent else "",
            )
            self._record_events(pod_response)
        except Exception as error:  # noqa: BLE001 - the answer is sent even if it cannot be logged
            message = decision_log.message_of(pod_response.log_line)
            _log.exception(
                "cannot tell of this decision: %s", message, exc_info=logs.unquoted(error)
            )
        return self._timed(_REVIEW % (pod_response.version, uid, pod_response.members), start)

    def _unchanged(self, review: admission_review.Review, start: float) -> messages.Response:
        uid = orjson.dumps(review.request["uid"])
        return self._timed(_REVIEW % (review.version.encode(), uid, response.UNCHANGED), start)

    def _timed(self, body: bytes, start: float) -> messages.Response:
        self._metrics.admission_duration.observe(time.perf_counter() - start)
        return messages.Response(200, body)


def _bad_request(error: admission_review.InvalidReview) -> messages.Response:
    return messages.text(400, f"no AdmissionReview: {error}")


def trace_id(traceparent: bytes) -> str:
    """The trace that a request belongs to; empty without one that can be read.

    https://www.w3.org/TR/trace-context/#traceparent-header
    """
    match = _TRACEPARENT.match(traceparent)
    return match[1].decode() if match and match[1] != b"0" * 32 else ""
