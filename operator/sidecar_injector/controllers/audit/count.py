"""Counting the pods that run, from their metadata alone and in small pieces.

Whether a pod is on the host network is not in its metadata, so there are two lists: those that are,
and those that are not. A page is gone when its pods are counted: memory stays flat.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import orjson

from sidecar_injector.core import audit
from sidecar_injector.core.injections import namespace_view
from sidecar_injector.kube import api

PAGE: Final = 50
"""Pods in one answer: its JSON is read in half a millisecond, in which nobody is answered."""
ONE_BY_ONE: Final = 50
"""So many namespaces are listed each for itself; of more all pods of the cluster are listed."""
SLICE_SECONDS: Final = 0.0005
"""What a pod that is being created may have to wait: less than its own decision takes."""
REST: Final = 8
"""After a slice the loop is left alone for so many times as long: the audit is in no hurry."""

SERVER_REST: Final = 2
"""After an answer the API server is left alone for so many times as long as it took: whoever
creates a pod waits for it, too."""
LONGEST_REST: Final = 0.02
"""Seconds, after which a slow answer is forgiven: the counts are to be right within a minute."""

LOOKED_AT: Final = ("labels", "annotations", "deletionTimestamp")
"""Pods that have the same ones have the same states."""
ALIVE: Final = "status.phase!=Succeeded,status.phase!=Failed"
NETWORKS: Final = {False: "spec.hostNetwork=false", True: "spec.hostNetwork=true"}

MOST_REMEMBERED: Final = 500
"""States of different pods: a template makes many that are alike."""

States = list[tuple[audit.Identity, str]]
Tallies = dict[str, audit.Tally]
"""By namespace."""


class Slices:
    """Gives way to everything else after each short piece of work."""

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.perf_counter,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._clock, self._sleep = clock, sleep
        self._began = clock()

    async def give_way(self) -> None:
        """After each pod, mostly for nothing."""
        worked = self._clock() - self._began
        if worked >= SLICE_SECONDS:
            await self._sleep(SLICE_SECONDS * REST)
            self._began = self._clock()

    def begin(self) -> float:
        """What was awaited until now was no work; for how many seconds it was awaited."""
        now = self._clock()
        awaited, self._began = now - self._began, now
        return awaited

    async def leave_server_alone(self, *, answered_after: float) -> None:
        """Between two pages."""
        await self._sleep(min(answered_after * SERVER_REST, LONGEST_REST))
        self.begin()


async def count(
    client: api.Api, worlds: Mapping[str, namespace_view.NamespaceView], *, slices: Slices
) -> Tallies:
    """The pods of these namespaces, none left out; raises KubeError rather than count half."""
    tallies: Tallies = {name: audit.Tally() for name in worlds}
    if not worlds:
        return tallies
    places: list[str | None] = [*worlds] if len(worlds) <= ONE_BY_ONE else [None]
    for place in places:
        for host_network in NETWORKS:
            await _list(client, place, worlds, tallies, host_network=host_network, slices=slices)
    return tallies


async def _list(
    client: api.Api,
    place: str | None,
    worlds: Mapping[str, namespace_view.NamespaceView],
    tallies: Tallies,
    *,
    host_network: bool,
    slices: Slices,
) -> None:
    scope = api.Scope(
        namespace=place,
        field_selector=f"{ALIVE},{NETWORKS[host_network]}",
        metadata_only=True,
    )
    pages = client.pages(api.PODS, scope=scope, limit=PAGE)
    judge = _Judge(host_network=host_network)
    slices.begin()
    async with contextlib.aclosing(pages) as answers:
        async for page in answers:
            seconds = slices.begin()
            for pod in page.items:
                namespace = api.metadata(pod)["namespace"]
                if known := worlds.get(namespace):
                    tallies[namespace].update(judge.states(pod, known))
                await slices.give_way()
            await slices.leave_server_alone(answered_after=seconds)


def compact_json(value: Any) -> bytes:
    """As `orjson.dumps`, for what stays in memory.

    orjson leaves its result in the buffer in which it grew: 4 KB for two braces, and up to six
    times as much as the JSON itself takes.
    https://github.com/ijl/orjson/tree/master/src/serialize/writer
    """
    return memoryview(orjson.dumps(value)).tobytes()


class _Judge:
    """Asks about pods, and about pods that are alike only once."""

    def __init__(self, *, host_network: bool) -> None:
        self._host_network = host_network
        self._remembered: dict[tuple[str, bytes], States] = {}

    def states(self, pod: api.Json, known: namespace_view.NamespaceView) -> States:
        """The injections that apply to this pod, each with its state."""
        looked_at = [api.metadata(pod).get(field) for field in LOOKED_AT]
        key = known.namespace.name, compact_json(looked_at)
        found = self._remembered.get(key)
        if found is None:
            whole = {**pod, "spec": {"hostNetwork": self._host_network}}
            found = [(audit.identity(one), state) for one, state in audit.states(whole, known)]
            if len(self._remembered) >= MOST_REMEMBERED:
                self._remembered.clear()
            self._remembered[key] = found
        return found
