"""Follows the injections of one kind, and keeps those in memory that fit.

`core.injections.memory_budget` says which. Of another one only the metadata is kept, and its status
says why it is never applied.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from sidecar_injector import names
from sidecar_injector.core.injections import memory_budget
from sidecar_injector.kube import api, informer
from sidecar_injector.observability.metrics import Metrics
from sidecar_injector.webhook import cluster_state

METADATA: Final = ("name", "namespace", "uid", "generation", "creationTimestamp")
PARTS: Final = ("spec", "status")
MOST_WITH_STATUS: Final = 1000
"""Injections that do not fit and whose status says so; of more, nothing is kept."""
LIMITS: Final = {names.KIND: memory_budget.NAMESPACED, names.CLUSTER_KIND: memory_budget.CLUSTER}

log = logging.getLogger(__name__)


class Follower:
    """Receives the changes of an informer and passes them on to the cluster state."""

    def __init__(
        self,
        client: api.Api,
        kind: str,
        *,
        state: cluster_state.ClusterState,
        changed: Callable[[informer.Key, api.Json | None, api.Json | None], None],
        metrics: Metrics,
        prepare: informer.Prepare | None = None,
    ) -> None:
        """`changed` is called after the cluster state has received a change."""
        self._kind, self._state, self._changed = kind, state, changed
        self._budget = memory_budget.MemoryBudget(LIMITS[kind])
        self._not_kept: set[informer.Key] = set()
        self._metric = metrics.injections_not_kept.labels(kind=kind)
        self._metric.set(0)
        self.informer = informer.Informer(
            client,
            api.OWN_KINDS[kind],
            metrics=metrics,
            keep=fields,
            on_change=self._on_change,
            prepare=prepare,
        )

    def _on_change(self, key: informer.Key, old: api.Json | None, new: api.Json | None) -> None:
        dropped: dict[informer.Key, str] = {}
        if new is not None:
            created = api.metadata(new).get("creationTimestamp") or ""
            spec_weight = memory_budget.weight(new.get("spec"))
            dropped = self._budget.put(key, created=created, spec_weight=spec_weight)
        else:
            self._budget.remove(key)
        self._forget_not_kept(key)
        if key not in dropped:
            self._pass_on(key, old, new)
            self._changed(key, old, new)
        for other, why in dropped.items():
            self._drop(other, why)
        if self._not_kept:
            # There may be room for another one now, of which the spec is not here.
            self.informer.list_again()

    def _pass_on(self, key: informer.Key, old: api.Json | None, new: api.Json | None) -> None:
        if self._kind == names.CLUSTER_KIND:
            self._state.cluster_injection_changed(key, old, new)
        else:
            self._state.injection_changed(key, old, new)

    def _drop(self, key: informer.Key, why: str) -> None:
        """Keep only what its status needs."""
        resource = self.informer.objects[key]
        self._pass_on(key, resource, None)
        if not self._not_kept:
            log.warning("%s %s %s", self._kind, "/".join(filter(None, key)), why)
        has_status = len(self._not_kept) < MOST_WITH_STATUS
        rest = {part: value for part, value in resource.items() if part != "spec"}
        self.informer.replace(key, rest if has_status else None)
        if has_status:
            self._not_kept.add(key)
            self._state.injection_not_kept(self._kind, key, rest, why)
        self._metric.set(len(self._not_kept))
        self._changed(key, None, rest)

    def _forget_not_kept(self, key: informer.Key) -> None:
        if key in self._not_kept:
            self._not_kept.discard(key)
            self._state.injection_not_kept(self._kind, key, None)
            self._metric.set(len(self._not_kept))


def fields(injection: api.Json) -> api.Json:
    """What is read of an injection; the compiled one shares the spec."""
    metadata = api.metadata(injection)
    kept = {field: metadata[field] for field in METADATA if field in metadata}
    return {"metadata": kept, **{part: injection[part] for part in PARTS if part in injection}}
