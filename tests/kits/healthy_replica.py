"""One replica, put together as `app` does it, on an API in memory where all is well."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import datetime
from collections.abc import AsyncIterator, Callable
from typing import Final

import kopf

from sidecar_injector import app, names
from sidecar_injector.kube import api, credentials, events, server_clock
from sidecar_injector.observability.metrics import Metrics
from sidecar_injector.pki import issue, keys
from sidecar_injector.settings import Settings
from sidecar_injector.webhook import cluster_state, judge, readiness
from tests.kits import certificates, fake_api
from tests.kits.samples import NAMESPACE, resource

PRODUCT = names.PRODUCT
SERVED = names.verified_dns_name(service=PRODUCT, namespace=PRODUCT)
CONFIGURATIONS: Final = tuple(resource.plural for resource in (api.MUTATING, api.VALIDATING))
SECONDS = 30.0
"""The longest wait for a replica to become healthy."""


class Replica:
    """Its metrics are real; nothing listens on a port, and Kopf does not run."""

    def __init__(self, *, mode: str, scratch_folder: str, leads: bool = True) -> None:
        self.server = fake_api.FakeApi()
        self.metrics, self.ready = Metrics(), readiness.Readiness()
        settings = Settings(
            certificate_mode=mode, scratch_folder=scratch_folder, admin_port=0, webhook_port=0
        )
        self.ca, self._leads = self._new_ca(), leads
        self._seed(mode, settings)
        if not leads:
            self._seed_lease(settings)
        source = credentials.CredentialsSource()  # Only Kopf uses it.
        self._dependencies = app.Dependencies(
            settings=settings, source=source, api_client=self.server, clock=server_clock.Clock(),
            metrics=self.metrics, ready=self.ready,
            recorder=events.Recorder(
                self.server, instance="a", now=server_clock.system, metrics=self.metrics
            ),
            state=cluster_state.ClusterState(release_namespace=PRODUCT),
            injection_judge=judge.Judge(self.metrics),
        )  # fmt: skip

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run all loops."""
        loops = app.assemble(self._dependencies, kopf.OperatorRegistry())
        self.metrics.count_loops(loops)
        tasks = [asyncio.ensure_future(loop()) for loop in loops.values()]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def value(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"sidecar_injector_{name}", labels)

    async def wait_for(self, name: str, value: float, **labels: str) -> None:
        """Let the loops run until a metric has this value."""
        await self._wait(lambda: self.value(name, **labels) == value)

    async def wait_until_healthy(self) -> None:
        """Let the loops run until all that a replica without Kopf can do is done."""
        for configuration in CONFIGURATIONS:
            await self.wait_for("ca_bundle_in_sync", 1, configuration=configuration)
        for listed in (api.NAMESPACES, api.INJECTIONS, api.CLUSTER_INJECTIONS, api.SECRETS):
            await self.wait_for("cache_synced", 1, resource=listed.plural)
        state = self._dependencies.state
        await self._wait(lambda: state.of_namespace(NAMESPACE).view.kubernetes_minor)
        if self._leads:
            await self._wait(lambda: self.value("audit_last_success_timestamp_seconds"))

    def set_bundle(self, bundle: bytes) -> None:
        """Another writer puts this into the mutating configuration."""
        configuration = self.server.objects[api.MUTATING]["", PRODUCT]
        encoded = base64.b64encode(bundle).decode()
        for entry in configuration["webhooks"]:
            entry["clientConfig"]["caBundle"] = encoded
        self.server.seed(api.MUTATING, configuration)

    @staticmethod
    async def _wait(condition: Callable[[], object]) -> None:
        async with asyncio.timeout(SECONDS):
            while not condition():  # noqa: ASYNC110 - the loops set many things and no Event
                await asyncio.sleep(0)

    def _seed(self, mode: str, settings: Settings) -> None:
        server = self.server
        server.seed(
            api.DEPLOYMENTS, {"metadata": {"name": settings.fullname, "namespace": PRODUCT}}
        )
        labels = {names.INJECTION_LABEL: names.ENABLED}
        server.seed(api.NAMESPACES, {"metadata": {"name": NAMESPACE, "labels": labels}})
        server.seed(api.INJECTIONS, resource())
        if mode != "selfSigned":
            self.put_pair(self.ca)
        certificate = self.ca.certificate if mode == "certManager" else b""
        bundle = base64.b64encode(certificate).decode()
        for kind in (api.MUTATING, api.VALIDATING):
            configuration = certificates.configuration(1)
            configuration["metadata"]["name"] = settings.fullname
            configuration["webhooks"][0]["clientConfig"]["caBundle"] = bundle
            server.seed(kind, configuration)

    @staticmethod
    def _new_ca() -> issue.Pair:
        now = datetime.datetime.now(datetime.UTC)
        return issue.ca(fresh=keys.generate(), generation=1, now=now, seconds=10**7)

    def put_pair(self, ca: issue.Pair, *, seconds: int = 10**6) -> None:
        """Put a new certificate of this CA into the Secret."""
        now = datetime.datetime.now(datetime.UTC)
        pair = issue.leaf(
            fresh=keys.generate(), issuer=ca, dns_names=[SERVED], now=now, seconds=seconds
        )
        pems = {
            names.TLS_CERT: pair.certificate,
            names.TLS_KEY: pair.key,
            names.CA_CERT: ca.certificate,
        }
        data = {key: base64.b64encode(value).decode() for key, value in pems.items()}
        metadata = {"name": names.secret_name(PRODUCT), "namespace": PRODUCT}
        self.server.seed(api.SECRETS, {"metadata": metadata, "data": data})

    def _seed_lease(self, settings: Settings) -> None:
        """Another replica leads."""
        now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        spec = {
            "holderIdentity": "another", "leaseDurationSeconds": 3600, "renewTime": now,
            "acquireTime": now, "leaseTransitions": 1,
        }  # fmt: skip
        metadata = {"name": names.lease_name(settings.fullname), "namespace": PRODUCT}
        self.server.seed(api.LEASES, {"metadata": metadata, "spec": spec})
