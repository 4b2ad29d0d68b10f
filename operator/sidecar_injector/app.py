"""Puts the operator together and runs it.

One process a replica, one event loop. Kopf starts and ends the process and runs the admission
server. Informers, certificates and Events are loops of our own beside it, so that they go on after
Kopf's handlers have ended, while the server drains.
"""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import logging
import time
from collections.abc import Awaitable, Callable, Mapping

import kopf
import uvloop

from sidecar_injector import __version__, names
from sidecar_injector.controllers import (
    caches,
    cluster_release,
    owners,
    pod_events,
    policies,
    status,
)
from sidecar_injector.controllers.audit import controller
from sidecar_injector.controllers.certificates import build, self_probe
from sidecar_injector.httpserver import listener, pool
from sidecar_injector.kube import api, client, credentials, events, server_clock
from sidecar_injector.observability import gc_tuning, logs
from sidecar_injector.observability.metrics import Metrics, measure_lag
from sidecar_injector.runtime import kopf_login, kopf_setup, kopf_validation, process
from sidecar_injector.settings import Settings
from sidecar_injector.webhook import (
    admin,
    cluster_state,
    decision_log,
    judge,
    mutate,
    readiness,
    validate,
    worker,
    workloads,
)
from sidecar_injector.webhook.server import AdmissionServer

OWN_FILES = 1280
"""Files that are kept for what is not a client of the admission server: informers, writers, the
admin port, and clients that have not finished their handshake."""
LAG_SECONDS = 0.02
"""Between two measurements of the event loop's lag: it shows whatever takes 20 ms longer."""

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Dependencies:
    """What the parts of one replica share."""

    settings: Settings
    source: credentials.CredentialsSource
    api_client: api.Api
    clock: server_clock.Clock
    metrics: Metrics
    ready: readiness.Readiness
    recorder: events.Recorder
    state: cluster_state.ClusterState
    injection_judge: judge.Judge


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
    settings = _within_files(settings, files=process.raise_file_limit())

    async def find_credentials() -> credentials.CredentialsSource:
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
            lambda: _operate(settings, find_credentials=find_credentials, stop=stop),
            stop,
            what=names.PRODUCT,
        )
        _log.info("ended")

    uvloop.run(main())


