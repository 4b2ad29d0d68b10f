"""Keeps `status` of both kinds correct: whether an injection is accepted, and whether active."""

from __future__ import annotations

import datetime
import logging
import time
from collections.abc import Callable, Mapping

from sidecar_injector.controllers import agreement, loop, rate_limit
from sidecar_injector.core import status
from sidecar_injector.core.injections import model
from sidecar_injector.kube import api, informer, yielding
from sidecar_injector.observability.metrics import Metrics
from sidecar_injector.webhook import cluster_state, judge

SERVING_SECONDS = 1.0
"""How often to check whether this replica has become ready."""
REFUSED_SECONDS = 60.0
"""Between attempts at a status that the API server refuses for this object alone."""
OF_THIS_OBJECT = frozenset({api.CONFLICT, api.INVALID})
"""After these the other objects can be written; after every other error nothing can, for now."""

EVERYWHERE = ""
"""The namespace in the key of a ClusterSidecarInjection."""

Key = tuple[str, informer.Key]
"""Kind and key of an injection."""

_log = logging.getLogger(__name__)


class StatusWriter:
    """Compares the status of an injection with the wanted one, and writes the difference.

    Any number of replicas may run it: all compute the same status, and the later ones have nothing
    to write. Replicas of two versions agree on one (`agreement`), and no status is written again
    and again (`rate_limit`). An injection stays marked until its status is known to be correct.
    Informers report the changes, not Kopf's event handlers, which receive nothing more after a CRD
    was deleted and recreated.
    """

    def __init__(
        self,
        client: api.Api,
        *,
        state: cluster_state.ClusterState,
        injection_judge: judge.Judge,
        serving: Callable[[], bool],
        metrics: Metrics,
        clock: Callable[[], datetime.datetime],
        monotonic: Callable[[], float] = time.monotonic,
        compiled: Callable[[model.Injection], status.Fields | None] = lambda injection: None,
    ) -> None:
        """`compiled` returns the condition `Compiled`, if this replica knows it."""
        self._client, self._state, self._serving = client, state, serving
        self._judge, self._compiled = injection_judge, compiled
        self._writes, self._clock, self._monotonic = metrics.writes, clock, monotonic
        self._resources: Mapping[str, Mapping[informer.Key, api.Json]] = {}
        self._changed: dict[Key, None] = {}
        self._later: dict[Key, float] = {}
        """When to check again what may not be written now."""
        self._changed_namespaces: set[str] = set()
        """By name; `EVERYWHERE` for a namespace in which those of the cluster may apply."""
        self._was_serving = False
        self._problem = ""
        self._limiter = rate_limit.WriteLimiter(monotonic)
        self._agreement = agreement.Agreement(monotonic)
        self._loop = loop.Loop(self.step, what="the status of injections")

    def follow(self, resources: Mapping[str, Mapping[informer.Key, api.Json]]) -> None:
        """Set where the injections of each kind are."""
        self._resources = resources

    def namespace_changed(self, name: str, *, is_labelled: bool) -> None:
        """Check the injections that apply in a namespace: they may have become active or inactive.

        `is_labelled` is whether the namespace has or had our label.
        """
        self._changed_namespaces |= {name, EVERYWHERE} if is_labelled else {name}
        self._loop.wake()

    def changed(self, kind: str, key: informer.Key) -> None:
        """Check an injection that was added or changed."""
        self._changed[kind, key] = None
        self._loop.wake()

    def everything_changed(self) -> None:
        """Check all injections."""
        self._mark(lambda _: True)

    async def run(self) -> None:
        """Check what has changed, and everything once this replica serves."""
        await self._loop.run()

    async def step(self) -> float:
        """Check what is marked; returns the seconds until the next turn."""
        if self._serving() and not self._was_serving:
            self._was_serving = True
            self.everything_changed()
        if namespaces := self._changed_namespaces:
            # Once for all of them: after the first list these are all namespaces.
            self._changed_namespaces = set()
            self._mark(lambda key: key[0] in namespaces)
        now = self._monotonic()
        for due in [key for key, moment in self._later.items() if moment <= now]:
            del self._later[due]
            self._changed[due] = None
        slices = yielding.Slices()
        for kind, key in list(self._changed):
            await self._check(kind, key)
            # A status that is correct needs no call, so nothing else waits here.
            await slices.yield_if_due()
        return SERVING_SECONDS

    async def _check(self, kind: str, key: informer.Key) -> None:
        """Correct one status. Whatever is raised, the injection stays marked."""
        # Before the check: a change in the meantime marks it again.
        del self._changed[kind, key]
        self._later.pop((kind, key), None)
        try:
            resource = self._resources[kind].get(key)
            delay = await self.reconcile(resource, kind=kind) if resource else 0.0
        except BaseException:
            # At the end, so that the others come first next time.
            self._changed[kind, key] = None
            raise
        if not resource:
            self._agreement.forget((kind, key))
        elif delay:
            self._later[kind, key] = self._monotonic() + delay

    def _mark(self, wanted: Callable[[informer.Key], bool]) -> None:
        for kind, resources in self._resources.items():
            self._changed.update({(kind, key): None for key in resources if wanted(key)})
        self._loop.wake()

    async def reconcile(self, resource: api.Json, *, kind: str) -> float:
        """Correct the status of an injection; returns the seconds until it must be checked again.

        0 if the status is correct now, or the injection does not exist any more.
        """
        key = kind, informer.key_of(resource)
        # The cluster state receives a change before this writer, and has compiled it.
        injection = self._state.injection(*key)
        if injection is None:
            return 0  # It is deleted by now.
        errors = await self._judge.errors(injection)
        namespace = self._state.namespace(injection.namespace or "")
        reach = status.Reach(
            has_namespace=not injection.is_cluster or self._state.has_namespace(injection),
            forbidden=await self._judge.forbidden(injection, namespace),
        )
        current = resource.get("status") or {}
        change = status.wanted(
            injection,
            errors=errors,
            namespace=namespace,
            reach=reach,
            serving=self._serving(),
            current=current,
            now=self._clock().strftime("%Y-%m-%dT%H:%M:%SZ"),
            compiled=self._compiled(injection),
        )
        if change is None:
            self._limiter.observe_correct(key)
            self._agreement.settle(key, status.content(current))
            return 0.0
        wanted = status.content(change)
        if delay := self._delay(key, wanted=wanted, current=current, injection=injection):
            return delay
        self._agreement.write(key, wanted)
        if delay := await self._write(injection, change, kind=kind):
            return delay
        self._limiter.count(key, wanted)
        self._agreement.settle(key, wanted)
        return 0.0

    def _delay(
        self, key: Key, *, wanted: status.Content, current: api.Json, injection: model.Injection
    ) -> float:
        """The seconds for which the status that is there stays."""
        if status.is_complete(current, generation=injection.generation):
            present = status.content(current)
            if wanted != present and (
                delay := self._agreement.delay(key, wanted=wanted, present=present)
            ):
                return delay
        return self._limiter.delay(key, wanted)

    async def _write(self, injection: model.Injection, change: api.Json, *, kind: str) -> float:
        try:
            await self._client.patch(
                api.OWN_KINDS[kind],
                {"status": change},
                name=injection.name,
                namespace=injection.namespace,
                subresource="status",
            )
        except api.KubeError as error:
            status_code = error.status if isinstance(error, api.ApiError) else 0
            if status_code == api.NOT_FOUND:
                return 0.0
            self._writes.labels("status", "failed").inc()
            if status_code not in OF_THIS_OBJECT:
                raise
            if str(error) != self._problem:
                self._problem = str(error)
                _log.warning("cannot write the status of an injection: %s", error)
            return REFUSED_SECONDS
        self._writes.labels("status", "written").inc()
        self._problem = ""
        conditions = ", ".join(
            f"{condition['type']} is {condition['status']} ({condition['reason']})"
            for condition in change["conditions"]
        )
        name = "/".join(filter(None, (injection.namespace, injection.name)))
        _log.info("%s %s: %s", kind, name, conditions)
        return 0.0
