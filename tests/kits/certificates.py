"""Replicas of the certificate controllers on one API in memory, with clocks that tests move."""

from __future__ import annotations

import asyncio
import base64
import datetime
from typing import Any

import pytest

from sidecar_injector import names
from sidecar_injector.controllers.certificates import (
    ca_bundle,
    problems,
    secret_store,
    self_signed,
    serving,
    trust,
)
from sidecar_injector.httpserver import tls
from sidecar_injector.kube import api, events, informer, server_clock
from sidecar_injector.observability.metrics import Metrics
from sidecar_injector.pki import issue, plan, secret_data
from sidecar_injector.webhook import readiness
from tests.kits import fake_api
from tests.kits import pki as kit

SECRET_REF = secret_store.SecretRef(namespace="ns", secret="si-tls", deployment="si")
ABOUT = events.ObjectRef(api_version="v1", kind="Secret", name="si-tls", namespace="ns")


class Clock:
    """Wall clock and monotonic seconds, which move together, and only by a call."""

    def __init__(self) -> None:
        self.moment = kit.NOW

    def now(self) -> datetime.datetime:
        return self.moment

    def monotonic(self) -> float:
        return (self.moment - kit.NOW).total_seconds()

    def move(self, seconds: float) -> None:
        self.moment += datetime.timedelta(seconds=seconds)


