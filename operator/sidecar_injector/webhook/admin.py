"""The admin port: plain HTTP for the kubelet and for Prometheus, not for the API server."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import prometheus_client

from sidecar_injector.httpserver import messages
from sidecar_injector.observability.metrics import Metrics
from sidecar_injector.webhook import readiness

HEALTH_PATH: Final = "/healthz"
READY_PATH: Final = "/readyz"
METRICS_PATH: Final = "/metrics"
LIMITS: Final = messages.Limits(
    body_bytes=0, head_bytes=4 << 10, target_bytes=1 << 10, held_bytes=1 << 20,
    request_seconds=5.0, connections=32,
)  # fmt: skip
"""Of the admin port, which shares the event loop with pods: a few probes and scrapers."""
CACHE_SECONDS: Final = 1.0
SHARE: Final = 0.01
"""Of the processor's time, for the text of `/metrics` at most: it is kept the longer, the longer it
takes."""


class Exposition:
    """The text of `/metrics`, which is made once a second at most."""

    def __init__(self, metrics: Metrics, clock: Callable[[], float] = time.monotonic) -> None:
        self._metrics, self._clock = metrics, clock
        self._text, self._fresh_until = b"", -1.0

    def text(self) -> bytes:
        """The current text, or one that is not old."""
        start = self._clock()
        if start >= self._fresh_until:
            self._text = self._metrics.exposition()
            end = self._clock()
            self._fresh_until = end + max(CACHE_SECONDS, (end - start) / SHARE)
        return self._text


def routes(*, ready: readiness.Readiness, metrics: Metrics) -> messages.Routes:
    """`/healthz`, `/readyz` and `/metrics`, for a pool of their own.

    `/healthz` is answered as long as the event loop runs: if it does not, the kubelet gets no
    answer and restarts the container. It says nothing of the loops beside the server: one that
    breaks begins anew in this process, and `loop_failures_total` counts it.
    """

    def readyz(request: messages.Request) -> messages.Response:
        status, first = (503, reasons) if (reasons := ready.reasons()) else (200, ("ok",))
        return messages.text(status, "\n".join((*first, *ready.remarks())))

    exposition = Exposition(metrics)
    return {
        HEALTH_PATH: {"GET": lambda _: messages.text(200, "ok")},
        READY_PATH: {"GET": readyz},
        METRICS_PATH: {
            "GET": lambda _: messages.Response(
                200, exposition.text(), prometheus_client.CONTENT_TYPE_LATEST
            )
        },
    }
