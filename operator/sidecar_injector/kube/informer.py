"""A list-and-watch: all objects of one kind, as the API server last told us, in memory.

Our own rather than Kopf's indices: those keep objects that were deleted while a watch was broken,
since the list after a 410 sends no DELETED.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Final, NoReturn

from sidecar_injector.kube import api
from sidecar_injector.observability.metrics import Metrics

log = logging.getLogger(__name__)

Key = tuple[str, str]
"""Namespace (empty for cluster-scoped objects) and name."""
Change = Callable[[Key, api.Json | None, api.Json | None], None]
"""Called with the object before and after; None is absent. Never with two equal ones."""
Transform = Callable[[api.Json], api.Json]

WATCH_SECONDS: Final = 300
"""How long one watch request lasts, as with client-go's reflector."""
FIRST_PAUSE, REOPEN_PAUSE, LONGEST_PAUSE = 0.1, 0.5, 5.0
"""Seconds between attempts: doubled each time, as the API server may be away for long; cut down to
the second once it has accepted a watch, to the first once something was heard on it."""

TURN_SECONDS: Final = 0.002
"""How long changes may be told before the event loop gets its turn."""


class _Turns:
    """Lets the event loop turn while many changes are told: pods are answered in between."""

    def __init__(self) -> None:
        self._until = time.perf_counter() + TURN_SECONDS

    async def give(self) -> None:
        """After each change; mostly it does nothing."""
        if time.perf_counter() > self._until:
            await asyncio.sleep(0)
            self._until = time.perf_counter() + TURN_SECONDS


