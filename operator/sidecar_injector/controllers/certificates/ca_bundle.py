"""The caBundle loop: both webhook configurations contain our CAs, and nothing else.

It runs on every replica, without a leader: while a bundle is wrong no pod is injected.
"""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable
from typing import Final

from sidecar_injector.controllers import loop, rate_limit
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
        self._seen_lists = 0
        self._read_at = float("-inf")
        self._limiter = rate_limit.WriteLimiter(monotonic)
        self._reported_conflict = False
        self._loop = loop.Loop(self.reconcile, what=f"{resource.kind} {name}")
        self._informer = informer.Informer(
            client, resource, metrics=metrics, scope=api.by_name(name), on_change=self._changed
        )
        source.subscribe(self._loop.wake)

    async def run(self) -> None:
        """Until cancelled."""
        await self._loop.run_with(self._informer)

    @property
    def live(self) -> api.Json | None:
        """The configuration that the watch told last.

        A response never replaces it: the watch may have told something newer meanwhile.
        """
        return self._informer.objects.get(("", self._name))

    async def reconcile(self) -> float:
        """Repair the bundle if it is wrong; returns the seconds until the next turn.

        Once a minute the configuration is read from the API server, whatever the watch says. Where
        cert-manager writes the bundle, we have no right to read it so.
        """
        wanted = self._source.bundle()
        left = self._read_at + loop.TICK_SECONDS - self._monotonic()
        if (wanted is None or left > 0) and self._is_right(self.live, wanted):
            return left if left > 0 else loop.TICK_SECONDS
        for _ in range(MOST_STEPS):
            # First the configuration, then the Secret. If another replica writes both in between,
            # the configuration has changed: the watch tells it, or our patch is refused.
            observed, live = self.live, await self._read()
            wanted = self._source.bundle()
            if not self._is_right(live, wanted):
                # The bundle may be newer than the Secret that this replica has seen.
                wanted = await self._source.refresh()
                if self.live is not observed:
                    continue
            if live is None or wanted is None or self._is_right(live, wanted):
                break
            delay = self._limiter.delay(value=wanted)
            if delay > 0:
                self._report_conflict(live)
                return delay
            self._reported_conflict = False
            if await self._patch(live, wanted):
                break
        return loop.TICK_SECONDS

    def _changed(self, _key: informer.Key, _old: api.Json | None, new: api.Json | None) -> None:
        unbroken = self._informer.lists == self._seen_lists
        self._seen_lists = self._informer.lists
        self._trust.observe(self._resource, new, unbroken=unbroken)
        self._loop.wake()

    async def _read(self) -> api.Json | None:
        live = await api.get_or_none(self._api, self._resource, name=self._name)
        self._read_at = self._monotonic()
        return live

    def _is_right(self, live: api.Json | None, wanted: bytes | None) -> bool:
        """Whether nothing has to be done; also true while the wanted bundle is unknown."""
        right = not webhook_configuration.wrong_entries(live, wanted)
        self._in_sync.set(right if wanted is not None else self._is_trusted(live))
        if right and wanted is not None:
            self._limiter.observe_correct()
        return right

    def _is_trusted(self, live: api.Json | None) -> bool:
        """Whether every entry trusts the served certificate; for bundles that others write."""
        entries = (live or {}).get("webhooks")
        if not entries:
            return True
        cas = webhook_configuration.common_cas({"webhooks": entries})
        return not cas.isdisjoint(self._source.issuers())

    async def _patch(self, live: api.Json, wanted: bytes) -> bool:
        """Send one strategic merge patch, keyed by webhook name; False if `live` has changed.

        Not server-side apply: of an entry that a chart upgrade removes, the part that we own would
        stay. That part alone is invalid, and the upgrade would fail.
        """
        wrong = webhook_configuration.wrong_entries(live, wanted)
        entries = [
            {"name": name, "clientConfig": {"caBundle": base64.b64encode(wanted).decode()}}
            for name in wrong
        ]
        had_none = not any(
            entry["clientConfig"].get("caBundle")
            for entry in live.get("webhooks") or ()
            if entry["name"] in wrong
        )
        body = {"metadata": {"resourceVersion": api.resource_version(live)}, "webhooks": entries}
        try:
            await self._api.patch(
                self._resource, body, name=self._name, content_type=api.STRATEGIC_PATCH
            )
        except api.ApiError as error:
            if error.status not in {api.CONFLICT, api.NOT_FOUND}:
                raise
            self._limiter.count(value=wanted)
            self._writes.labels(self._resource.plural, "conflict").inc()
            return False
        self._limiter.count(value=wanted)
        self._writes.labels(self._resource.plural, "written").inc()
        done = "written" if had_none else "repaired"
        log.info("%s %s: caBundle %s", self._resource.kind, self._name, done)
        return True

    def _report_conflict(self, live: api.Json) -> None:
        """Report once in a conflict which manager keeps writing."""
        if self._reported_conflict:
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
