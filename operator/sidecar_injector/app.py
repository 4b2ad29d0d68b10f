"""Puts the operator together and runs it: what talks to what, and nothing of how.

One process a replica, one event loop. Kopf owns the process and its end, and hosts the admission
server; the caches, certificates and Events are loops of our own beside it, so that they outlive
Kopf's handlers while the server drains.
"""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import logging
import time
from collections.abc import Awaitable, Callable, Mapping

import kopf
import uvloop

from sidecar_injector import __version__, names
from sidecar_injector.controllers import caches, pod_events, status
from sidecar_injector.controllers.audit import controller
from sidecar_injector.controllers.certificates import build, self_probe
from sidecar_injector.httpserver import listener, pool, tls
from sidecar_injector.kube import api, client, credentials, events, server_clock
from sidecar_injector.observability import gc_tuning, logs
from sidecar_injector.observability.metrics import Metrics, measure_lag
from sidecar_injector.runtime import kopf_login, kopf_setup, kopf_validation, process
from sidecar_injector.settings import Settings
from sidecar_injector.webhook import (
    admin,
    cluster_state,
    decision_log,
    mutate,
    readiness,
    validate,
)
from sidecar_injector.webhook.server import AdmissionServer

LAG_SECONDS = 0.02
"""Between two looks at the loop: what holds it for longer than 20 ms and this is always seen."""

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Dependencies:
    """What every part is made with."""

    settings: Settings
    api_client: api.Api
    time_there: server_clock.Clock
    source: credentials.CredentialsSource
    metrics: Metrics
    ready: readiness.Readiness
    garbage: gc_tuning.Watch


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """The parts of one replica."""

    loops: process.Loops
    """What runs beside Kopf, by name."""
    handlers: kopf.OperatorRegistry


def run(
    settings: Settings,
    *,
    environment: Mapping[str, str],
    kubeconfig: str | None,
    context: str | None,
) -> None:
    """Run until SIGTERM or SIGINT."""
    logs.configure_logging(log_format=settings.log_format, log_level=settings.log_level)
    _quieten_kopf()
    _log.info("%s %s starts as %s", names.PRODUCT, __version__, settings.pod_name)

    async def look() -> credentials.CredentialsSource:
        source = credentials.find(
            environment,
            kubeconfig=kubeconfig,
            context=context,
            temporary_folder=settings.scratch_folder,
        )
        await source.load()
        return source

    async def main() -> None:
        stop = asyncio.Event()
        process.obey_signals(stop)
        await process.until_stopped(
            lambda: _operate(settings, look=look, stop=stop), stop, what=names.PRODUCT
        )
        _log.info("ended")

    uvloop.run(main())


def _quieten_kopf() -> None:
    """Let through what people can act on."""
    logging.getLogger("kopf").setLevel(logging.WARNING)
    logging.getLogger("kopf.objects").addFilter(kopf_validation.RefusalFilter())
    for handler in logging.getLogger().handlers:
        # At the handler, since a logger's filters do not see what its children log.
        handler.addFilter(kopf_setup.RepetitionFilter())


async def _operate(
    settings: Settings,
    *,
    look: Callable[[], Awaitable[credentials.CredentialsSource]],
    stop: asyncio.Event,
) -> None:
    """One life of the operator, from the admin port's first answer to the end."""
    metrics, ready, collector = Metrics(), readiness.Readiness(), gc_tuning.Watch()
    admin_port = _admin(settings, ready, metrics)
    await admin_port.start()
    try:
        source = await process.unless_stopped(kopf_login.patiently(look), stop)
        if source is None:
            return
        time_there = server_clock.Clock()
        async with client.Client(source, time=time_there) as api_client:
            operator = assemble(
                Dependencies(
                    settings=settings, api_client=api_client, time_there=time_there, source=source,
                    metrics=metrics, ready=ready, garbage=collector,
                )
            )  # fmt: skip
            await process.operate(operator.handlers, operator.loops, stop)
    finally:
        collector.end()
        admin_port.stop()


def assemble(ground: Dependencies) -> Operator:
    """Make every part and connect them; nothing runs yet."""
    settings, metrics, ready = ground.settings, ground.metrics, ground.ready
    recorder = events.Recorder(
        ground.api_client, instance=settings.pod_name, now=_now, metrics=metrics
    )
    known = cluster_state.ClusterState(release_namespace=settings.namespace)
    trusting = build.make(
        settings, ground.api_client, recorder=recorder, metrics=metrics, ready=ready,
        time_there=ground.time_there,
    )  # fmt: skip
    server = _server(ground, known=known, recorder=recorder, shown=trusting.shown)
    probe = self_probe.Probe(
        settings, origin=trusting.origin, trusted=trusting.trusted, shown=trusting.shown,
        server=server, ready=ready,
    )  # fmt: skip
    handlers = kopf.OperatorRegistry()
    kopf_setup.register(handlers, login_handler=kopf_login.Login(ground.source), server=server)
    kopf_validation.register(handlers, competing=known.rivals)
    loops = {
        **_knowing(ground, known=known, recorder=recorder),
        "certificates": trusting.origin.run,
        "caBundle": trusting.bundles.run,
        "events": recorder.run,
        "readiness": probe.run,
        "loop lag": lambda: measure_lag(metrics, every=LAG_SECONDS),
    }
    return Operator(loops=loops, handlers=handlers)


def _knowing(
    ground: Dependencies, *, known: cluster_state.ClusterState, recorder: events.Recorder
) -> process.Loops:
    """The loops that keep `known` right, and tell what follows from it."""
    client_, metrics = ground.api_client, ground.metrics
    writer = status.StatusWriter(
        client_, known=known, serving=lambda: ground.ready.ready, metrics=metrics, clock=_now
    )
    auditor = controller.Auditor(
        client_, settings=ground.settings, known=known, recorder=recorder, metrics=metrics,
        clocks=server_clock.Clocks(now=_now, monotonic=time.monotonic),
    )  # fmt: skip
    known_by = caches.make(client_, known=known, writer=writer, auditor=auditor, metrics=metrics)
    return {
        **{f"cache of {one.resource.plural}": one.run for one in known_by},
        "cache of serviceaccounts": lambda: known.accounts.run(
            lambda: caches.of_accounts(client_, known=known, metrics=metrics)
        ),
        "caches": lambda: caches.tell_when_synced(
            known_by, ground.ready, filled=ground.garbage.begin
        ),
        "status": writer.run,
        "audit": lambda: auditor.run(known_by),
    }


def _server(
    ground: Dependencies,
    *,
    known: cluster_state.ClusterState,
    recorder: events.Recorder,
    shown: tls.ServingContext,
) -> AdmissionServer:
    """What answers the API server."""
    admitting = mutate.PodWebhook(
        known=known,
        metrics=ground.metrics,
        tell=pod_events.teller(recorder),
        report=decision_log.fitting(logging.getLogger().handlers),
    )
    return AdmissionServer(
        ground.settings,
        mutate=admitting.mutate,
        without_kopf=lambda request: validate.response_without_kopf(
            request, competing=known.rivals
        ),
        shown=shown,
        ready=ground.ready,
        metrics=ground.metrics,
    )


def _admin(settings: Settings, ready: readiness.Readiness, metrics: Metrics) -> listener.Listener:
    routes = admin.routes(stalled=lambda: (), ready=ready, metrics=metrics)
    return listener.Listener(shared=pool.Pool(routes=routes), port=settings.admin_port)


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