class Informer:
    """Keeps `objects` equal to what the API server has, until cancelled; never gives up.

    `on_change` is called synchronously, in the API server's order. After a break that lost events
    it is called with the differences, deletions included, in no particular order.
    `synced` is set for good once a whole list has been taken over.
    """

    def __init__(
        self,
        api_client: api.Api,
        resource: api.Resource,
        *,
        metrics: Metrics,
        scope: api.Scope = api.EVERYTHING,
        transform: Transform | None = None,
        on_change: Change | None = None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._api, self.resource, self._scope = api_client, resource, scope
        self._transform, self._on_change = transform, on_change
        self._clock, self._sleep = clock, sleep
        self._pause, self._open = FIRST_PAUSE, False
        self._objects: dict[Key, api.Json] = {}
        self._version: str | None = None
        self.objects: Mapping[Key, api.Json] = MappingProxyType(self._objects)
        self.synced = asyncio.Event()
        self.lists = 0
        """Whole lists so far, this one included while its changes are being told; each but the
        first means that events may have been missed."""
        self.problem: str | None = None
        """Why nothing can be heard at present, for people; None while all is well."""
        self._synced_metric = metrics.cache_synced.labels(resource=resource.plural)
        self._heard_metric = metrics.cache_last_event.labels(resource=resource.plural)
        self._synced_metric.set(0)

    async def run(self) -> NoReturn:
        """List, watch, and begin again after whatever happens."""
        while True:
            self._open = False
            try:
                if self._version is None:
                    self._version = await self._list()
                await self._watch(self._version)
            except api.KubeError as error:
                self._note(error)
            await self._sleep(self._pause * random.uniform(0.5, 1.0))  # noqa: S311 - spreads load
            self._pause = min(self._pause * 2, LONGEST_PAUSE)

    async def _list(self) -> str:
        """Take over a whole list and report what differs; returns the version to watch from.

        resourceVersion stays unset, which is a read of the newest state. (`0` would be answered
        from a watch cache that may be older than what we have.)
        """
        fresh: dict[Key, api.Json] = {}
        version = ""
        async with contextlib.aclosing(self._api.pages(self.resource, scope=self._scope)) as pages:
            async for page in pages:
                version = page.resource_version
                for item in page.items:
                    fresh[key_of(item)] = self._trimmed(item)
        self.lists += 1
        gone = [key for key in self._objects if key not in fresh]
        turns = _Turns()
        for key in (*gone, *fresh):
            self._set(key, fresh.get(key))
            await turns.give()

        self._heard_metric.set(self._clock())
        self._synced_metric.set(1)
        self.synced.set()
        log.debug("%s: listed %d", self.resource.plural, len(self._objects))
        return version

    async def _watch(self, version: str) -> None:
        """Follow the events after `version` until the stream ends."""
        stream = self._api.watch(
            self.resource,
            resource_version=version,
            scope=self._scope,
            timeout_seconds=WATCH_SECONDS,
        )
        turns = _Turns()
        async with contextlib.aclosing(stream) as events:
            # What came in one piece is here at once: iterating alone waits for nothing.
            async for event in events:
                if event is api.OPENED:
                    self._opened()
                else:
                    self._take(event)
                    await turns.give()

    def _take(self, event: api.Json) -> None:
        thing: api.Json = event["object"]
        if event["type"] == "ERROR":
            raise api.ApiError(
                status=int(thing.get("code", 500)),
                reason=str(thing.get("reason", "Unknown")),
                message=str(thing.get("message", "")),
                path=self.resource.path(namespace=self._scope.namespace),
            )
        self._version = api.resource_version(thing)
        if event["type"] == "DELETED":
            self._set(key_of(thing), None)
        elif event["type"] != "BOOKMARK":
            self._set(key_of(thing), self._trimmed(thing))
        self._pause = FIRST_PAUSE
        self._heard_metric.set(self._clock())

    def _trimmed(self, thing: api.Json) -> api.Json:
        # A third of a small object, and of no use to a reader.
        api.metadata(thing).pop("managedFields", None)
        return self._transform(thing) if self._transform else thing

    def _set(self, key: Key, new: api.Json | None) -> None:
        old = self._objects.get(key)
        if old == new:
            return
        if new is None:
            del self._objects[key]
        else:
            self._objects[key] = new
        if self._on_change is None:
            return
        try:
            self._on_change(key, old, new)
        except Exception:  # the outermost boundary: one bad object must not end all later news
            log.exception("%s %s: the change could not be taken over", self.resource.plural, key)

    def _opened(self) -> None:
        self._open = True
        self._pause = min(self._pause, REOPEN_PAUSE)
        if self.problem is not None:
            self.problem = None
            log.info("%s: watching again, %d known", self.resource.plural, len(self._objects))

    def _note(self, error: api.KubeError) -> None:
        """Decide whether to list again, and say what is wrong once, not at every attempt."""
        if isinstance(error, api.ApiError | api.SilentError):
            self._version = None
        expired = isinstance(error, api.ApiError) and error.status == api.GONE
        if expired or (self._open and isinstance(error, api.UnreachableError)):
            # Ordinary: whether something is wrong, the next attempt tells.
            log.debug("%s: beginning again: %s", self.resource.plural, error)
            return
        problem = describe(error, self.resource)
        if problem != self.problem:
            self.problem = problem
            log.warning("%s: %s", self.resource.plural, problem)


def key_of(thing: api.Json) -> Key:
    """The key under which a cache has this object."""
    metadata = api.metadata(thing)
    return (metadata.get("namespace", ""), metadata["name"])


def describe(error: api.KubeError, resource: api.Resource) -> str:
    """What is wrong and what would help, in one sentence that stays the same while it lasts."""
    if not isinstance(error, api.ApiError):
        return str(error)
    name = f"{resource.plural}.{resource.group}" if resource.group else resource.plural
    remedies = {
        api.UNAUTHORIZED: "the API server does not accept our token; it is read again each time",
        api.FORBIDDEN: f"RBAC does not let us list and watch {name}: {error.message}",
        api.NOT_FOUND: f"the API server has no {name}: is its CRD installed?",
    }
    return remedies.get(error.status, f"{error.status} {error.reason}: {error.message}")
