"""Connects the certificate controllers of the mode in the settings to the TLS server."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Sequence

from sidecar_injector import names
from sidecar_injector.controllers.certificates import (
    ca_bundle,
    problems,
    provided,
    secret_store,
    self_signed,
    serving,
)
from sidecar_injector.controllers.certificates.source import CertificateSource
from sidecar_injector.controllers.certificates.trust import Trust
from sidecar_injector.httpserver import tls
from sidecar_injector.kube import api, events, server_clock
from sidecar_injector.observability.metrics import Metrics
from sidecar_injector.pki import plan
from sidecar_injector.settings import Settings
from sidecar_injector.webhook import readiness


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CertificateParts:
    """The parts of one replica that have to do with certificates."""

    context: tls.ServingContext
    trust: Trust
    source: CertificateSource
    ca_bundles: Sequence[ca_bundle.CABundleController]

    async def run_ca_bundles(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            for controller in self.ca_bundles:
                group.create_task(controller.run())

    def has_webhook(self, name: str) -> bool:
        """Whether the API server has a webhook of this name, as far as the watch has told."""
        configurations = (controller.live or {} for controller in self.ca_bundles)
        return any(
            entry["name"] == name
            for configuration in configurations
            for entry in configuration.get("webhooks") or ()
        )


def make(
    settings: Settings,
    client: api.Api,
    *,
    recorder: events.Recorder,
    metrics: Metrics,
    ready: readiness.Readiness,
    clock: server_clock.Clock,
) -> CertificateParts:
    """All parts, connected; nothing runs yet."""
    context = tls.ServingContext(
        metrics=metrics,
        scratch_folder=settings.scratch_folder,
        client_ca=settings.client_ca.encode() or None,
    )
    trust = Trust(client, name=settings.fullname, monotonic=time.monotonic)
    about = events.ObjectRef(
        api_version=api.SECRETS.api_version, kind=api.SECRETS.kind,
        name=settings.secret_name, namespace=settings.namespace,
    )  # fmt: skip
    alarms = problems.Alarms(recorder=recorder, about=about, metrics=metrics, ready=ready)
    problems.watch_clock(clock, alarms=alarms, metrics=metrics)
    served = serving.ServedCertificate(
        lambda pair: context.load(cert_pem=pair.certificate, key_pem=pair.key),
        trust=trust,
        alarms=alarms,
        metrics=metrics,
        clocks=server_clock.Clocks(now=clock.now, monotonic=time.monotonic),
    )
    context.on_distrust = served.refuse
    source = _source(settings, client, served=served, metrics=metrics)
    ca_bundles = [
        ca_bundle.CABundleController(
            client, resource, name=settings.fullname, source=source, trust=trust,
            recorder=recorder, metrics=metrics, monotonic=time.monotonic,
        )
        for resource in api.WEBHOOK_CONFIGURATIONS.values()
    ]  # fmt: skip
    return CertificateParts(context=context, trust=trust, source=source, ca_bundles=ca_bundles)


def _source(
    settings: Settings, client: api.Api, *, served: serving.ServedCertificate, metrics: Metrics
) -> CertificateSource:
    secret_ref = secret_store.SecretRef(
        namespace=settings.namespace, secret=settings.secret_name, deployment=settings.fullname
    )
    if settings.certificate_mode == "selfSigned":
        return self_signed.SelfSigned(
            client,
            secret_ref=secret_ref,
            policy=plan.Policy.of(settings),
            served=served,
            metrics=metrics,
        )
    verified = names.verified_dns_name(service=settings.fullname, namespace=settings.namespace)
    return provided.Provided(
        client,
        secret_ref=secret_ref,
        dns_names=[verified],
        ca_injector=settings.certificate_mode == "certManager",
        wait_seconds=settings.ca_roll_wait_seconds,
        served=served,
        metrics=metrics,
    )
