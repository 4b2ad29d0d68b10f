"""The caBundle loop: both webhook configurations carry our CAs, and nothing else.

On every replica, without a leader: while a bundle is wrong no pod is injected.
"""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Callable
from typing import Final

from sidecar_injector.controllers import loop
from sidecar_injector.controllers.certificates import rate_limit, serving, trust
from sidecar_injector.kube import api, events, informer
from sidecar_injector.observability.metrics import Metrics
from sidecar_injector.pki import webhook_configuration

log = logging.getLogger(__name__)

KINDS: Final = {
    api.MUTATING: "MutatingWebhookConfiguration",
    api.VALIDATING: "ValidatingWebhookConfiguration",
}
MOST_STEPS: Final = 10


class Bundles:
    """Keeps the caBundle of all entries of both configurations named `name` as `source` has it.

    Tells `trusted` what is there. A configuration that does not exist is left alone: to create it
    would be to fight an uninstall.
    """

    def __init__(
        self,
        client: api.Api,
        *,
        name: str,
        source: serving.CertificateSource,
        trusted: trust.Trust,
        recorder: events.Recorder,
        metrics: Metrics,
        monotonic: Callable[[], float],
    ) -> None:
        self.keepers = tuple(
            Keeper(
                client,
                resource,
                name=name,
                source=source,
                trusted=trusted,
                recorder=recorder,
                metrics=metrics,
                monotonic=monotonic,
            )
            for resource in KINDS
        )

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            for keeper in self.keepers:
                group.create_task(keeper.run())


class Keeper:
    """The same for one of them."""

    def __init__(
        self,
        client: api.Api,
        resource: api.Resource,
        *,
        name: str,
        source: serving.CertificateSource,
        trusted: trust.Trust,
        recorder: events.Recorder,
        metrics: Metrics,
        monotonic: Callable[[], float],
    ) -> None:
        self._api, self._resource, self._name = client, resource, name
        self._source, self._trusted, self._recorder = source, trusted, recorder
        self._monotonic = monotonic
        self._in_sync = metrics.ca_bundle_in_sync.labels(configuration=resource.plural)
        self._writes = metrics.writes
        self._live: api.Json | None = None
        self._lists = 0
        self._wanted: bytes | None = None
        self._limiter = rate_limit.Limiter()
        self._fighting = False
        self._loop = loop.Loop(self.reconcile, what=f"{KINDS[resource]} {name}")
        self._cache = informer.Informer(
            client, resource, metrics=metrics, scope=api.by_name(name), on_change=self._changed
        )
        source.subscribe(self._loop.wake)

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._cache.run())
            await self._cache.synced.wait()
            group.create_task(self._loop.run())

    async def reconcile(self) -> float:
        """Repair the bundle if it is wrong; after how many seconds to look again."""
        for _ in range(MOST_STEPS):
            wanted = self._source.bundle()
            if self._is_right(wanted):
                break
            # What we know of the Secret may be old: a bundle that is news to us is not foreign yet.
            judged = self._live
            wanted = await self._source.refresh()
            if self._live is not judged:
                # It may be the work of somebody who read a newer Secret than we just did.
                continue
            if wanted is None or self._is_right(wanted):
                break
            wait = self._permission(wanted)
            if wait > 0:
                await self._complain(wanted)
                return wait
            await self._patch(wanted)
        return loop.TICK_SECONDS

    def _changed(self, _key: informer.Key, _old: api.Json | None, new: api.Json | None) -> None:
        self._observe(new, unbroken=self._cache.lists == self._lists)
        self._lists = self._cache.lists
        self._loop.wake()

    def _observe(self, live: api.Json | None, *, unbroken: bool) -> None:
        self._live = live
        self._trusted.observe(self._resource, live, unbroken=unbroken)

    def _is_right(self, wanted: bytes | None) -> bool:
        """Whether nothing is to be done; also when it is not known what would be."""
        right = not webhook_configuration.wrong_entries(self._live, wanted)
        self._in_sync.set(right and wanted is not None)
        if right and wanted is not None:
            self._wanted = wanted
            self._limiter.right(self._monotonic())
        return right

    def _permission(self, wanted: bytes) -> float:
        if wanted != self._wanted:
            self._limiter.reset()
            self._wanted = wanted
        wait = self._limiter.wait(self._monotonic())
        self._fighting = self._fighting and wait > 0
        return wait

    async def _patch(self, wanted: bytes) -> None:
        """One strategic merge patch, keyed by webhook name, if nobody else has written since.

        Not server-side apply: an entry that a chart upgrade removes would stay behind as the part
        that we own, which is invalid, and the upgrade would fail.
        """
        live = self._live
        if live is None:
            return
        entries = [
            {"name": name, "clientConfig": {"caBundle": base64.b64encode(wanted).decode()}}
            for name in webhook_configuration.wrong_entries(live, wanted)
        ]
        body = {
            "metadata": {"resourceVersion": api.resource_version(live)},
            "webhooks": entries,
        }
        try:
            patched = await self._api.patch(
                self._resource, body, name=self._name, content_type=api.STRATEGIC_PATCH
            )
        except api.ApiError as error:
            if error.status not in {api.CONFLICT, api.NOT_FOUND}:
                raise
            self._count("conflict")
            await self._read()
        else:
            self._count("written")
            log.info("%s %s: caBundle repaired", KINDS[self._resource], self._name)
            self._observe(patched, unbroken=True)

    async def _read(self) -> api.Json | None:
        try:
            live = await self._api.get(self._resource, name=self._name)
        except api.ApiError as error:
            if error.status != api.NOT_FOUND:
                raise
            live = None
        # Whatever was in between was not seen.
        self._observe(live, unbroken=False)
        return live

    async def _complain(self, wanted: bytes) -> None:
        """Once a fight: tell people who it is that keeps writing."""
        if self._fighting:
            return
        live = await self._read()
        if live is None or self._is_right(wanted):
            # Another replica was allowed to repair it: who owns it now is no longer who broke it.
            return
        self._fighting = True
        others = ", ".join(webhook_configuration.other_managers(live)) or "somebody"
        message = (
            f"{others} keeps rewriting the caBundle of {KINDS[self._resource]} {self._name}:"
            " it is repaired once a minute from now on, and pods are not injected in between"
        )
        log.error("%s", message)
        self._recorder.record(
            events.Event(
                regarding=events.ObjectRef.of(live, self._resource),
                reason="CABundleRewritten",
                message=message,
                action="RepairCABundle",
            )
        )

    def _count(self, result: str) -> None:
        self._writes.labels(object=self._resource.plural, result=result).inc()
