"""Counts running pods from their metadata, in small pieces.

Metadata does not say whether a pod is on the host network, so there are two lists: of pods that
are, and of pods that are not. A page is dropped when its pods are counted, so memory does not grow.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any, Final

import orjson

from sidecar_injector.controllers.audit import schedule
from sidecar_injector.core import audit
from sidecar_injector.core.injections import namespace_view
from sidecar_injector.kube import api

PAGE: Final = 50
"""Pods in a page: no pod is answered while its JSON is parsed, which takes 0.5 ms."""
MOST_SINGLE_LISTS: Final = 50
"""More namespaces than these are not listed one by one: all pods of the cluster are listed."""
RELEVANT_METADATA: Final = ("labels", "annotations", "deletionTimestamp")
"""Pods in which these are equal have the same states."""
ALIVE: Final = "status.phase!=Succeeded,status.phase!=Failed"
NETWORKS: Final = {False: "spec.hostNetwork=false", True: "spec.hostNetwork=true"}

MOST_REMEMBERED: Final = 500
"""States of different pods that are kept: the pods of a template are equal."""

States = list[tuple[audit.Identity, str]]
Tallies = dict[str, audit.Tally]
"""By namespace."""


async def count(
    client: api.Api, views: Mapping[str, namespace_view.NamespaceView], *, pace: schedule.Pace
) -> Tallies:
    """Count all pods of these namespaces; raises KubeError rather than count only some."""
    tallies: Tallies = {name: audit.Tally() for name in views}
    if not views:
        return tallies
    namespaces: list[str | None] = [*views] if len(views) <= MOST_SINGLE_LISTS else [None]
    for namespace in namespaces:
        for host_network in NETWORKS:
            await _list(client, namespace, views, tallies, host_network=host_network, pace=pace)
    return tallies


async def _list(
    client: api.Api,
    namespace: str | None,
    views: Mapping[str, namespace_view.NamespaceView],
    tallies: Tallies,
    *,
    host_network: bool,
    pace: schedule.Pace,
) -> None:
    scope = api.Scope(
        namespace=namespace,
        field_selector=f"{ALIVE},{NETWORKS[host_network]}",
        metadata_only=True,
    )
    classifier = _Classifier(host_network=host_network)
    pages = client.pages(api.PODS, scope=scope, limit=PAGE)
    pace.restart()
    async with contextlib.aclosing(pages):
        async for page in pages:
            response_seconds = pace.restart()
            for pod in page.items:
                name = api.metadata(pod)["namespace"]
                if view := views.get(name):
                    tallies[name].update(classifier.states(pod, view))
                await pace.yield_if_due()
            await pace.throttle(response_seconds=response_seconds)


def compact_json(value: Any) -> bytes:
    """JSON that takes no more memory than its bytes.

    orjson's result keeps the buffer in which it grew: 4 KB for two braces, else up to six times
    as much as the JSON. https://github.com/ijl/orjson/tree/master/src/serialize/writer
    """
    return memoryview(orjson.dumps(value)).tobytes()


class _Classifier:
    """Finds the states of pods, only once for pods that are equal."""

    def __init__(self, *, host_network: bool) -> None:
        self._host_network = host_network
        self._remembered: dict[tuple[str, bytes], States] = {}

    def states(self, pod: api.Json, view: namespace_view.NamespaceView) -> States:
        """The injections that apply to this pod, each with its state."""
        relevant = [api.metadata(pod).get(field) for field in RELEVANT_METADATA]
        key = view.namespace.name, compact_json(relevant)
        states = self._remembered.get(key)
        if states is None:
            whole = {**pod, "spec": {"hostNetwork": self._host_network}}
            states = [
                (audit.identity(injection), state) for injection, state in audit.states(whole, view)
            ]
            if len(self._remembered) >= MOST_REMEMBERED:
                self._remembered.clear()
            self._remembered[key] = states
        return states
