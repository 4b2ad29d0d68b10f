"""Keeps `status` of both kinds correct: whether an injection is accepted, and whether active."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import logging
from collections.abc import Callable, Mapping

from sidecar_injector import crds
from sidecar_injector.core import status
from sidecar_injector.core.injections import model
from sidecar_injector.kube import api, backoff, informer, yielding
from sidecar_injector.observability.metrics import Metrics
from sidecar_injector.webhook import cluster_state

SERVING_SECONDS = 1.0
"""How often to check whether this replica has become ready."""
FIRST_PAUSE, LONGEST_PAUSE = 2.0, 30.0
"""Seconds between attempts at writes that the API refuses."""

_log = logging.getLogger(__name__)


class StatusWriter:
    """Compares the status of an injection with the wanted one, and writes the difference.

    Any number of replicas may run it: all compute the same status, and the later ones have nothing
    to write. Informers report the changes, not Kopf's event handlers, which receive nothing more
    after a CRD was deleted and recreated.
    """

    def __init__(
        self,
        client: api.Api,
        *,
        state: cluster_state.ClusterState,
        serving: Callable[[], bool],
        metrics: Metrics,
        clock: Callable[[], datetime.datetime],
    ) -> None:
        self._client, self._state, self._serving = client, state, serving
        self._writes, self._clock = metrics.writes, clock
        self._resources: Mapping[str, Mapping[informer.Key, api.Json]] = {}
        self._changed: dict[tuple[str, informer.Key], None] = {}
        self._changed_namespaces: set[str] = set()
        self._wake = asyncio.Event()
        self._was_serving = False
        self._problem = ""

    def follow(self, resources: Mapping[str, Mapping[informer.Key, api.Json]]) -> None:
        """Set where the injections of each kind are."""
        self._resources = resources

    def namespace_changed(self, name: str) -> None:
        """Check the injections of a namespace: they may have become active or inactive."""
        self._changed_namespaces.add(name)
        self._wake.set()

    def changed(self, kind: str, key: informer.Key) -> None:
        """Check an injection that was added or changed."""
        self._changed[kind, key] = None
        self._wake.set()

    async def run(self) -> None:
        """Check what has changed, and everything once this replica serves."""
        pauses = backoff.Backoff(first=FIRST_PAUSE, longest=LONGEST_PAUSE)
        while True:
            if self._serving() and not self._was_serving:
                self._was_serving = True
                self._mark(lambda _: True)
            self._wake.clear()
            if await self._reconcile_changed():
                pauses.reset()
                pause = SERVING_SECONDS
            else:
                pause = pauses.next()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._wake.wait()

    async def _reconcile_changed(self) -> bool:
        """Whether every changed injection is correct now; the others are checked again."""
        if namespaces := self._changed_namespaces:
            # Once for all of them: after the first list these are all namespaces.
            self._changed_namespaces = set()
            self._mark(lambda key: key[0] in namespaces)
        changed, self._changed = self._changed, {}
        failed: dict[tuple[str, informer.Key], None] = {}
        slices = yielding.Slices()
        for kind, key in changed:
            resource = self._resources[kind].get(key)
            if resource and not await self.reconcile(resource, kind=kind):
                failed[kind, key] = None
            # A status that is correct needs no call, so nothing else waits here.
            await slices.yield_if_due()
        self._changed.update(failed)
        return not failed

    def _mark(self, wanted: Callable[[informer.Key], bool]) -> None:
        for kind, resources in self._resources.items():
            self._changed.update({(kind, key): None for key in resources if wanted(key)})
        self._wake.set()

    async def reconcile(self, resource: api.Json, *, kind: str) -> bool:
        """Correct the status of an injection; False if that fails."""
        # The cluster state receives a change before this writer, and has compiled it.
        injection = self._state.injection(kind, informer.key_of(resource)) or model.read(
            {**resource, "kind": kind}, spec_schema=crds.spec_schema(kind)
        )
        change = status.wanted(
            injection,
            namespace=self._state.namespace(injection.namespace or ""),
            serving=self._serving(),
            current=resource.get("status") or {},
            now=self._clock().strftime("%Y-%m-%dT%H:%M:%SZ"),
        )
        if change is None:
            return True
        try:
            await self._client.patch(
                api.OWN_KINDS[kind],
                {"status": change},
                name=injection.name,
                namespace=injection.namespace,
                subresource="status",
            )
        except api.KubeError as error:
            self._writes.labels("status", "failed").inc()
            return self._is_deleted(error)
        self._writes.labels("status", "written").inc()
        self._problem = ""
        ready = change["conditions"][-1]
        _log.info("%s %s: Ready is %s (%s)", kind, injection.name, ready["status"], ready["reason"])
        return True

    def _is_deleted(self, error: api.KubeError) -> bool:
        """Whether the injection does not exist any more; other errors are logged once."""
        if isinstance(error, api.ApiError) and error.status == api.NOT_FOUND:
            return True
        if str(error) != self._problem:
            self._problem = str(error)
            _log.warning("cannot write the status of an injection: %s", error)
        return False
