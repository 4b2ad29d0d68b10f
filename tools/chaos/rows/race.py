"""Twenty replicas that begin at once where there is nothing: their loops, in one process."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import datetime
import time
from collections.abc import Sequence
from typing import Final

from sidecar_injector import names
from sidecar_injector.controllers.certificates import (
    ca_bundle,
    problems,
    secret_store,
    self_signed,
    serving,
    trust,
)
from sidecar_injector.kube import client, credentials, events, server_clock
from sidecar_injector.observability.metrics import Metrics
from sidecar_injector.pki import plan, secret_data
from sidecar_injector.webhook import readiness
from tools.chaos import scene, stage
from tools.chaos.rows import bundle as bundles

COUNT: Final = 20
DAY: Final = 86_400
LIMIT_SECONDS: Final = 60
PLACE: Final = secret_store.SecretRef(
    namespace=names.PRODUCT, secret=names.secret_name(names.PRODUCT), deployment=names.PRODUCT
)
ABOUT: Final = events.About(
    api_version="v1", kind="Secret", name=PLACE.secret, namespace=PLACE.namespace
)
POLICY: Final = plan.Policy(
    dns_names=names.service_dns_names(
        service=names.PRODUCT, namespace=names.PRODUCT, cluster_domain="cluster.local"
    ),
    leaf_seconds=30 * DAY,
    ca_seconds=365 * DAY,
    roll_wait_seconds=60,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Loops:
    """What one replica runs about certificates."""

    origin: self_signed.SelfSigned
    bundles: ca_bundle.Bundles
    recorder: events.Recorder


def race(scene: scene.Scene) -> None:
    """Until everybody has the same, exactly one CA has ever been there, and it is trusted."""
    place = scene.stage
    place.stop()
    kubeconfig = (place.replicas[0].process.environment or {})["KUBECONFIG"]
    for _ in scene.rounds():
        place.damage(None)
        bundles.write(place, b"")
        begun = time.monotonic()
        asyncio.run(_start(kubeconfig))
        scene.repaired(time.monotonic() - begun)
        made = {
            secret_data.decode(seen.state["data"]).ca.certificate
            for seen in place.secret.since(begun)
            if seen.state is not None
        }
        scene.require(len(made) == 1, f"{len(made)} CAs were made")
        agreed = place.stored().bundle().decode() == stage.bundle_of(
            place.plane.client.get(stage.CONFIGURATION)
        )
        scene.require(agreed, "the configuration has another CA than the Secret")


async def _start(kubeconfig: str) -> None:
    """Return when all of them know the same CA as trusted."""
    source = credentials.CredentialsSource(kubeconfig=kubeconfig)
    async with contextlib.AsyncExitStack() as exits:
        clients = [await exits.enter_async_context(client.Client(source)) for _ in range(COUNT)]
        replicas = [_replica(one, number) for number, one in enumerate(clients)]
        tasks = [
            asyncio.create_task(run())
            for one in replicas
            for run in (one.origin.run, one.bundles.run, one.recorder.run)
        ]
        try:
            async with asyncio.timeout(LIMIT_SECONDS):
                await _agreed(replicas)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _agreed(replicas: Sequence[Loops]) -> None:
    changed = asyncio.Event()
    for one in replicas:
        one.origin.subscribe(changed.set)
    while True:
        known = {one.origin.bundle() for one in replicas}
        if (
            len(known) == 1
            and None not in known
            and all(one.origin.issuer_seen() for one in replicas)
        ):
            return
        # Trust changes without a word of the origin's, so the time is looked at as well.
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(changed.wait(), 0.02)
        changed.clear()


def _replica(one: client.Client, number: int) -> Loops:
    metrics, trusted = (
        Metrics(),
        trust.Trust(one, name=names.PRODUCT, monotonic=time.monotonic),
    )
    recorder = events.Recorder(one, instance=f"racer-{number}", now=_now)
    clocks = server_clock.Clocks(now=_now, monotonic=time.monotonic)
    raising = problems.Alarms(
        recorder=recorder, about=ABOUT, metrics=metrics, ready=readiness.Readiness()
    )
    serve = serving.ServedCertificate(
        _load, metrics=metrics, raising=raising, live=trusted.seen_for, clocks=clocks
    )
    origin = self_signed.SelfSigned(
        one, place=PLACE, policy=POLICY, serve=serve, trusted=trusted, metrics=metrics,
        raising=raising, clocks=clocks,
    )  # fmt: skip
    bundles = ca_bundle.Bundles(
        one, name=names.PRODUCT, source=origin, trusted=trusted, recorder=recorder,
        metrics=metrics, monotonic=time.monotonic,
    )  # fmt: skip
    return Loops(origin=origin, bundles=bundles, recorder=recorder)


def _load(*, cert_pem: bytes, key_pem: bytes) -> None:
    """There is no server to load it into."""


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
