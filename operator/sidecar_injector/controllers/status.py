"""Keeps `status` of both kinds right: whether an injection is accepted, and whether at work."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import logging
from collections.abc import Callable, Mapping

from sidecar_injector import crds
from sidecar_injector.core import status
from sidecar_injector.core.injections import model
from sidecar_injector.kube import api, informer
from sidecar_injector.observability.metrics import Metrics
from sidecar_injector.webhook import cluster_state

SERVING_SECONDS = 1.0
"""How often to see whether this replica has become ready."""
LONGEST_PAUSE = 30.0
"""Between attempts at what the API does not let us write."""

_log = logging.getLogger(__name__)


class StatusWriter:
    """Compares the status of an injection with what it should be and writes the difference.

    Any number of replicas may do so at once: they come to the same status, and the one that is
    late finds nothing to do. The caches say what has changed rather than Kopf's event handlers,
    which hear nothing of a CRD that was made anew (see `validation.directly`).
    """

    def __init__(
        self,
        client: api.Api,
        *,
        known: cluster_state.ClusterState,
        serving: Callable[[], bool],
        metrics: Metrics,
        clock: Callable[[], datetime.datetime],
    ) -> None:
        self._client = client
        self._known = known
        self._serving = serving
        self._metrics = metrics
        self._clock = clock
        self._resources: Mapping[str, Mapping[informer.Key, api.Json]] = {}
        self._touched: dict[tuple[str, informer.Key], None] = {}
        self._moved: set[str] = set()
        """Namespaces that have changed."""
        self._wake = asyncio.Event()
        self._was_serving = False
        self._complaint = ""

    def follow(self, resources: Mapping[str, Mapping[informer.Key, api.Json]]) -> None:
        """Where to find the injections of each kind when something else than themselves changes."""
        self._resources = resources

    def namespace_changed(self, name: str) -> None:
        """The injections of a namespace may have become active, or the contrary."""
        self._moved.add(name)
        self._wake.set()

    def changed(self, kind: str, key: informer.Key) -> None:
        """An injection was added or changed."""
        self._touched[kind, key] = None
        self._wake.set()

    async def run(self) -> None:
        """Look again at what was touched, and at everything once this replica serves."""
        pause = SERVING_SECONDS
        while True:
            if self._serving() and not self._was_serving:
                self._was_serving = True
                self._touch(lambda _: True)
            self._wake.clear()
            well = await self._catch_up()
            pause = SERVING_SECONDS if well else min(2 * pause, LONGEST_PAUSE)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._wake.wait()

    async def _catch_up(self) -> bool:
        """Whether all that was touched is right now; what is not will be looked at again."""
        if moved := self._moved:
            # Once for all of them: in the beginning they are all that there are.
            self._moved = set()
            self._touch(lambda key: key[0] in moved)
        touched, self._touched = self._touched, {}
        failed: dict[tuple[str, informer.Key], None] = {}
        for kind, key in touched:
            resource = self._resources[kind].get(key)
            if resource and not await self.reconcile(resource, kind=kind):
                failed[kind, key] = None
            # Where nothing is to be written nothing is awaited: a pod's turn comes here.
            await asyncio.sleep(0)
        self._touched.update(failed)
        return not failed

    def _touch(self, wanted: Callable[[informer.Key], bool]) -> None:
        for kind, resources in self._resources.items():
            self._touched.update({(kind, key): None for key in resources if wanted(key)})
        self._wake.set()

    async def reconcile(self, resource: api.Json, *, kind: str) -> bool:
        """Make the status of this resource right; False, and said once, if that fails."""
        # The registry has heard of the change before us and has compiled it.
        injection = self._known.injection(kind, informer.key_of(resource)) or model.read(
            {**resource, "kind": kind}, spec_schema=crds.spec_schema(kind)
        )
        change = status.wanted(
            injection,
            namespace=self._known.namespace(injection.namespace or ""),
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
            self._count("failed")
            return self._is_gone(error)
        self._count("written")
        self._complaint = ""
        ready = change["conditions"][-1]
        _log.info("%s %s: Ready is %s (%s)", kind, injection.name, ready["status"], ready["reason"])
        return True

    def _is_gone(self, error: api.KubeError) -> bool:
        """Whether there is nothing left to write to; anything else is said once."""
        if isinstance(error, api.ApiError) and error.status == api.NOT_FOUND:
            return True
        if str(error) != self._complaint:
            self._complaint = str(error)
            _log.warning("cannot write the status of an injection: %s", error)
        return False

    def _count(self, result: str) -> None:
        self._metrics.writes.labels(object="status", result=result).inc()
