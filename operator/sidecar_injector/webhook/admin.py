"""The admin port: plain HTTP for the kubelet and for Prometheus, not for the API server."""

from __future__ import annotations

from typing import Final

import prometheus_client

from sidecar_injector.httpserver import messages
from sidecar_injector.observability.metrics import Metrics
from sidecar_injector.webhook import readiness

HEALTH_PATH: Final = "/healthz"
READY_PATH: Final = "/readyz"
METRICS_PATH: Final = "/metrics"


def routes(*, ready: readiness.Readiness, metrics: Metrics) -> messages.Routes:
    """`/healthz`, `/readyz` and `/metrics`, for a pool of their own.

    `/healthz` is answered as long as the event loop runs: if it does not, the kubelet gets no
    answer and restarts the container. It says nothing of the loops beside the server: one that
    breaks begins anew in this process, and `loop_failures_total` counts it.
    """

    def readyz(request: messages.Request) -> messages.Response:
        status, first = (503, reasons) if (reasons := ready.reasons()) else (200, ("ok",))
        return messages.text(status, "\n".join((*first, *ready.remarks())))

    return {
        HEALTH_PATH: {"GET": lambda _: messages.text(200, "ok")},
        READY_PATH: {"GET": readyz},
        METRICS_PATH: {
            "GET": lambda _: messages.Response(
                200, metrics.exposition(), prometheus_client.CONTENT_TYPE_LATEST
            )
        },
    }
