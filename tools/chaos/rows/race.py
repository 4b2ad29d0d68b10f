"""Twenty replicas that start at once without any certificate: their loops, in one process."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import time
from collections.abc import Sequence
from typing import Final

from sidecar_injector import settings
from sidecar_injector.controllers.certificates import build
from sidecar_injector.controllers.certificates.source import CertificateSource
from sidecar_injector.kube import client, credentials, events, server_clock
from sidecar_injector.observability.metrics import Metrics
from sidecar_injector.pki import secret_data
from sidecar_injector.webhook import readiness
from tools.chaos import run
from tools.controlplane import release

COUNT: Final = 20
LIMIT_SECONDS: Final = 60


def race(row: run.Run) -> None:
    """Until all replicas agree: one CA was created, only one, and it is trusted."""
    servers = row.cluster
    servers.stop()
    kubeconfig = (servers.replicas[0].environment or {})["KUBECONFIG"]
    for _ in row.rounds():
        servers.damage(None)
        servers.write_bundle(b"")
        begun = time.monotonic()
        asyncio.run(_start(kubeconfig))
        row.repairs.append(time.monotonic() - begun)
        created = {
            secret_data.decode(secret.thing["data"]).ca.certificate
            for secret in servers.secret.since(begun)
            if secret.thing is not None
        }
        row.require(len(created) == 1, f"{len(created)} CAs were made")
        trusted = release.ca_bundle(servers.plane.client.get(release.CONFIGURATION))
        row.require(
            trusted == servers.stored().bundle().decode(),
            "the configuration has another CA than the Secret",
        )


async def _start(kubeconfig: str) -> None:
    """Return when all replicas know the same CA as trusted."""
    source = credentials.CredentialsSource(kubeconfig=kubeconfig)
    async with contextlib.AsyncExitStack() as exits:
        scratch = exits.enter_context(tempfile.TemporaryDirectory())
        sources, tasks = [], []
        for number in range(COUNT):
            connected = await exits.enter_async_context(client.Client(source))
            recorder = events.Recorder(
                connected, instance=f"racer-{number}", now=server_clock.system
            )
            certificates = build.make(
                settings.Settings(scratch_folder=scratch), connected, recorder=recorder,
                metrics=Metrics(), ready=readiness.Readiness(), clock=server_clock.Clock(),
            )  # fmt: skip
            sources.append(certificates.source)
            loops = (certificates.source.run, certificates.run_ca_bundles, recorder.run)
            tasks += [asyncio.create_task(loop()) for loop in loops]
        try:
            async with asyncio.timeout(LIMIT_SECONDS):
                await _agreed(sources)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _agreed(sources: Sequence[CertificateSource]) -> None:
    changed = asyncio.Event()
    for source in sources:
        source.subscribe(changed.set)
    while True:
        bundles = {source.bundle() for source in sources}
        trusted = all(source.issuer_was_live() for source in sources)
        if len(bundles) == 1 and None not in bundles and trusted:
            return
        # Trust changes without a call of the subscriber, so it is read again after a while.
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(changed.wait(), 0.02)
        changed.clear()
