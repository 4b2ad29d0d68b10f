"""Keeps `status` of both kinds right: whether an injection is accepted, and whether at work."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import logging
from collections.abc import Callable, Mapping
from typing import Any

import kopf

from sidecar_injector import crds, names, observe
from sidecar_injector.core import model, status
from sidecar_injector.kube import api, cache
from sidecar_injector.server import registry

RESOURCES = {names.KIND: api.INJECTIONS, names.CLUSTER_KIND: api.CLUSTER_INJECTIONS}
SERVING_SECONDS = 1.0
"""How often to see whether this replica has become ready."""

_log = logging.getLogger(__name__)


class StatusWriter:
    """Compares the status of an injection with what it should be and writes the difference.

    Any number of replicas may do so at once: they come to the same status, and the one that is
    late finds nothing to do.
    """

    def __init__(
        self,
        client: api.Api,
        *,
        known: registry.Registry,
        serving: Callable[[], bool],
        metrics: observe.Metrics,
        clock: Callable[[], datetime.datetime],
    ) -> None:
        self._client = client
        self._known = known
        self._serving = serving
        self._metrics = metrics
        self._clock = clock
        self._resources: Mapping[str, Mapping[cache.Key, api.Json]] = {}
        self._touched: dict[tuple[str, cache.Key], None] = {}
        self._wake = asyncio.Event()
        self._was_serving = False

    def follow(self, resources: Mapping[str, Mapping[cache.Key, api.Json]]) -> None:
        """Where to find the injections of each kind when something else than themselves changes."""
        self._resources = resources

    def namespace_changed(self, name: str) -> None:
        """The injections of a namespace may have become active, or the contrary."""
        self._touch(lambda key: key[0] == name)

    async def run(self) -> None:
        """Look again at what was touched, and at everything once this replica serves."""
        while True:
            if self._serving() and not self._was_serving:
                self._was_serving = True
                self._touch(lambda _: True)
            while self._touched:
                kind, key = next(iter(self._touched))
                del self._touched[kind, key]
                if resource := self._resources[kind].get(key):
                    await self.reconcile(resource, kind=kind)
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SERVING_SECONDS):
                    await self._wake.wait()

    def _touch(self, wanted: Callable[[cache.Key], bool]) -> None:
        for kind, resources in self._resources.items():
            self._touched.update({(kind, key): None for key in resources if wanted(key)})
        self._wake.set()

    async def reconcile(self, resource: Mapping[str, Any], *, kind: str) -> None:
        """Make the status of this resource right; a failure is logged and seen again later."""
        injection = model.read({**resource, "kind": kind}, spec_schema=crds.spec_schema(kind))
        change = status.wanted(
            injection,
            namespace=self._known.namespace(injection.namespace or ""),
            serving=self._serving(),
            current=resource.get("status") or {},
            now=self._clock().strftime("%Y-%m-%dT%H:%M:%SZ"),
        )
        if change is None:
            return
        try:
            await self._client.patch(
                RESOURCES[kind],
                {"status": change},
                name=injection.name,
                namespace=injection.namespace,
                subresource="status",
            )
        except api.KubeError as error:
            self._count("failed")
            if getattr(error, "status", None) != api.NOT_FOUND:
                _log.warning("cannot write the status of %s %s: %s", kind, injection.name, error)
            return
        self._count("written")
        ready = change["conditions"][-1]
        _log.info("%s %s: Ready is %s (%s)", kind, injection.name, ready["status"], ready["reason"])

    def _count(self, result: str) -> None:
        self._metrics.writes.labels(object="status", result=result).inc()


def register(handlers: kopf.OperatorRegistry, writer: StatusWriter) -> None:
    """Have Kopf call the writer for every change of an injection.

    `on.event` is the one kind of handler that stores nothing on the object: no annotation, no
    finalizer. https://docs.kopf.dev/en/stable/handlers/#event-watching-handlers
    """
    for kind, resource in RESOURCES.items():

        @kopf.on.event(
            names.GROUP, names.VERSION, resource.plural, id=f"status/{kind}", registry=handlers
        )
        async def changed(
            body: kopf.Body, event: kopf.RawEvent, *, kind: str = kind, **_: Any
        ) -> None:
            if event["type"] != "DELETED":
                await writer.reconcile(dict(body), kind=kind)
