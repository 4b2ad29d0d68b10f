"""The caBundle loop: both webhook configurations contain our CAs, and nothing else.

It runs on every replica, without a leader: while a bundle is wrong no pod is injected.
"""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable
from typing import Final

from sidecar_injector.controllers import loop
from sidecar_injector.controllers.certificates import rate_limit
from sidecar_injector.controllers.certificates.source import CertificateSource
from sidecar_injector.controllers.certificates.trust import Trust
from sidecar_injector.kube import api, events, informer
from sidecar_injector.observability.metrics import Metrics
from sidecar_injector.pki import webhook_configuration

log = logging.getLogger(__name__)

MOST_STEPS: Final = 10


class CABundleController:
    """Keeps the caBundle of all entries of one webhook configuration as `source` wants it.

    Reports to `trust` what the configuration contains. A missing configuration is not created,
    because that would disturb an uninstall.
    """

    def __init__(
        self,
        client: api.Api,
        resource: api.Resource,
        *,
        name: str,
        source: CertificateSource,
        trust: Trust,
        recorder: events.Recorder,
        metrics: Metrics,
        monotonic: Callable[[], float],
    ) -> None:
        self._api, self._resource, self._name = client, resource, name
        self._source, self._trust, self._recorder = source, trust, recorder
        self._monotonic = monotonic
        self._in_sync = metrics.ca_bundle_in_sync.labels(configuration=resource.plural)
        self._writes = metrics.writes
        self.live: api.Json | None = None
        """The configuration as last seen."""
        self._seen_lists = 0
        self._wanted: bytes | None = None
        self._limiter = rate_limit.WriteLimiter()
        self._reported_conflict = False
        self._loop = loop.Loop(self.reconcile, what=f"{resource.kind} {name}")
        self._informer = informer.Informer(
            client, resource, metrics=metrics, scope=api.by_name(name), on_change=self._changed
        )
        source.subscribe(self._loop.wake)

    async def run(self) -> None:
        """Until cancelled."""
        await self._loop.run_with(self._informer)

    async def reconcile(self) -> float:
        """Repair the bundle if it is wrong; returns the seconds until the next turn."""
        for _ in range(MOST_STEPS):
            wanted = self._source.bundle()
            if self._is_right(wanted):
                break
            # The bundle may be newer than the Secret that this replica has seen: read the Secret.
            judged = self.live
            wanted = await self._source.refresh()
            if self.live is not judged:
                # Another replica may have written it from a newer Secret than was just read.
                continue
            if wanted is None or self._is_right(wanted):
                break
            delay = self._delay(wanted)
            if delay > 0:
                await self._report_conflict(wanted)
                return delay
            await self._patch(wanted)
        return loop.TICK_SECONDS

    def _changed(self, _key: informer.Key, _old: api.Json | None, new: api.Json | None) -> None:
        self._observe(new, unbroken=self._informer.lists == self._seen_lists)
        self._seen_lists = self._informer.lists
        self._loop.wake()

    def _observe(self, live: api.Json | None, *, unbroken: bool) -> None:
        self.live = live
        self._trust.observe(self._resource, live, unbroken=unbroken)

    def _is_right(self, wanted: bytes | None) -> bool:
        """Whether nothing has to be done; also true while the wanted bundle is unknown."""
        right = not webhook_configuration.wrong_entries(self.live, wanted)
        self._in_sync.set(right if wanted is not None else self._is_trusted())
        if right and wanted is not None:
            self._wanted = wanted
            self._limiter.observe_correct(self._monotonic())
        return right

    def _is_trusted(self) -> bool:
        """Whether every entry trusts the served certificate; for bundles that others write."""
        entries = (self.live or {}).get("webhooks")
        if not entries:
            return True
        cas = webhook_configuration.common_cas({"webhooks": entries})
        return not cas.isdisjoint(self._source.issuers())

    def _delay(self, wanted: bytes) -> float:
        if wanted != self._wanted:
            self._limiter.reset()
            self._wanted = wanted
        delay = self._limiter.delay(self._monotonic())
        self._reported_conflict = self._reported_conflict and delay > 0
        return delay

    async def _patch(self, wanted: bytes) -> None:
        """Send one strategic merge patch, keyed by webhook name, unless it has changed since.

        Not server-side apply: of an entry that a chart upgrade removes, the part that we own would
        stay. That part alone is invalid, and the upgrade would fail.
        """
        live = self.live
        if live is None:
            return
        entries = [
            {"name": name, "clientConfig": {"caBundle": base64.b64encode(wanted).decode()}}
            for name in webhook_configuration.wrong_entries(live, wanted)
        ]
        body = {"metadata": {"resourceVersion": api.resource_version(live)}, "webhooks": entries}
        try:
            patched = await self._api.patch(
                self._resource, body, name=self._name, content_type=api.STRATEGIC_PATCH
            )
        except api.ApiError as error:
            if error.status not in {api.CONFLICT, api.NOT_FOUND}:
                raise
            self._writes.labels(self._resource.plural, "conflict").inc()
            await self._read()
        else:
            self._writes.labels(self._resource.plural, "written").inc()
            log.info("%s %s: caBundle repaired", self._resource.kind, self._name)
            self._observe(patched, unbroken=True)

    async def _read(self) -> api.Json | None:
        live = await api.get_or_none(self._api, self._resource, name=self._name)
        # A change in between may have been missed.
        self._observe(live, unbroken=False)
        return live

    async def _report_conflict(self, wanted: bytes) -> None:
        """Report once in a conflict which manager keeps writing."""
        if self._reported_conflict:
            return
        live = await self._read()
        if live is None or self._is_right(wanted):
            # Another replica has repaired it, and is its last writer now.
            return
        self._reported_conflict = True
        managers = ", ".join(webhook_configuration.other_managers(live)) or "somebody"
        message = (
            f"{managers} keeps rewriting the caBundle of {self._resource.kind} {self._name}:"
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
