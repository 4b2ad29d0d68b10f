"""Keeps `status.pods` of every injection right; only the holder of the Lease does.

Everything is counted again every `audit_seconds`. In between the namespaces are in which something
happened: an injection or a namespace changed, or the watch told of pods that came or went.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Mapping, Sequence
from typing import Final

from sidecar_injector import names
from sidecar_injector.controllers import loop
from sidecar_injector.controllers.audit import count, namespace_labels, pod_watch
from sidecar_injector.core import audit
from sidecar_injector.core.injections import namespace_view
from sidecar_injector.kube import api, events, informer, leader_election, server_clock
from sidecar_injector.observability.metrics import POD_STATES, Metrics
from sidecar_injector.settings import Settings
from sidecar_injector.webhook import cluster_state

log = logging.getLogger(__name__)

SETTLE_SECONDS: Final = 1.5
"""Between the first news and the look at it: a Deployment's pods come one after the other."""
REST: Final = 20
"""After a look at what has changed the next one waits for so many times as long as it took: where
pods come all the time, those who make them share the API server with us, ..."""
LONGEST_PAUSE_SECONDS: Final = 30.0
"""... but not for longer: what has changed is to show within a minute. Where little happens a look
is short. After a look at everything, which is rare, nothing waits."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """What the caches know."""

    injections: Mapping[str, Mapping[informer.Key, api.Json]]
    """By kind."""
    namespaces: Mapping[informer.Key, api.Json]


class Auditor:
    """Counts, compares and writes; told by the caches of changes."""

    def __init__(
        self,
        client: api.Api,
        *,
        settings: Settings,
        known: cluster_state.ClusterState,
        recorder: events.Recorder,
        metrics: Metrics,
        clocks: server_clock.Clocks,
    ) -> None:
        self._api, self._known, self._metrics, self._clocks = client, known, metrics, clocks
        self._release_namespace, self._every = settings.namespace, settings.audit_seconds
        place = leader_election.LeaseRef(
            namespace=settings.namespace,
            name=names.lease_name(settings.fullname),
            deployment=settings.fullname,
        )
        self._lease = leader_election.Lease(
            client, place=place, identity=settings.pod_name, metrics=metrics, clocks=clocks
        )
        self._labels = namespace_labels.Labels(recorder, monotonic=clocks.monotonic)
        self._leading = False
        self._watch = pod_watch.PodWatch(client, mark=self.mark, sleep=clocks.sleep)
        self._sources = Sources(injections={}, namespaces={})
        self._marked: set[str] = set()
        self._tallies: count.Tallies = {}
        self._loop = loop.Loop(self._turn, what="the audit")
        self._due = self._pause = 0.0

    def follow(self, sources: Sources) -> None:
        """Where injections and namespaces are found."""
        self._sources = sources

    def namespace_changed(self, name: str) -> None:
        """A namespace was added, changed or deleted."""
        self.mark(name)

    def injection_changed(self, old: api.Json | None, new: api.Json | None) -> None:
        """An injection was added, changed or deleted; our own writes to its status are no news."""
        one = new or old or {}
        if old and new and _identity(old) == _identity(new):
            return
        if namespace := api.metadata(one).get("namespace"):
            self.mark(namespace)
        else:
            self._due = 0.0
            self._loop.wake()

    def mark(self, namespace: str) -> None:
        """Something happened there; whoever does not lead will begin with everything anyway."""
        if self._leading:
            self._marked.add(namespace)
            self._loop.wake()

    async def run(self, caches: Sequence[informer.Informer]) -> None:
        """Audit whenever this replica leads, until cancelled."""
        for one in caches:
            await one.synced.wait()
        await self._lease.lead(self._lead)

    async def _lead(self) -> None:
        self._due = self._pause = 0.0
        self._leading = True
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._watch.run())
                group.create_task(self._loop.run())
        finally:
            self._leading = False
            self._tallies, self._marked = {}, set()
            self._labels.forget_all()
            self._metrics.audit_last.set(0)
            self._show(audit.Tally())

    async def _turn(self) -> float:
        """Look at what is due; after how many seconds to look again without news."""
        now = self._clocks.monotonic
        if self._marked or now() >= self._due:
            await self._clocks.sleep(self._pause)
            began = now()
            everything = began >= self._due
            try:
                await self.look(everything=everything)
            except api.KubeError:
                self._due = 0.0
                self._metrics.audit_failures.inc()
                raise
            rest = 0.0 if everything else REST * (now() - began)
            self._pause = min(max(SETTLE_SECONDS, rest), LONGEST_PAUSE_SECONDS)
        return max(self._due - now(), 0.0)

    async def look(self, *, everything: bool) -> None:
        """Count anew, everywhere or where something happened, and write what differs."""
        began = self._clocks.monotonic()
        present = {key[1] for key in self._sources.namespaces}
        marked, self._marked = self._marked, set()
        slices = count.Slices()
        worlds = {}
        for name in sorted(present if everything else marked):
            if known := self._world(name):
                worlds[name] = known
            await slices.give_way()
        counted = await count.count(self._api, worlds, slices=slices)

        kept = {} if everything else {k: v for k, v in self._tallies.items() if k not in marked}
        self._tallies = {**kept, **{name: one for name, one in counted.items() if one}}
        if everything:
            self._due = began + self._every
        total = self._total()
        await self._write(total, slices=slices)
        seconds = self._clocks.monotonic() - began
        if everything:
            self._metrics.audit_duration.observe(seconds)
            self._metrics.audit_last.set(self._clocks.now().timestamp())
        self._show(total)
        fields = {"namespaces": len(worlds), "seconds": round(seconds, 3), "whole": everything}
        log.debug("audited %d namespaces", len(worlds), extra={"fields": fields})

    def _world(self, name: str) -> namespace_view.NamespaceView | None:
        """The namespace and what may apply in it; None where nothing can."""
        namespace = self._known.namespace(name)
        if namespace is None:
            self._labels.forget(name)
            return None
        metadata = api.metadata(self._sources.namespaces[("", name)])
        self._labels.look(namespace, uid=metadata.get("uid", ""))
        if not namespace.is_enabled:
            return None
        known = namespace_view.NamespaceView(
            namespace=namespace,
            injections=self._known.injections(name),
            release_namespace=self._release_namespace,
        )
        return known if audit.is_worth_a_look(known) else None

    def _total(self) -> audit.Tally:
        total = audit.Tally()
        for one in self._tallies.values():
            total.update(one)
        return total

    async def _write(self, total: audit.Tally, *, slices: count.Slices) -> None:
        now = self._clocks.now().strftime("%Y-%m-%dT%H:%M:%SZ")
        for kind, resources in self._sources.injections.items():
            for key, resource in list(resources.items()):
                current = (resource.get("status") or {}).get("pods") or {}
                found = audit.counts(total, (kind, *key))
                change = audit.wanted(found, current=current, now=now)
                if change is not None:
                    await self._write_one(kind, key, change)
                    slices.begin()
                await slices.give_way()

    async def _write_one(self, kind: str, key: informer.Key, change: api.Json) -> None:
        namespace, name = key
        try:
            await self._api.patch(
                api.OWN_KINDS[kind],
                {"status": {"pods": change}},
                name=name,
                namespace=namespace or None,
                subresource="status",
            )
        except api.ApiError as error:
            if error.status != api.NOT_FOUND:
                self._metrics.writes.labels("pods", "failed").inc()
                raise
        else:
            self._metrics.writes.labels("pods", "written").inc()

    def _show(self, total: audit.Tally) -> None:
        sums = dict.fromkeys(POD_STATES, 0)
        for (_, state), number in total.items():
            sums[state] += number
            sums[audit.SELECTED] += number
        for state, number in sums.items():
            self._metrics.audit_pods.labels(state).set(number)


def _identity(injection: api.Json) -> tuple[object, ...]:
    metadata = api.metadata(injection)
    return metadata.get("uid"), metadata.get("generation")
