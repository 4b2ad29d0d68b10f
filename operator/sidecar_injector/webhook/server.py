"""The admission server: `/mutate`, `/validate` and `/workloads` on one TLS port."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

from sidecar_injector import names
from sidecar_injector.httpserver import listener, messages, pool, tls
from sidecar_injector.observability.metrics import INJECTIONS, PODS, WORKLOADS, Metrics
from sidecar_injector.settings import Settings
from sidecar_injector.webhook import readiness, validate

WEBHOOKS: Final = {
    names.MUTATE_PATH: PODS, names.VALIDATE_PATH: INJECTIONS, names.WORKLOADS_PATH: WORKLOADS,
}  # fmt: skip
"""What `webhook_requests_total` calls the paths."""

_log = logging.getLogger(__name__)


class AdmissionServer:
    """Kopf runs it as `settings.admission.server`: it starts, serves, and drains at the end."""

    def __init__(
        self,
        settings: Settings,
        *,
        mutate: messages.Handler,
        review_workload: messages.Handler,
        injection_webhook: validate.InjectionWebhook,
        serving_context: tls.ServingContext,
        ready: readiness.Readiness,
        metrics: Metrics,
    ) -> None:
        self._metrics = metrics
        self._ready, self._injection_webhook = ready, injection_webhook
        self._drain_seconds = settings.drain_seconds
        # `/validate` is added when Kopf starts the server and says how its handlers are called.
        self._routes: dict[str, dict[str, messages.Handler]] = {
            path: {"POST": _counted(metrics, path, messages.when(lambda: ready.able, handler))}
            for path, handler in (
                (names.MUTATE_PATH, mutate),
                (names.WORKLOADS_PATH, review_workload),
            )
        }
        limits = messages.Limits(
            max_requests=settings.max_requests_per_connection,
            connections=settings.max_connections,
        )
        self._listener = listener.Listener(
            pool=pool.Pool(routes=self._routes, limits=limits, metrics=metrics),
            port=settings.webhook_port,
            context=serving_context.context,
        )
        self.started = asyncio.Event()

    async def __call__(self, dispatch: Callable[..., Awaitable[Any]]) -> AsyncIterator[Any]:
        """Serve until Kopf ends; `dispatch` runs Kopf's handlers on a review."""
        validate_injection = self._injection_webhook.handler(dispatch)
        self._routes[names.VALIDATE_PATH] = {
            "POST": _counted(self._metrics, names.VALIDATE_PATH, validate_injection)
        }
        await self._listener.start()
        self.started.set()
        _log.info("the admission server listens on port %d", self._listener.port)
        try:
            yield {}
            await asyncio.Event().wait()
        finally:
            self._ready.unmet(readiness.Condition.NOT_DRAINING)
            _log.info("draining: serving for another %d s", self._drain_seconds)
            await self._listener.drain(self._drain_seconds)

    @property
    def port(self) -> int:
        """The TCP port, once `started`."""
        return self._listener.port


def _counted(metrics: Metrics, path: str, handler: messages.Handler) -> messages.Handler:
    """The handler, whose requests are counted."""
    counts, webhook = metrics.webhook_requests.counts, WEBHOOKS[path]

    def answer(request: messages.Request) -> messages.Answer:
        counts[webhook] += 1
        return handler(request)

    return answer