class Cluster:
    """The API server with our Deployment and both webhook configurations, and the replicas."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for pause in ("FIRST_PAUSE", "REOPEN_PAUSE", "LONGEST_PAUSE"):
            monkeypatch.setattr(informer, pause, 0.0)
        self.server = fake_api.FakeApi()
        self.clock = Clock()
        self.replicas: list[Replica] = []
        self.server.seed(api.DEPLOYMENTS, {"metadata": {"name": "si", "namespace": "ns"}})
        for resource, entries in ((api.MUTATING, 2), (api.VALIDATING, 1)):
            self.server.seed(resource, configuration(entries))

    def start(self, count: int = 1, *, policy: plan.Policy = kit.POLICY) -> list[Replica]:
        started = [Replica(self, policy) for _ in range(count)]
        self.replicas += started
        return started

    async def healthy_replicas(self, count: int = 1) -> list[Replica]:
        """Start replicas and wait until the cluster is healthy."""
        started = self.start(count)
        await self.settle()
        return started

    async def stop(self) -> None:
        for replica in self.replicas:
            await replica.stop()

    @property
    def secret(self) -> api.Json | None:
        return self.server.objects.get(api.SECRETS, {}).get(("ns", "si-tls"))

    def stored(self) -> secret_data.CertificateSet:
        assert self.secret
        return secret_data.decode(self.secret["data"])

    def healthy(self) -> bool:
        """The Secret is good, both configurations carry it, and everybody serves it."""
        try:
            stored = self.stored()
        except (AssertionError, secret_data.Corrupt):
            return False
        return all(
            set(self.bundles(resource)) == {stored.bundle()}
            for resource in (api.MUTATING, api.VALIDATING)
            if ("", "si") in self.server.objects[resource]
        ) and all(
            replica.serving() == stored.leaf.certificate and replica.has_seen(self.server)
            for replica in self.replicas
        )

    def bundles(self, resource: api.Resource = api.MUTATING) -> list[bytes]:
        entries = self.server.objects[resource]["", "si"]["webhooks"]
        return [base64.b64decode(entry["clientConfig"].get("caBundle", "")) for entry in entries]

    def set_bundle(self, value: bytes, resource: api.Resource = api.MUTATING) -> None:
        """Another writer puts this into every entry."""
        changed = dict(self.server.objects[resource]["", "si"])
        encoded = base64.b64encode(value).decode()
        changed["webhooks"] = [
            {**entry, "clientConfig": {**entry["clientConfig"], "caBundle": encoded}}
            for entry in changed["webhooks"]
        ]
        fields = {"f:webhooks": {".": {}, "k:{}": {"f:clientConfig": {"f:caBundle": {}}}}}
        managers = [{"manager": "bot", "fieldsV1": fields}]
        metadata = {**changed["metadata"], "managedFields": managers}
        self.server.seed(resource, {**changed, "metadata": metadata})

    def create_secret(self, data: dict[str, str], *, labels: Any = None, **fields: str) -> None:
        metadata = {"name": "si-tls", "namespace": "ns", "labels": labels or {}}
        self.server.seed(api.SECRETS, {"metadata": metadata, "data": data, **fields})

    def set_data(self, data: dict[str, str]) -> None:
        assert self.secret
        self.server.seed(api.SECRETS, {**self.secret, "data": data})

    def request_rotation(self, of: str) -> None:
        assert self.secret
        annotations = {names.ROTATE_ANNOTATION: of, "kept": "yes"}
        metadata = {**self.secret["metadata"], "annotations": annotations}
        self.server.seed(api.SECRETS, {**self.secret, "metadata": metadata})

    async def stage_ca(self) -> secret_data.CertificateSet:
        """Request a CA roll; returns the Secret when its first step is taken."""
        self.request_rotation(plan.CA)
        await fake_api.eventually(lambda: self.stored().next_ca and self.healthy())
        return self.stored()

    async def settle(self) -> None:
        await fake_api.eventually(self.healthy, "a healthy cluster")

    async def idle(self) -> None:
        """Give every replica enough turns to do what it must not do."""
        for _ in range(400):
            await asyncio.sleep(0)


class Serving:
    """What serves a certificate, without TLS. `loaded` are the leaves that were loaded."""

    def __init__(self, server: fake_api.FakeApi, clock: Clock) -> None:
        self.metrics, self.ready = Metrics(), readiness.Readiness()
        self.loaded: list[bytes] = []
        self.unloadable = False
        self.recorder = events.Recorder(server, instance="r", now=clock.now)
        self.trust = trust.Trust(server, name="si", monotonic=clock.monotonic)
        alarms = problems.Alarms(
            recorder=self.recorder, about=ABOUT, metrics=self.metrics, ready=self.ready
        )
        clocks = server_clock.Clocks(now=clock.now, monotonic=clock.monotonic)
        self.served = serving.ServedCertificate(
            self.load, trust=self.trust, alarms=alarms, metrics=self.metrics, clocks=clocks
        )

    def load(self, pair: issue.Pair) -> None:
        if self.unloadable:
            raise tls.TLSError("tls.key: this is not the key of tls.crt")
        tls.check_pair(cert_pem=pair.certificate, key_pem=pair.key)
        self.loaded.append(pair.certificate)

    def metric(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"sidecar_injector_{name}", labels)


class Replica(Serving):
    """The loops as `app` runs them."""

    def __init__(self, cluster: Cluster, policy: plan.Policy) -> None:
        server, clock = cluster.server, cluster.clock
        super().__init__(server, clock)
        self.source = self_signed.SelfSigned(
            server, secret_ref=SECRET_REF, policy=policy, served=self.served, metrics=self.metrics
        )
        self.ca_bundles = [
            ca_bundle.CABundleController(
                server, resource, name="si", source=self.source, trust=self.trust,
                recorder=self.recorder, metrics=self.metrics, monotonic=clock.monotonic,
            )
            for resource in api.WEBHOOK_CONFIGURATIONS.values()
        ]  # fmt: skip
        loops = [loop.run() for loop in (self.source, self.recorder, *self.ca_bundles)]
        self._tasks = [asyncio.ensure_future(loop) for loop in loops]

    def serving(self) -> bytes | None:
        return self.loaded[-1] if self.loaded else None

    def has_seen(self, server: fake_api.FakeApi) -> bool:
        """Whether its watches have told both configurations as they are."""
        newest = [server.objects[each].get(("", "si")) for each in (api.MUTATING, api.VALIDATING)]
        return all(map(_same_version, newest, [controller.live for controller in self.ca_bundles]))

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _same_version(first: api.Json | None, second: api.Json | None) -> bool:
    if first is None or second is None:
        return first is second
    return api.resource_version(first) == api.resource_version(second)


def configuration(entries: int) -> api.Json:
    return {
        "metadata": {"name": "si"},
        "webhooks": [
            {"name": f"w{number}.sidecar-injector.dev", "clientConfig": {"service": {}}}
            for number in range(entries)
        ],
    }
