"""Counts running pods from their metadata, in small pieces.

Metadata does not say whether a pod is on the host network, so there are two lists: of pods that
are, and of pods that are not. Nor does it say for which operating system a pod is, so some pods to
which an injection seems to be missing are read whole. A page is dropped when its pods are counted,
so memory does not grow with their number or size. What is kept has the names of injections and no
injection.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Mapping
from typing import Final

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

MOST_READ: Final = 100
"""Pods that are read whole in one count. The others that miss an injection are for its system, as
far as is known."""
MOST_REMEMBERED: Final = 10_000
"""States of different pods that are kept, and their pods: the pods of a template are equal."""
MOST_ENTRIES: Final = 200_000
"""Of the tallies of single namespaces: with 100 bytes each, 20 MB."""

States = tuple[tuple[audit.Identity, str], ...]


class Tallies:
    """The pods by injection and state: of all namespaces together, and of each.

    The second may not fit: it can have as many entries as there are injections times namespaces.
    Then only the first is kept, until the next count of everything.
    """

    def __init__(self) -> None:
        self.total = audit.Tally()
        self.has_namespaces = True
        """Whether the tally of a single namespace can be replaced."""
        self._by_namespace: dict[str, audit.Tally] = {}
        self._entries = 0

    def replace(self, namespace: str, tally: audit.Tally) -> None:
        """Put this tally of a namespace in the place of its last one."""
        former = self._by_namespace.pop(namespace, audit.Tally())
        self.total.subtract(former)
        self.total.update(tally)
        for key in former:
            if not self.total[key]:
                del self.total[key]
        if not self.has_namespaces:
            return
        self._entries += len(tally) - len(former)
        if tally:
            self._by_namespace[namespace] = tally
        if self._entries > MOST_ENTRIES:
            self.has_namespaces = False
            self._by_namespace = {}


async def count(
    client: api.Api, views: Mapping[str, namespace_view.NamespaceView], *, pace: schedule.Pace
) -> dict[str, audit.Tally]:
    """Count all pods of these namespaces; raises KubeError rather than count only some.

    A namespace without selected pods has no tally.
    """
    tallies: dict[str, audit.Tally] = {}
    specs = SpecReader(client, pace)
    namespaces: list[str | None] = [*views] if len(views) <= MOST_SINGLE_LISTS else [None]
    for namespace in namespaces if views else ():
        for host_network in NETWORKS:
            classifier = Classifier(specs, host_network=host_network)
            await _list(client, namespace, views, tallies, classifier=classifier, pace=pace)
    return tallies


async def _list(
    client: api.Api,
    namespace: str | None,
    views: Mapping[str, namespace_view.NamespaceView],
    tallies: dict[str, audit.Tally],
    *,
    classifier: Classifier,
    pace: schedule.Pace,
) -> None:
    scope = api.Scope(
        namespace=namespace,
        field_selector=f"{ALIVE},{NETWORKS[classifier.host_network]}",
        metadata_only=True,
    )
    pages = client.pages(api.PODS, scope=scope, limit=PAGE)
    pace.restart()
    async with contextlib.aclosing(pages):
        async for page in pages:
            response_seconds = pace.restart()
            for pod in page.items:
                name = api.metadata(pod)["namespace"]
                view = views.get(name)
                if view and (states := await classifier.states(pod, view)):
                    tallies.setdefault(name, audit.Tally()).update(states)
                await pace.yield_if_due()
            await pace.throttle(response_seconds=response_seconds)


class SpecReader:
    """Reads the specs of a few pods in one count."""

    def __init__(self, client: api.Api, pace: schedule.Pace) -> None:
        self._client, self._pace = client, pace
        self._left = MOST_READ

    async def read(self, pod: api.Json) -> api.Json | None:
        """The spec of a pod, of which only the metadata is known; None if it is not read."""
        if not self._left:
            return None
        self._left -= 1
        name, namespace = api.metadata(pod)["name"], api.metadata(pod)["namespace"]
        scope = api.Scope(namespace=namespace, field_selector=f"metadata.name={name}")
        # The right to list pods is enough for it.
        pods = [
            item async for page in self._client.pages(api.PODS, scope=scope) for item in page.items
        ]
        await self._pace.throttle(response_seconds=self._pace.restart())
        return pods[0].get("spec") if pods else None


class Classifier:
    """Finds the states of pods, only once for pods that are equal."""

    def __init__(self, specs: SpecReader, *, host_network: bool) -> None:
        self._specs, self.host_network = specs, host_network
        self._remembered: dict[bytes, States] = {}
        """By the hash of what they depend on, which may be long."""
        self._equal: dict[tuple[audit.Identity, str], tuple[audit.Identity, str]] = {}
        """One object of all equal ones, for the tallies of thousands of namespaces."""
        self._weight = 0

    async def states(self, pod: api.Json, view: namespace_view.NamespaceView) -> States:
        """The injections that apply to this pod, each with its state."""
        relevant = [api.metadata(pod).get(field) for field in RELEVANT_METADATA]
        text = orjson.dumps([view.namespace.name, *relevant])
        key = hashlib.blake2b(text, digest_size=16).digest()
        states = self._remembered.get(key)
        if states is None:
            whole = {**pod, "spec": {"hostNetwork": self.host_network}}
            applying = list(audit.states(whole, view))
            if audit.depends_on_system(applying) and (spec := await self._specs.read(pod)):
                applying = list(audit.states({**pod, "spec": spec}, view))
            entries = ((audit.identity(injection), state) for injection, state in applying)
            states = tuple(self._equal.setdefault(entry, entry) for entry in entries)
            if self._weight > MOST_REMEMBERED:
                self._remembered.clear()
                self._weight = 0
            self._remembered[key] = states
            self._weight += 1 + len(states)
        return states
