"""The mutating webhook for pods: an admission review in, an admission review out.

A pod is never refused because of an error of ours: it is answered with `allowed: true` and no
patch, since `allowed: false`, and a patch that does not apply, refuse a pod even under
`failurePolicy: Ignore`. Only an injection's own `failurePolicy: Fail` refuses.
https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/
"""

from __future__ import annotations

import functools
import logging
import re
import time
from collections.abc import Callable
from typing import Final

import orjson

from sidecar_injector import names
from sidecar_injector.core.merging import budget
from sidecar_injector.httpserver import messages
from sidecar_injector.observability import logs
from sidecar_injector.observability.metrics import BUSY, ERROR, TOO_LARGE, Metrics
from sidecar_injector.webhook import (
    admission_review,
    cluster_state,
    decision_log,
    response,
    response_cache,
    worker,
)

SHORT_BYTES: Final = 64 << 10
"""Of a review that is decided while others wait. To look at the densest pod of this size takes up
to 20 ms, before anything is added."""
REVIEW: Final = b'{"apiVersion":"%b","kind":"AdmissionReview","response":{"uid":%b,%b}'
"""With version, uid and members such as `PodResponse.members`, which close the response."""
NOT_READ: Final = "the pod is unchanged, as reading it would take too much memory"
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
        long_work: worker.Worker | None = None,
    ) -> None:
        self._state = state
        self._metrics = metrics
        self._record_events = record_events
        self._log = log
        self._cache = response_cache.ResponseCache()
        self._worker = long_work or worker.Worker()
        self._results = metrics.admission_requests.counts
        self._reasons = metrics.decisions.counts

    def mutate(self, request: messages.Request) -> messages.Answer:
        """The answer to the review of a pod; 400 if the body is not a review."""
        start = time.perf_counter()
        key, uid = response_cache.masked(request.body) or (None, b"")
        if cached := self._cached(key):
            if cached.is_cacheable:
                return self._finish(cached, uid=uid, request=request, start=start)
            key = None
        body = request.body
        try:
            if len(body) > SHORT_BYTES or admission_review.is_heavy(body):
                return self._long(request, key=key, uid=uid, start=start)
            return self._decide(request, key=key, uid=uid, start=start)
        except budget.LongWorkError as error:
            return self._long(request, key=key, uid=uid, start=start, cost=error.work)
        except admission_review.TooLargeReview:
            return self._unread(body, start)
        except admission_review.InvalidReview as error:
            return _bad_request(error)

    def _cached(self, key: bytes | None) -> response.PodResponse | None:
        """What was decided about this key, if nothing has changed in its namespace since."""
        cached = self._cache.get(key) if key is not None else None
        if cached and cached.serial == self._state.of_namespace(cached.namespace).serial:
            return cached
        return None

    def _decide(
        self, request: messages.Request, *, key: bytes | None, uid: bytes, start: float
    ) -> messages.Response:
        """The answer to a review that did not come before. Raises InvalidReview.

        Without a key the decision is about the review itself, and is not cached.
        """
        key, review = _read(request.body, key, uid)
        if not admission_review.is_pod(review):
            return self._unchanged(review, start)
        state = self._state_for(review)
        pod_response = response.respond(
            review, state, token_volume=_token_volume(key), is_waited_for=True
        )
        if key is not None and pod_response:
            if state.is_kept:
                self._cache.put(key, pod_response)
            if not pod_response.is_cacheable:
                review = admission_review.read(request.body)
                pod_response = response.respond(review, state)
        return self._respond(review, pod_response, request=request, start=start)

    def _long(
        self,
        request: messages.Request,
        *,
        key: bytes | None,
        uid: bytes,
        start: float,
        cost: int | None = None,
    ) -> messages.Answer:
        """The same for what takes long, so that the event loop does not wait for it.

        The cost is in parts of work; None if nobody has counted it.

        If too many wait, the API server is to ask again: it does so within its timeout, and a later
        sidecar is better than none. Raises TooLargeReview.
        """
        if not self._worker.has_room(request.body):
            self._results[BUSY] += 1
            return messages.busy("too many large reviews wait")
        admission_review.check_size(request.body)
        if cost is None:
            # The most that it can be, and what it takes to parse it.
            cost = budget.MOST + (len(request.body) >> 10)
        return self._in_worker_thread(request, key=key, uid=uid, start=start, cost=cost)

    async def _in_worker_thread(
        self, request: messages.Request, *, key: bytes | None, uid: bytes, start: float, cost: int
    ) -> messages.Response:
        try:
            async with self._worker.turn(request.body, cost=cost):
                # Pods of one template come together: the first of them was decided meanwhile.
                if (cached := self._cached(key)) and cached.is_cacheable:
                    return self._finish(cached, uid=uid, request=request, start=start)
                key, review = await self._worker.run(_read, request.body, key, uid)
                if not admission_review.is_pod(review):
                    return self._unchanged(review, start)
                state = self._state_for(review)
                respond = functools.partial(response.respond, token_volume=_token_volume(key))
                pod_response = await self._worker.run(respond, review, state)
                if key is not None and pod_response:
                    if state.is_kept:
                        self._cache.put(key, pod_response)
                    if not pod_response.is_cacheable:
                        _, review = await self._worker.run(_read, request.body, None, uid)
                        pod_response = await self._worker.run(response.respond, review, state)
                return self._respond(review, pod_response, request=request, start=start)
        except admission_review.InvalidReview as error:
            return _bad_request(error)

    def _unread(self, body: bytes, start: float) -> messages.Response:
        """The answer to a review that is too large to be parsed: its pod stays as it is."""
        self._results[TOO_LARGE] += 1
        _log.warning("a review of %d bytes was not read: %s", len(body), NOT_READ)
        opening = admission_review.opening(body)
        if opening is None:
            return messages.text(413, f"no API server sends this, and it is too large: {NOT_READ}")
        warning = orjson.dumps([f"{names.PRODUCT}: {TOO_LARGE}: {NOT_READ}"])
        members = b'"allowed":true,"warnings":%b}' % warning
        return self._timed(REVIEW % (*opening, members), start)

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
            # No pod comes of a dry run, as `check` makes one with an unknown name.
            for reason in () if pod_response.dry_run else pod_response.reasons:
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
        return self._timed(REVIEW % (pod_response.version, uid, pod_response.members), start)

    def _unchanged(self, review: admission_review.Review, start: float) -> messages.Response:
        uid = orjson.dumps(review.request["uid"])
        return self._timed(REVIEW % (review.version.encode(), uid, response.UNCHANGED), start)

    def _timed(self, body: bytes, start: float) -> messages.Response:
        self._metrics.admission_duration.observe(time.perf_counter() - start)
        return messages.Response(200, body)


def _read(
    body: bytes, key: bytes | None, uid: bytes
) -> tuple[bytes | None, admission_review.Review]:
    """The review to decide about, and the key for its response; None if it is not cached.

    Raises InvalidReview.
    """
    review = response_cache.canonical_review(key, uid) if key is not None else None
    return (key, review) if review else (None, admission_review.read(body))


def _token_volume(key: bytes | None) -> str:
    """The name of the token volume in a masked review; empty if it has none."""
    has_one = key is not None and response_cache.has_token_volume(key)
    return names.TOKEN_VOLUME_PREFIX if has_one else ""


def _bad_request(error: admission_review.InvalidReview) -> messages.Response:
    return messages.text(400, f"no AdmissionReview: {error}")


def trace_id(traceparent: bytes) -> str:
    """The trace that a request belongs to; empty without one that can be read.

    https://www.w3.org/TR/trace-context/#traceparent-header
    """
    match = _TRACEPARENT.match(traceparent)
    return match[1].decode() if match and match[1] != b"0" * 32 else ""
