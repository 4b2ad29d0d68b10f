"""An informer: lists and watches one kind of object, and keeps what is needed of all of them.

We do not use Kopf's indices: they keep objects that were deleted while a watch was broken, because
the list that follows `410 Gone` contains no DELETED events.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Final, NoReturn

from sidecar_injector.kube import api, backoff, yielding
from sidecar_injector.observability import logs
from sidecar_injector.observability.metrics import Metrics

log = logging.getLogger(__name__)

Key = tuple[str, str]
"""Namespace (empty for cluster-scoped objects) and name."""
Change = Callable[[Key, api.Json | None, api.Json | None], None]
"""Called with the old and the new object, which differ; None if there is none."""
Prepare = Callable[[api.Json], Awaitable[None]]
Keep = Callable[[api.Json], api.Json]
"""From an object to what is kept of it. A change of anything else is no change."""

WATCH_SECONDS: Final = 300
"""The duration of one watch request, as in client-go's reflector."""
FIRST_PAUSE, REOPEN_PAUSE, LONGEST_PAUSE = 0.1, 0.5, 5.0
"""Seconds between attempts. They double, because the API server may be away for long. A watch that
was accepted and then ends shortens the pause to the second value, an event on it to the first."""


class Informer:
    """Keeps `objects` equal to the API server's objects until cancelled; it never gives up.

    What it does not `keep` of an object is in memory only as long as its page or its event.

    `on_change` is called synchronously, in the order of the API server's events. Before it,
    `prepare` is awaited with the new object. After a break that lost events they are called with
    the differences, deletions included, in no particular order.
    `synced` is set after the first complete list, and stays set.
    """

    def __init__(
        self,
        api_client: api.Api,
        resource: api.Resource,
        *,
        metrics: Metrics,
        scope: api.Scope = api.EVERYTHING,
        keep: Keep | None = None,
        on_change: Change | None = None,
        prepare: Prepare | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._api, self.resource, self._scope = api_client, resource, scope
        self._keep, self._prepare = keep or _trimmed, prepare
        self._on_change, self._sleep = on_change, sleep
        self._backoff = backoff.Backoff(first=FIRST_PAUSE, longest=LONGEST_PAUSE)
        self._is_open = False
        self._objects: dict[Key, api.Json] = {}
        self._version: str | None = None
        self._must_list = False
        self.objects: Mapping[Key, api.Json] = MappingProxyType(self._objects)
        self.synced = asyncio.Event()
        self.tried = asyncio.Event()
        """Set after the first complete list, or the first error before it."""
        self.followed = asyncio.Event()
        """Set once a watch has followed the first list. An error of the watch is enough, but not
        that the API server is not ready for it: that passes, and changes are missed meanwhile."""
        self.lists = 0
        """Lists so far, including the one whose changes are being reported. Each after the first
        means that events may have been missed."""
        self.problem: str | None = None
        """Why there is no watch at present, for people; None while there is one."""
        self._synced_metric = metrics.cache_synced.labels(resource=resource.plural)
        self._last_event_metric = metrics.cache_last_event.labels(resource=resource.plural)
        self._synced_metric.set(0)

    def replace(self, key: Key, item: api.Json | None) -> None:
        """Keep this of an object from now on, or nothing of it, until its next change or list."""
        if item is None:
            self._objects.pop(key, None)
        else:
            self._objects[key] = item

    def list_again(self) -> None:
        """List once more when the present watch ends, which is at most `WATCH_SECONDS` away."""
        self._must_list = True

    async def run(self) -> NoReturn:
        """List and watch; start again after every error."""
        while True:
            self._is_open = False
            try:
                if self._must_list:
                    # If this list fails, the next attempt must list, too.
                    self._version, self._must_list = None, False
                if self._version is None:
                    self._version = await self._list()
                await self._watch(self._version)
            except api.KubeError as error:
                self._handle(error)
                self.tried.set()
                if self.synced.is_set() and not _is_not_ready(error):
                    self.followed.set()
                pause = self._backoff.next(error)
            except Exception as error:
                # An outermost boundary: an object that we cannot read must not end the informer.
                log.exception(
                    "%s: a list or watch could not be read",
                    self.resource.plural,
                    exc_info=logs.unquoted(error),
                )
                self.tried.set()
                self._version, pause = None, LONGEST_PAUSE
            else:
                self._backoff.reset(at_most=REOPEN_PAUSE)
                pause = self._backoff.next()
            await self._sleep(pause)

    async def _list(self) -> str:
        """Take over a complete list, page by page; returns the version to watch from.

        The request has no resourceVersion, so it reads the newest state. (`0` reads from a watch
        cache, which may be older than `objects`.)
        """
        deleted = set(self._objects)
        version = ""
        self.lists += 1
        slices = yielding.Slices()
        async with contextlib.aclosing(self._api.pages(self.resource, scope=self._scope)) as pages:
            async for page in pages:
                version = page.resource_version
                for item in page.items:
                    key, kept = key_of(item), self._keep(item)
                    deleted.discard(key)
                    await self._prepared(key, kept)
                    self._set(key, kept)
                    await slices.yield_if_due()
        for key in deleted:
            self._set(key, None)
            await slices.yield_if_due()

        self._last_event_metric.set(time.time())
        self._synced_metric.set(1)
        self.synced.set()
        self.tried.set()
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
        slices = yielding.Slices()
        async with contextlib.aclosing(stream) as events:
            # The loop alone does not wait between events that came in one network read.
            async for event in events:
                if event is api.OPENED:
                    self._watch_opened()
                else:
                    await self._apply(event)
                    await slices.yield_if_due()

    async def _prepared(self, key: Key, new: api.Json) -> None:
        """Let the receiver of a change do what takes long before it."""
        if self._prepare and new != self._objects.get(key):
            try:
                await self._prepare(new)
            except Exception:  # as in `_set`
                log.exception(
                    "%s %s: the change is taken over unprepared", self.resource.plural, key
                )

    async def _apply(self, event: api.Json) -> None:
        item: api.Json = event["object"]
        if event["type"] == "ERROR":
            raise api.error_of(item, path=self.resource.path(namespace=self._scope.namespace))
        self._version = api.resource_version(item)
        if event["type"] == "DELETED":
            self._set(key_of(item), None)
        elif event["type"] != "BOOKMARK":
            key, kept = key_of(item), self._keep(item)
            await self._prepared(key, kept)
            self._set(key, kept)
        self._backoff.reset()
        self._last_event_metric.set(time.time())

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
        except Exception as error:  # an outermost boundary: one bad object must not stop the others
            message = "%s %s: the change could not be taken over"
            log.exception(message, self.resource.plural, key, exc_info=logs.unquoted(error))

    def _watch_opened(self) -> None:
        self._is_open = True
        self.followed.set()
        if self.problem is not None:
            self.problem = None
            log.info("%s: watch started, %d objects", self.resource.plural, len(self._objects))

    def _handle(self, error: api.KubeError) -> None:
        """Decide whether to list again, and log a problem once, not at every attempt."""
        if api.needs_list(error):
            self._version = None
        expired = isinstance(error, api.ApiError) and error.status == api.GONE
        broken = self._is_open and isinstance(error, api.UnreachableError)
        if broken:
            self._backoff.reset(at_most=REOPEN_PAUSE)
        if expired or broken:
            # This is usual. The next attempt shows whether there is a problem.
            log.debug("%s: beginning again: %s", self.resource.plural, error)
            return
        problem = describe(error, self.resource)
        if problem != self.problem:
            self.problem = problem
            is_starting = _is_not_ready(error) and not self.followed.is_set()
            level = logging.INFO if is_starting else logging.WARNING
            log.log(level, "%s: %s", self.resource.plural, problem)


def _is_not_ready(error: api.KubeError) -> bool:
    """Whether it may be that the API server has just got the definition of this kind.

    A list reads from etcd then, but a watch is answered by 429 "storage is (re)initializing".
    https://github.com/kubernetes/kubernetes/blob/master/staging/src/k8s.io/apiserver/pkg/storage/cacher/cacher.go
    """
    return isinstance(error, api.ApiError) and error.status == api.TOO_MANY_REQUESTS


def key_of(item: api.Json) -> Key:
    """The key of this object in an informer."""
    metadata = api.metadata(item)
    # Thousands of objects have the same namespace.
    return (sys.intern(metadata.get("namespace", "")), metadata["name"])


def _trimmed(item: api.Json) -> api.Json:
    # They are a third of a small object, and nothing here reads them.
    api.metadata(item).pop("managedFields", None)
    return item


def describe(error: api.KubeError, resource: api.Resource) -> str:
    """The problem and its remedy in one sentence, the same for each attempt."""
    if not isinstance(error, api.ApiError):
        return str(error)
    name = f"{resource.plural}.{resource.group}" if resource.group else resource.plural
    remedies = {
        api.UNAUTHORIZED: "the API server does not accept our token; it is read again each time",
        api.FORBIDDEN: f"RBAC does not let us list and watch {name}: {error.message}",
        api.NOT_FOUND: f"the API server has no {name}: is its CRD installed?",
    }
    return remedies.get(error.status, f"{error.status} {error.reason}: {error.message}")
