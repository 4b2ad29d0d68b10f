"""Events: what people see under `kubectl describe`.

They are posted as events.k8s.io/v1, not core/v1. Its repeated Events are one object with a series,
it has the controller and the replica in separate fields, and both APIs show it.
https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/event-v1/
"""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import hashlib
import json
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Final, NoReturn

from sidecar_injector import names
from sidecar_injector.kube import api
from sidecar_injector.observability import logs
from sidecar_injector.observability.metrics import Metrics

log = logging.getLogger(__name__)

QUEUE_LIMIT: Final = 1000
"""Different Events that wait to be posted; further ones are dropped, to limit memory."""
BURST: Final = 50
PER_SECOND: Final = 1.0
"""Ten thousand pods that cannot be injected must not cause ten thousand calls: after a burst one
Event a second, the oldest first. Equal Events that wait are posted by one call. Another call may
look for the owner of its object."""
WINDOW: Final = datetime.timedelta(minutes=10)
"""An Event that repeats within this time is counted in its series, not posted again."""
NOTE_LIMIT: Final = 1024
FIELD_LIMIT: Final = 128
"""Bytes of the note, and of reason, action and instance; the API server refuses longer ones.
https://github.com/kubernetes/kubernetes/blob/master/pkg/apis/core/validation/events.go
"""
NAME_LIMIT: Final = 200
"""Of the object's name, in the name of its Event."""
NORMAL, WARNING = "Normal", "Warning"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ObjectRef:
    """The object that an Event is about; namespace and uid are empty if it has none."""

    api_version: str
    kind: str
    name: str
    namespace: str = ""
    uid: str = ""

    @classmethod
    def of(cls, item: api.Json, resource: api.Resource) -> ObjectRef:
        """The reference to an object of a list, where items have neither kind nor version."""
        metadata = api.metadata(item)
        return cls(
            api_version=resource.api_version,
            kind=resource.kind,
            name=metadata["name"],
            namespace=metadata.get("namespace", ""),
            uid=metadata.get("uid", ""),
        )

    @property
    def event_namespace(self) -> str:
        """The namespace of its Events: `default` for cluster-scoped objects."""
        return self.namespace or "default"

    def as_json(self) -> api.Json:
        """The object reference of the API."""
        fields = {
            "apiVersion": self.api_version,
            "kind": self.kind,
            "name": self.name,
            "namespace": self.namespace,
            "uid": self.uid,
        }
        return {key: value for key, value in fields.items() if value}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A report to people. `reason` is a CamelCase word, `action` is what was attempted."""

    regarding: ObjectRef
    reason: str
    message: str
    action: str
    kind: str = WARNING

    @property
    def name(self) -> str:
        """The name of its object: equal Events have the same name in every replica."""
        parts = [self.regarding.as_json(), self.reason, self.message, self.action, self.kind]
        digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
        # A part of a DNS name ends neither with a dot nor with a hyphen.
        return f"{self.regarding.name[:NAME_LIMIT].rstrip('.-')}.{digest}"


@dataclasses.dataclass(frozen=True, slots=True)
class _Series:
    """How often an Event was recorded, and when the last time."""

    count: int
    last: datetime.datetime

    def as_json(self) -> api.Json:
        return {"count": self.count, "lastObservedTime": _micro_time(self.last)}


class Budget:
    """A token bucket: `BURST` calls at once, and `PER_SECOND` in the long run."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._left, self._updated_at = float(BURST), monotonic()

    def spend(self) -> float:
        """Pay for one call; returns the seconds to wait before it."""
        now = self._monotonic()
        self._left = min(self._left + (now - self._updated_at) * PER_SECOND, BURST) - 1
        self._updated_at = now
        return max(-self._left / PER_SECOND, 0.0)


