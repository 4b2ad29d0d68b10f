"""A new CA without a pod that is missed, and one CA however many replicas begin at once."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import time
from collections.abc import AsyncIterator

from cryptography import x509

from sidecar_injector import names
from sidecar_injector.controllers.certificates import build
from sidecar_injector.kube import client, credentials, events, server_clock
from sidecar_injector.observability.metrics import Metrics
from sidecar_injector.pki import secret_data
from sidecar_injector.settings import Settings
from sidecar_injector.webhook import readiness
from tests.kits import certificate_modes as modes
from tests.kits import installation as installing
from tests.kits import product as kit
from tools.controlplane import cluster

SECRET = f"{modes.SECRETS}/{names.secret_name(names.PRODUCT)}"
ROLL_WAIT = 2
CROWD = 20


def stored(plane: cluster.ControlPlane, path: str = SECRET) -> secret_data.CertificateSet:
    return secret_data.decode(plane.client.get(path)["data"])


def test_a_ca_roll_on_request_goes_all_its_way_and_costs_no_pod(
    plane: cluster.ControlPlane,
) -> None:
    values = (installing.DRAIN, f"settings.caRollWaitSeconds={ROLL_WAIT}")
    with installing.installation(plane, *values) as product:
        mode = modes.Mode(product)
        before = stored(plane)
        change = {"metadata": {"annotations": {names.ROTATE_ANNOTATION: "ca"}}}
        begun = time.monotonic()
        plane.client.request("PATCH", SECRET, change, **kit.PATCH)
        mode.wait("the next CA is staged", lambda: stored(plane).next_ca is not None)
        staged = stored(plane)
        assert staged.leaf == before.leaf
        mode.wait("it is trusted", lambda: modes.bundle(product) == staged.bundle())
        mode.wait("it signs", lambda: stored(plane).ca == staged.next_ca)
        assert time.monotonic() - begun >= ROLL_WAIT
        switched = stored(plane)
        mode.wait_shown(switched.leaf)
        assert modes.bundle(product) == switched.bundle()
        assert switched.previous
        assert switched.previous.certificate == before.ca.certificate
        annotations = plane.client.get(SECRET)["metadata"].get("annotations", {})
        assert names.ROTATE_ANNOTATION not in annotations


class Replica:
    """The loops of one replica that are about certificates, on a connection of their own."""

    def __init__(self, plane: cluster.ControlPlane, settings: Settings) -> None:
        self.metrics, self._time = Metrics(), server_clock.Clock()
        source = credentials.CredentialsSource(kubeconfig=str(plane.kubeconfig))
        self.api = client.Client(source, clock=self._time)
        recorder = events.Recorder(self.api, instance="crowd", now=server_clock.system)
        self.certificates = build.make(
            settings,
            self.api,
            recorder=recorder,
            metrics=self.metrics,
            ready=readiness.Readiness(),
            clock=self._time,
        )

    def written(self) -> float:
        name = "sidecar_injector_writes_total"
        labels = {"object": "secret", "result": "written"}
        return self.metrics.registry.get_sample_value(name, labels) or 0.0


@contextlib.asynccontextmanager
async def running(replicas: list[Replica]) -> AsyncIterator[None]:
    parts = [replica.certificates for replica in replicas]
    loops = [loop for part in parts for loop in (part.source.run(), part.run_ca_bundles())]
    tasks = [asyncio.create_task(loop) for loop in loops]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for replica in replicas:
            await replica.api.close()


def prepared(plane: cluster.ControlPlane) -> Settings:
    """A release as far as the loops look at it, which calls nobody."""
    name = installing.unused_name()
    plane.create_namespace(name)
    labels = {"app": name}
    plane.kubectl("create", "-n", name, "-f", "-", stdin=json.dumps({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": kit.pod()["spec"]},
        },
    }))  # fmt: skip
    for kind in ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"):
        plane.kubectl("create", "-f", "-", stdin=json.dumps({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": kind,
            "metadata": {"name": name},
            "webhooks": [{
                "name": names.MUTATE_WEBHOOK,
                "clientConfig": {"service": {"name": name, "namespace": name}},
                "sideEffects": "None",
                "admissionReviewVersions": ["v1"],
            }],
        }))  # fmt: skip
    return Settings(namespace=name, fullname=name, secret_name=names.secret_name(name))


async def test_twenty_replicas_that_begin_on_nothing_come_to_one_ca(
    plane: cluster.ControlPlane,
) -> None:
    settings = prepared(plane)
    replicas = [Replica(plane, settings) for _ in range(CROWD)]

    def trusted_everywhere() -> bool:
        parts = [replica.certificates for replica in replicas]
        return all(part.context.leaf and part.source.issuer_was_live() for part in parts)

    begun = time.monotonic()
    async with running(replicas):
        await asyncio.to_thread(plane.wait, "all serve and are trusted", trusted_everywhere)
        seconds = time.monotonic() - begun
    print(f"{CROWD} replicas, one CA after {seconds:.1f} s")  # noqa: T201 - a figure to look at
    path = f"/api/v1/namespaces/{settings.namespace}/secrets/{settings.secret_name}"
    secret = stored(plane, path)
    assert secret.generation == 1
    leaves = {replica.certificates.context.leaf for replica in replicas}
    assert leaves == {secret.leaf.parsed()}
    assert sum(replica.written() for replica in replicas) == 1
    for path in (kit.MUTATING, kit.VALIDATING):
        configuration = plane.client.get(f"{path.rpartition('/')[0]}/{settings.fullname}")
        for entry in configuration["webhooks"]:
            trusted = base64.b64decode(entry["clientConfig"]["caBundle"])
            assert x509.load_pem_x509_certificates(trusted) == [secret.ca.parsed()]
