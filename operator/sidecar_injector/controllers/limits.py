"""Follows LimitRanges or ResourceQuotas, and keeps as many as a decision looks at.

`core.limits.namespace_limits` has the limits.
"""

from __future__ import annotations

import logging
from typing import Any

from sidecar_injector.core.limits import namespace_limits
from sidecar_injector.kube import api, informer
from sidecar_injector.observability.metrics import Metrics
from sidecar_injector.webhook import cluster_state

log = logging.getLogger(__name__)


class Follower:
    """Receives the changes of an informer and passes them on to the cluster state."""

    def __init__(
        self, client: api.Api, kind: str, *, state: cluster_state.ClusterState, metrics: Metrics
    ) -> None:
        self._kind, self._state = kind, state
        self._names: dict[str, set[str]] = {}
        """Of the objects that are looked at, by namespace."""
        self._full: set[str] = set()
        """The namespaces that have more."""
        self.informer = informer.Informer(
            client,
            api.LIMITS[kind],
            metrics=metrics,
            keep=self._keep,
            on_change=self._on_change,
        )

    def _keep(self, resource: api.Json) -> api.Json:
        key = informer.key_of(resource)
        remark = namespace_limits.remark(self._kind, resource)
        if remark and key not in self.informer.objects:
            log.warning("%s %s/%s %s", self._kind, *key, remark)
        return namespace_limits.kept(self._kind, resource)

    def _on_change(self, key: informer.Key, old: Any, new: api.Json | None) -> None:
        namespace, name = key
        present = self._names.setdefault(namespace, set())
        if not new:
            present.discard(name)
            if namespace in self._full:
                # There is room for one that is not here.
                self._full.discard(namespace)
                self.informer.list_again()
        elif name in present or len(present) < namespace_limits.MOST_OBJECTS:
            present.add(name)
        else:
            self._leave_out(key)
            return
        if not present:
            del self._names[namespace]
        self._state.limits_changed(self._kind, key, new or None)

    def _leave_out(self, key: informer.Key) -> None:
        self.informer.replace(key, None)
        if key[0] not in self._full:
            self._full.add(key[0])
            message = "namespace %s has more than %d objects of kind %s: the others are not checked"
            log.warning(message, key[0], namespace_limits.MOST_OBJECTS, self._kind)