class Recorder:
    """Records Events at any rate without waiting, and posts them from `run`.

    An Event that cannot be posted is dropped. The log says so once, until all have been posted.
    """

    def __init__(
        self,
        api_client: api.Api,
        *,
        instance: str,
        now: Callable[[], datetime.datetime],
        metrics: Metrics | None = None,
        find_owner: Callable[[ObjectRef], Awaitable[ObjectRef]] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._api, self._now = api_client, now
        self._instance = api.cut(instance, FIELD_LIMIT)
        self._results = (metrics or Metrics()).events
        self._find_owner = find_owner
        self._budget, self._sleep = Budget(monotonic), sleep
        self._about_pods: dict[Event, int] = {}
        """How often each Event was recorded since it was last posted."""
        self._about_others: dict[Event, int] = {}
        """These are posted first: any number of pods must not hide what we say of ourselves."""
        self._wake = asyncio.Event()
        self._series: dict[Event, _Series] = {}
        self._is_dropping = False

    def record(self, event: Event) -> None:
        """Queue an Event; drop it if the queue is full, or if no object can have that name."""
        regarding = event.regarding
        if not (api.is_name(regarding.name) and api.is_name(regarding.event_namespace)):
            self._drop("dropped", f"{api.cut(regarding.name, 100)!a} is not the name of an object")
            return
        is_about_pod = regarding.kind == api.PODS.kind
        waiting = self._about_pods if is_about_pod else self._about_others
        if event not in waiting and len(waiting) >= QUEUE_LIMIT:
            self._drop("dropped", f"{QUEUE_LIMIT} wait to be posted")
            return
        waiting[event] = waiting.get(event, 0) + 1
        self._wake.set()

    async def run(self) -> NoReturn:
        """Post what is queued, within the budget, until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._about_others or self._about_pods:
                await self._sleep(self._budget.spend())
                await self._post_oldest(self._about_others or self._about_pods)

    async def _post_oldest(self, waiting: dict[Event, int]) -> None:
        event = next(iter(waiting))
        times = waiting.pop(event)
        try:
            result = await self._post(event, times)
        except api.KubeError as error:
            self._drop("failed", str(error))
            if isinstance(error, api.ApiError):
                await self._sleep(error.retry_after)
            return
        except Exception as error:  # an outermost boundary: one Event must not end the others
            log.exception("an Event could not be posted", exc_info=logs.unquoted(error))
            self._drop("failed", type(error).__name__)
            return
        self._results.labels(result).inc()
        if not (self._about_others or self._about_pods):
            self._is_dropping = False

    async def _post(self, event: Event, times: int) -> str:
        """Create the Event, or count it if it exists; returns the result for the metric.

        It is posted about the owner of its object, which is looked up only now.
        """
        if self._find_owner:
            owner = await self._find_owner(event.regarding)
            event = dataclasses.replace(event, regarding=owner)
        now = self._now()
        self._series = {
            key: series for key, series in self._series.items() if now - series.last <= WINDOW
        }
        previous = self._series.pop(event, None)
        if previous is not None:
            try:
                return await self._count(event, _Series(previous.count + times, now))
            except api.ApiError as error:
                if error.status != api.NOT_FOUND:
                    raise
                # It was deleted meanwhile.
        try:
            return await self._create(event, _Series(times, now))
        except api.ApiError as error:
            if error.status != api.CONFLICT:
                raise
            # Another replica has posted it, or this one before a restart. Its count is not known.
            return await self._count(event, _Series(times + 1, now))

    async def _create(self, event: Event, series: _Series) -> str:
        namespace = event.regarding.event_namespace
        body: api.Json = {
            "apiVersion": api.EVENTS.api_version,
            "kind": api.EVENTS.kind,
            "metadata": {"name": event.name, "namespace": namespace},
            "eventTime": _micro_time(series.last),
            "reportingController": names.PRODUCT,
            "reportingInstance": self._instance,
            "regarding": event.regarding.as_json(),
            "reason": api.cut(event.reason, FIELD_LIMIT),
            "action": api.cut(event.action, FIELD_LIMIT),
            "note": api.cut(event.message, NOTE_LIMIT),
            "type": event.kind,
        }
        if series.count > 1:
            body["series"] = series.as_json()
        await self._api.create(api.EVENTS, body, namespace=namespace)
        self._series[event] = series
        return "posted"

    async def _count(self, event: Event, series: _Series) -> str:
        body = {"series": series.as_json()}
        namespace = event.regarding.event_namespace
        await self._api.patch(api.EVENTS, body, name=event.name, namespace=namespace)
        self._series[event] = series
        return "counted"

    def _drop(self, result: str, why: str) -> None:
        self._results.labels(result).inc()
        if not self._is_dropping:
            self._is_dropping = True
            log.warning("Events are being dropped: %s", why)


def _micro_time(moment: datetime.datetime) -> str:
    return moment.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
