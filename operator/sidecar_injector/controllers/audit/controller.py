"""Keeps `status.pods` of every injection correct; only the leader runs it.

Everything is counted every `audit_seconds`. In between the namespaces are counted in which
something changed: an injection, the namespace itself, or the pods that are there.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from typing import Any

from sidecar_injector import names
from sidecar_injector.controllers import loop, rate_limit, status
from sidecar_injector.controllers.audit import count, namespace_labels, pod_watch, schedule
from sidecar_injector.core import audit
from sidecar_injector.core.injections import namespace_view
from sidecar_injector.kube import api, events, informer, leader_election, server_clock
from sidecar_injector.observability.metrics import Metrics
from sidecar_injector.settings import Settings
from sidecar_injector.webhook import cluster_state

log = logging.getLogger(__name__)


class Auditor:
    """Counts pods, compares the counts with the status, and writes the differences."""

    def __init__(
        self,
        client: api.Api,
        *,
        settings: Settings,
        state: cluster_state.ClusterState,
        recorder: events.Recorder,
        metrics: Metrics,
        clocks: server_clock.Clocks,
        beside: Callable[[], Coroutine[Any, Any, None]] | None = None,
    ) -> None:
        """`beside` is what else only the leader runs."""
        self._api, self._state, self._metrics, self._clocks = client, state, metrics, clocks
        ref = leader_election.LeaseRef(
            namespace=settings.namespace,
            name=names.lease_name(settings.fullname),
            deployment=settings.fullname,
        )
        identity = leader_election.unique_identity(settings.pod_name)
        self._lease = leader_election.Lease(
            client, ref=ref, identity=identity, metrics=metrics, clocks=clocks
        )
        self._labels = namespace_labels.Labels(
            recorder, release_namespace=settings.namespace, monotonic=clocks.monotonic
        )
        self._watch = pod_watch.PodWatch(client, mark=self.mark, sleep=clocks.sleep)
        self._injections: Mapping[str, Mapping[informer.Key, api.Json]] = {}
        self._namespaces: Mapping[informer.Key, api.Json] = {}
        self._tallies = count.Tallies()
        self._every = settings.audit_seconds
        self._limiter = rate_limit.WriteLimiter(clocks.monotonic)
        self._beside = beside
        self._problem = ""
        self._is_counted = False
        """Whether the count that runs has all numbers, and only has to write them."""
        self._loop = loop.Loop(self.step, what="the audit")
        self.schedule = schedule.Schedule(every=settings.audit_seconds, monotonic=clocks.monotonic)

    def follow(
        self,
        injections: Mapping[str, Mapping[informer.Key, api.Json]],
        namespaces: Mapping[informer.Key, api.Json],
    ) -> None:
        """Set where the injections of each kind and the namespaces are."""
        self._injections, self._namespaces = injections, namespaces

    def injection_changed(self, old: api.Json | None, new: api.Json | None) -> None:
        """An injection was added, changed or deleted; a change of its status is ignored."""
        if old and new and _version(old) == _version(new):
            return
        if namespace := api.metadata(new or old or {}).get("namespace"):
            self.mark(namespace)
        else:
            self.schedule.recount_everything()
            self._loop.wake()

    def mark(self, namespace: str) -> None:
        """Something changed in this namespace. A replica that does not lead ignores it."""
        self.schedule.mark(namespace)
        self._loop.wake()

    async def run(
        self,
        informers: Sequence[informer.Informer],
        *,
        tried: Sequence[informer.Informer] = (),
    ) -> None:
        """Audit while this replica is the leader, until cancelled.

        It begins when the informers have a complete list, and the `tried` ones that or an error.
        """
        for each in informers:
            await each.synced.wait()
        for each in tried:
            await each.tried.wait()
        await self._lease.lead(self._lead)

    async def _lead(self) -> None:
        self.schedule.start()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._watch.run())
                group.create_task(self._loop.run())
                if self._beside:
                    group.create_task(self._beside())
        finally:
            self.schedule.stop()
            self._tallies = count.Tallies()
            self._labels.forget_all()
            self._metrics.audit_last.set(0)
            self._show(audit.Tally())

    async def step(self) -> float:
        """Count what is due; returns the seconds until everything is due again."""
        if self.schedule.is_due:
            await self._clocks.sleep(self.schedule.pause)
            try:
                await self.recount(self.schedule.take())
            except Exception:
                # If only a write failed, the next audit writes. A count would add to an overload.
                if not self._is_counted:
                    self.schedule.recount_everything()
                self._metrics.audit_failures.inc()
                raise
            self.schedule.finished()
        return self.schedule.seconds_left

    async def recount(self, namespaces: Collection[str] | None = None) -> None:
        """Count the pods of these namespaces, or of all, and write what differs."""
        started_at = self._clocks.monotonic()
        self._is_counted = False
        pace = schedule.Pace()
        everything = namespaces is None
        if namespaces is None:
            namespaces = {name for _, name in self._namespaces}
            self._labels.keep_only(namespaces)
        elif not self._tallies.has_namespaces:
            return
        views = {}
        for name in sorted(namespaces):
            if view := self._view(name):
                views[name] = view
            await pace.yield_if_due()
        counted = await count.count(self._api, views, pace=pace)
        tallies = count.Tallies() if everything else self._tallies
        for name in namespaces:
            tallies.replace(name, counted.get(name, audit.Tally()))
            await pace.yield_if_due()
        self._take(tallies)
        self._is_counted = True
        await self._write(tallies.total, pace=pace)
        seconds = self._clocks.monotonic() - started_at
        if everything:
            self._metrics.audit_duration.observe(seconds)
            self._metrics.audit_last.set(self._clocks.now().timestamp())
        self._show(tallies.total)
        fields = {"namespaces": len(views), "seconds": round(seconds, 3), "whole": everything}
        log.debug("audited %d namespaces", len(views), extra={"fields": fields})

    def _take(self, tallies: count.Tallies) -> None:
        if self._tallies.has_namespaces and not tallies.has_namespaces:
            log.warning(
                "the counts of each namespace would take more than %d entries in memory:"
                " pods are counted only every %d s, not when they come and go",
                count.MOST_ENTRIES,
                self._every,
            )
        self._tallies = tallies

    def _view(self, name: str) -> namespace_view.NamespaceView | None:
        """The namespace and the injections that may apply in it; None if none can apply."""
        namespace = self._state.namespace(name)
        if namespace is None:
            self._labels.forget(name)
            return None
        self._labels.check(namespace, self._namespaces["", name])
        if not namespace.is_enabled:
            return None
        view = self._state.of_namespace(name).view
        return view if audit.can_select(view) else None

    async def _write(self, total: audit.Tally, *, pace: schedule.Pace) -> None:
        now = self._clocks.now().strftime("%Y-%m-%dT%H:%M:%SZ")
        for kind, injections in self._injections.items():
            for key, injection in list(injections.items()):
                current = (injection.get("status") or {}).get("pods") or {}
                counts = audit.counts(total, (kind, *key))
                change = audit.wanted(counts, current=current, now=now)
                value = tuple(map(str, counts.values()))
                if change is None:
                    self._limiter.observe_correct((kind, key))
                elif not self._limiter.delay((kind, key), value):
                    await self._write_counts(kind, key, change)
                    self._limiter.count((kind, key), value)
                    pace.restart()
                await pace.yield_if_due()

    async def _write_counts(self, kind: str, key: informer.Key, change: api.Json) -> None:
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
            if error.status == api.NOT_FOUND:
                return
            self._metrics.writes.labels("pods", "failed").inc()
            if error.status not in status.OF_THIS_OBJECT:
                raise
            if str(error) != self._problem:
                self._problem = str(error)
                log.warning("cannot write the counts of an injection: %s", error)
        else:
            self._metrics.writes.labels("pods", "written").inc()

    def _show(self, total: audit.Tally) -> None:
        for state, number in audit.sums(total).items():
            self._metrics.audit_pods.labels(state).set(number)


def _version(injection: api.Json) -> tuple[object, ...]:
    """It changes with the spec, but not with the status."""
    metadata = api.metadata(injection)
    return metadata.get("uid"), metadata.get("generation")
