"""What is served in plain HTTP to the kubelet and to Prometheus, never to the API server."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import prometheus_client

from sidecar_injector import observe
from sidecar_injector.server import http, readiness

HEALTH_PATH: Final = "/healthz"
READY_PATH: Final = "/readyz"
METRICS_PATH: Final = "/metrics"


def routes(
    *, stalled: Callable[[], Sequence[str]], ready: readiness.Readiness, metrics: observe.Metrics
) -> http.Routes:
    """`/healthz`, `/readyz` and `/metrics`, for a pool of their own.

    `stalled` names the loops of this process that have stopped making progress: a restart is the
    remedy for those and for nothing else, so `/healthz` looks at nothing else.
    """

    def healthz(request: http.Request) -> http.Response:
        return _verdict(stalled())

    def readyz(request: http.Request) -> http.Response:
        return _verdict(ready.reasons(), ready.remarks())

    def exposition(request: http.Request) -> http.Response:
        return http.Response(200, metrics.exposition(), prometheus_client.CONTENT_TYPE_LATEST)

    return {
        HEALTH_PATH: {"GET": healthz},
        READY_PATH: {"GET": readyz},
        METRICS_PATH: {"GET": exposition},
    }


def _verdict(complaints: Sequence[str], remarks: Sequence[str] = ()) -> http.Response:
    """Only complaints make it a failure; remarks are for people and follow them."""
    status, first = (503, complaints) if complaints else (200, ("ok",))
    return http.text(status, "\n".join((*first, *remarks)))
