"""What is served in plain HTTP to the kubelet and to Prometheus, never to the API server."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import prometheus_client

from sidecar_injector.httpserver import messages
from sidecar_injector.observability.metrics import Metrics
from sidecar_injector.webhook import readiness

HEALTH_PATH: Final = "/healthz"
READY_PATH: Final = "/readyz"
METRICS_PATH: Final = "/metrics"


def routes(
    *, stalled: Callable[[], Sequence[str]], ready: readiness.Readiness, metrics: Metrics
) -> messages.Routes:
    """`/healthz`, `/readyz` and `/metrics`, for a pool of their own.

    `stalled` names the loops of this process that have stopped making progress: a restart is the
    remedy for those and for nothing else, so `/healthz` looks at nothing else.
    """

    def healthz(request: messages.Request) -> messages.Response:
        return _verdict(stalled())

    def readyz(request: messages.Request) -> messages.Response:
        return _verdict(ready.reasons(), ready.remarks())

    def exposition(request: messages.Request) -> messages.Response:
        return messages.Response(200, metrics.exposition(), prometheus_client.CONTENT_TYPE_LATEST)

    return {
        HEALTH_PATH: {"GET": healthz},
        READY_PATH: {"GET": readyz},
        METRICS_PATH: {"GET": exposition},
    }


def _verdict(complaints: Sequence[str], remarks: Sequence[str] = ()) -> messages.Response:
    """Only complaints make it a failure; remarks are for people and follow them."""
    status, first = (503, complaints) if complaints else (200, ("ok",))
    return messages.text(status, "\n".join((*first, *remarks)))
