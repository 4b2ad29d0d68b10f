"""Counting the pods that run, from their metadata alone and in small pieces.

Whether a pod is on the host network is not in its metadata, so there are two lists: those that are,
and those that are not. A page is gone when its pods are counted: memory stays flat.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from sidecar_injector.core import audit, world
from sidecar_injector.kube import api

PAGE: Final = 100
"""Pods in one answer: its JSON is read in about a millisecond, while no pod is answered."""
ONE_BY_ONE: Final = 50
"""So many namespaces are listed each for itself; of more all pods of the cluster are listed."""
SLICE_SECONDS: Final = 0.002
REST: Final = 4
"""After a slice of counting the loop is left alone for so many times as long: the audit is in no
hurry, and pods that are being created are."""

ALIVE: Final = "status.phase!=Succeeded,status.phase!=Failed"
NETWORKS: Final = {False: "spec.hostNetwork=false", True: "spec.hostNetwork=true"}

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
            await self._sleep(min(worked, SLICE_SECONDS) * REST)
            self._began = self._clock()

    def begin(self) -> None:
        """What was awaited until now was no work."""
        self._began = self._clock()


async def count(client: api.Api, worlds: Mapping[str, world.World], *, slices: Slices) -> Tallies:
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
    worlds: Mapping[str, world.World],
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
    async with contextlib.aclosing(pages) as answers:
        async for page in answers:
            slices.begin()
            for pod in page.items:
                namespace = api.metadata(pod)["namespace"]
                if known := worlds.get(namespace):
                    seen = {**pod, "spec": {"hostNetwork": host_network}}
                    tallies[namespace].update(
                        (audit.identity(one), state) for one, state in audit.states(seen, known)
                    )
                await slices.give_way()
