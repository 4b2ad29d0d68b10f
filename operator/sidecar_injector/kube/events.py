"""Events: what people see under `kubectl describe`.

Posted as events.k8s.io/v1, not core/v1: it is where repeated Events are one object with a series,
it names the controller and the replica apart, and it shows up under both APIs all the same.
https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/event-v1/
"""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import hashlib
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Final, NoReturn

from sidecar_injector import names
from sidecar_injector.kube import api
from sidecar_injector.observability.metrics import Metrics

log = logging.getLogger(__name__)

QUEUE_LIMIT: Final = 1000
"""Events that wait to be posted; further ones are dropped, an Event is never worth memory."""
BURST: Final = 50
PER_SECOND: Final = 1.0
"""Ten thousand pods that cannot be injected must not become ten thousand calls: after a burst one
Event a second, the oldest first. Meanwhile equal ones are counted together."""
WINDOW: Final = datetime.timedelta(minutes=10)
"""For so long after it was last heard the same Event is counted rather than posted anew."""
NOTE_LIMIT: Final = 1024
"""The API server refuses a longer note."""
NORMAL, WARNING = "Normal", "Warning"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """The object that an Event is about; namespace and uid are empty where it has none."""

    api_version: str
    kind: str
    name: str
    namespace: str = ""
    uid: str = ""

    @classmethod
    def of(cls, thing: api.Json, *, resource_kind: str, api_version: str) -> About:
        """From an object of a list, whose items carry neither kind nor version."""
        metadata = api.metadata(thing)
        return cls(
            api_version=api_version,
            kind=resource_kind,
            name=metadata["name"],
            namespace=metadata.get("namespace", ""),
            uid=metadata.get("uid", ""),
        )

    @property
    def home(self) -> str:
        """Where its Events live: those of cluster-scoped objects are in `default`."""
        return self.namespace or "default"

    def reference(self) -> api.Json:
        """The object reference as the API has it."""
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
    """One thing to tell. `reason` is a CamelCase word, `action` what was being attempted."""

    about: About
    reason: str
    message: str
    action: str
    kind: str = WARNING


@dataclasses.dataclass(slots=True)
class _Series:
    name: str
    last: datetime.datetime
    count: int


class Budget:
    """How many calls may be made: `BURST` at once, and over long times `PER_SECOND`."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._left, self._at = float(BURST), monotonic()

    def spend(self) -> float:
        """For one call; returns the seconds to wait before it."""
        now = self._monotonic()
        self._left = min(self._left + (now - self._at) * PER_SECOND, BURST) - 1
        self._at = now
        return max(-self._left / PER_SECOND, 0.0)


class Recorder:
    """Takes Events at any rate without waiting and posts them from `run`, each series as one.

    An Event that cannot be posted is dropped; the log says so once until one succeeds again.
    """

    def __init__(
        self,
        api_client: api.Api,
        *,
        instance: str,
        now: Callable[[], datetime.datetime],
        metrics: Metrics | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._api, self._instance, self._now = api_client, instance, now
        self._told = (metrics or Metrics()).events
        self._budget, self._sleep = Budget(monotonic), sleep
        self._pending: dict[Event, int] = {}
        self._wake = asyncio.Event()
        self._series: dict[Event, _Series] = {}
        self._failing = self._overflowing = False

    def record(self, event: Event) -> None:
        """Queue it; one that is waiting already is counted, one too many is dropped."""
        if event not in self._pending and len(self._pending) >= QUEUE_LIMIT:
            self._told.labels("dropped").inc()
            if not self._overflowing:
                self._overflowing = True
                log.warning("Events are being dropped: %d wait to be posted", QUEUE_LIMIT)
            return
        self._pending[event] = self._pending.get(event, 0) + 1
        self._wake.set()

    async def run(self) -> NoReturn:
        """Post what is queued, within the budget, until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._pending:
                await self._sleep(self._budget.spend())
                await self._post_oldest()
            self._overflowing = False

    async def post(self) -> None:
        """Post all that is queued now, whatever the budget says."""
        self._wake.clear()
        while self._pending:
            await self._post_oldest()

    async def _post_oldest(self) -> None:
        event = next(iter(self._pending))
        try:
            await self._post(event, self._pending.pop(event))
            self._failing = False
        except api.KubeError as error:
            self._series.pop(event, None)
            self._told.labels("failed").inc()
            if not self._failing:
                self._failing = True
                log.warning("Events are being dropped: %s", error)

    async def _post(self, event: Event, times: int) -> None:
        now = self._now()
        self._forget(now)
        known = self._series.get(event)
        if known is None:
            series = self._series[event] = _Series(_name(event), now, times)
            body = self._body(event, series)
            try:
                await self._api.create(api.EVENTS, body, namespace=event.about.home)
            except api.ApiError as error:
                if error.status != api.CONFLICT:
                    raise
                # Another replica, or we before a restart; what it counted cannot be added up.
                series.count += 1
                await self._count(event, series)
            else:
                self._told.labels("posted").inc()
        else:
            known.count, known.last = known.count + times, now
            await self._count(event, known)

    async def _count(self, event: Event, series: _Series) -> None:
        body = {"series": _repeated(series)}
        await self._api.patch(api.EVENTS, body, name=series.name, namespace=event.about.home)
        self._told.labels("counted").inc()

    def _body(self, event: Event, series: _Series) -> api.Json:
        body: api.Json = {
            "apiVersion": api.EVENTS.api_version,
            "kind": "Event",
            "metadata": {"name": series.name, "namespace": event.about.home},
            "eventTime": _micro_time(series.last),
            "reportingController": names.PRODUCT,
            "reportingInstance": self._instance,
            "regarding": event.about.reference(),
            "reason": event.reason,
            "action": event.action,
            "note": event.message[:NOTE_LIMIT],
            "type": event.kind,
        }
        if series.count > 1:
            body["series"] = _repeated(series)
        return body

    def _forget(self, now: datetime.datetime) -> None:
        old = [event for event, series in self._series.items() if now - series.last > WINDOW]
        for event in old:
            del self._series[event]


def _name(event: Event) -> str:
    """The same on every replica: one thing to tell is one object, whoever is first."""
    unique = hashlib.sha256(repr(event).encode()).hexdigest()[:16]
    return f"{event.about.name[:200]}.{unique}"


def _repeated(series: _Series) -> api.Json:
    return {"count": series.count, "lastObservedTime": _micro_time(series.last)}


def _micro_time(moment: datetime.datetime) -> str:
    return moment.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
