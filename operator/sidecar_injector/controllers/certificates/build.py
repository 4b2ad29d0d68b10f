"""Where certificates come from in each mode, connected to the server that shows them."""

from __future__ import annotations

import dataclasses
import time

from sidecar_injector import names
from sidecar_injector.controllers.certificates import (
    ca_bundle,
    problems,
    provided,
    secret_store,
    self_signed,
    serving,
    trust,
)
from sidecar_injector.httpserver import tls
from sidecar_injector.kube import api, events, server_clock
from sidecar_injector.observability.metrics import Metrics
from sidecar_injector.pki import plan
from sidecar_injector.settings import Settings
from sidecar_injector.webhook import readiness


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CertificateParts:
    """The parts that have to do with certificates."""

    shown: tls.ServingContext
    trusted: trust.Trust
    origin: serving.CertificateSource
    bundles: ca_bundle.Bundles


def make(
    settings: Settings,
    api_client: api.Api,
    *,
    recorder: events.Recorder,
    metrics: Metrics,
    ready: readiness.Readiness,
    time_there: server_clock.Clock,
) -> CertificateParts:
    """All of them, connected; nothing runs yet."""
    shown = tls.ServingContext(
        metrics=metrics,
        scratch_folder=settings.scratch_folder,
        client_ca=settings.client_ca.encode() or None,
    )
    trusted = trust.Trust(api_client, name=settings.fullname, monotonic=time.monotonic)
    origin = _origin(
        settings, api_client, shown=shown, trusted=trusted, recorder=recorder, metrics=metrics,
        ready=ready, time_there=time_there,
    )  # fmt: skip
    bundles = ca_bundle.Bundles(
        api_client, name=settings.fullname, source=origin, trusted=trusted, recorder=recorder,
        metrics=metrics, monotonic=time.monotonic,
    )  # fmt: skip
    return CertificateParts(shown=shown, trusted=trusted, origin=origin, bundles=bundles)


def _origin(
    settings: Settings,
    api_client: api.Api,
    *,
    shown: tls.ServingContext,
    trusted: trust.Trust,
    recorder: events.Recorder,
    metrics: Metrics,
    ready: readiness.Readiness,
    time_there: server_clock.Clock,
) -> serving.CertificateSource:
    """The source of certificates that the settings ask for."""
    place = secret_store.SecretRef(
        namespace=settings.namespace, secret=settings.secret_name, deployment=settings.fullname
    )
    about = events.ObjectRef(
        api_version="v1", kind="Secret", name=place.secret, namespace=place.namespace
    )
    raising = problems.Alarms(recorder=recorder, about=about, metrics=metrics, ready=ready)
    problems.watch_clock(time_there, raising, metrics)
    clocks = server_clock.Clocks(now=time_there.now, monotonic=time.monotonic)
    serve = serving.ServedCertificate(
        shown.load, metrics=metrics, raising=raising, live=trusted.seen_for, clocks=clocks
    )
    shown.on_distrust = serve.refused
    if settings.certificate_mode != "selfSigned":
        verified = names.verified_dns_name(service=settings.fullname, namespace=settings.namespace)
        return provided.Provided(
            api_client, place=place, dns_names=[verified], serve=serve, trusted=trusted,
            injects=settings.certificate_mode == "certManager", metrics=metrics,
            now=time_there.now, wait=settings.ca_roll_wait_seconds,
        )  # fmt: skip
    return self_signed.SelfSigned(
        api_client, place=place, policy=policy(settings), serve=serve, trusted=trusted,
        metrics=metrics, raising=raising, clocks=clocks,
    )  # fmt: skip


def policy(settings: Settings) -> plan.Policy:
    """What the settings want of the certificates that we make."""
    return plan.Policy(
        dns_names=names.service_dns_names(
            service=settings.fullname,
            namespace=settings.namespace,
            cluster_domain=settings.cluster_domain,
        ),
        leaf_seconds=settings.leaf_seconds,
        ca_seconds=settings.ca_seconds,
        roll_wait_seconds=settings.ca_roll_wait_seconds,
    )