def _within_files(settings: Settings, *, files: int) -> Settings:
    """The settings with no more connections than files may be open beside those of our own."""
    most = max(files // 4, files - OWN_FILES)
    if 0 < settings.max_connections <= most:
        return settings
    _log.info("at most %d connections: this process may open %d files", most, files)
    return dataclasses.replace(settings, max_connections=most)


def _quieten_kopf() -> None:
    """Keep only what people can act on."""
    logging.getLogger("kopf").setLevel(logging.WARNING)
    logging.getLogger("kopf.objects").addFilter(kopf_validation.RefusalFilter())
    for handler in logging.getLogger().handlers:
        # At the handler, since a logger's filters do not see what its children log.
        handler.addFilter(kopf_setup.RepetitionFilter())


async def _operate(
    settings: Settings,
    *,
    find_credentials: Callable[[], Awaitable[credentials.CredentialsSource]],
    stop: asyncio.Event,
) -> None:
    """One life of the operator, from the admin port's first answer to the end."""
    metrics, ready = Metrics(), readiness.Readiness()
    logs.count_dropped(metrics.log_lines_dropped.inc)
    admin_port = listener.Listener(
        pool=pool.Pool(routes=admin.routes(ready=ready, metrics=metrics), limits=admin.LIMITS),
        port=settings.admin_port,
    )
    await admin_port.start()
    try:
        source = await process.unless_stopped(kopf_login.retry_until_found(find_credentials), stop)
        if source is None:
            return
        clock = server_clock.Clock()
        async with client.Client(source, clock=clock) as api_client:
            recorder = events.Recorder(
                api_client, instance=settings.pod_name, now=server_clock.system, metrics=metrics,
                find_owner=owners.Owners(api_client).top,
            )  # fmt: skip
            injection_judge = judge.Judge(metrics)
            dependencies = Dependencies(
                settings=settings, source=source, api_client=api_client, clock=clock,
                metrics=metrics, ready=ready, recorder=recorder,
                state=cluster_state.ClusterState(
                    release_namespace=settings.namespace, read_injection=injection_judge.read
                ),
                injection_judge=injection_judge,
            )  # fmt: skip
            handlers = kopf.OperatorRegistry()
            loops = assemble(dependencies, handlers)
            failures = metrics.count_loops(loops)
            await process.operate(handlers, loops, stop, count_failure=failures)
    finally:
        gc.unfreeze()  # The next attempt sets its own objects aside.
        admin_port.stop()


def assemble(dependencies: Dependencies, handlers: kopf.OperatorRegistry) -> process.Loops:
    """Create every part and connect them; nothing runs yet.

    Registers Kopf's handlers, and returns what runs beside Kopf, by name.
    """
    settings, metrics, ready = dependencies.settings, dependencies.metrics, dependencies.ready
    certificates = build.make(
        settings, dependencies.api_client, recorder=dependencies.recorder, metrics=metrics,
        ready=ready, clock=dependencies.clock,
    )  # fmt: skip
    server = _server(dependencies, certificates)
    probe = self_probe.SelfProbe(settings, certificates=certificates, server=server, ready=ready)
    kopf_setup.register(
        handlers, login_handler=kopf_login.Login(dependencies.source), server=server
    )
    kopf_validation.register(handlers)
    return {
        **_cluster_loops(dependencies),
        "certificates": certificates.source.run,
        "caBundle": certificates.run_ca_bundles,
        "events": dependencies.recorder.run,
        "readiness": probe.run,
        "loop lag": lambda: measure_lag(metrics, every=LAG_SECONDS),
    }


def _cluster_loops(dependencies: Dependencies) -> process.Loops:
    """The loops that follow the cluster and write the status of injections."""
    settings, metrics = dependencies.settings, dependencies.metrics
    api_client, state = dependencies.api_client, dependencies.state
    clocks = server_clock.Clocks(now=server_clock.system, monotonic=time.monotonic)
    compiler = policies.PolicyController(
        api_client, settings=settings, state=state, recorder=dependencies.recorder,
        metrics=metrics, clocks=clocks,
    )  # fmt: skip
    writer = status.StatusWriter(
        api_client, state=state, injection_judge=dependencies.injection_judge,
        serving=lambda: dependencies.ready.ready, metrics=metrics, clock=clocks.now,
        compiled=compiler.outcome,
    )  # fmt: skip
    compiler.on_outcome = writer.changed
    auditor = controller.Auditor(
        api_client, settings=settings, state=state, recorder=dependencies.recorder,
        metrics=metrics, clocks=clocks, beside=compiler.run,
    )  # fmt: skip
    informers = caches.make(
        api_client, state=state, writer=writer, auditor=auditor,
        injection_judge=dependencies.injection_judge, metrics=metrics,
    )  # fmt: skip
    of_limits = caches.of_limits(
        api_client, are_checked=settings.quotas_are_checked, state=state, metrics=metrics
    )
    every_informer = (*informers, *of_limits)
    return {
        **{f"cache of {informer.resource.plural}": informer.run for informer in every_informer},
        "cache of serviceaccounts": lambda: state.service_accounts.run(
            lambda: caches.of_accounts(api_client, state=state, metrics=metrics)
        ),
        "caches": lambda: caches.set_ready_when_synced(
            informers, dependencies.ready, tried=of_limits, filled=gc_tuning.freeze
        ),
        "release": cluster_release.follower(
            api_client, state, dependencies.injection_judge, writer.everything_changed
        ).run,
        "status": writer.run,
        "audit": lambda: auditor.run(informers, tried=of_limits),
    }


def _server(dependencies: Dependencies, certificates: build.CertificateParts) -> AdmissionServer:
    """The server for the API server."""
    state, long_work = dependencies.state, worker.Worker()
    pod_webhook = mutate.PodWebhook(
        state=state,
        metrics=dependencies.metrics,
        record_events=pod_events.teller(dependencies.recorder),
        log=decision_log.DecisionLog(logging.getLogger().handlers),
        long_work=long_work,
    )
    return AdmissionServer(
        dependencies.settings,
        mutate=pod_webhook.mutate,
        review_workload=workloads.WorkloadWebhook(state, long_work=long_work).review,
        injection_webhook=validate.InjectionWebhook(
            dependencies.injection_judge,
            competing=state.competing_injections,
            namespaces=state.namespaces,
            is_called_for_opted_out=lambda: certificates.has_webhook(names.OPTED_OUT_WEBHOOK),
        ),
        serving_context=certificates.context,
        ready=dependencies.ready,
        metrics=dependencies.metrics,
    )
