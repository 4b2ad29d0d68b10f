"""Follows LimitRanges or ResourceQuotas, and keeps as many as a decision looks at.

`core.limits.namespace_limits` has the limits.
"""

from __future__ import annotations

import collections
import logging

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
        self._counts: collections.Counter[str] = collections.Counter()
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
        """What is looked at; of an object without that, the informer has only the key."""
        key = namespace, _ = informer.key_of(resource)
        # The items of a list are without kind.
        resource = {**resource, "kind": self._kind}
        if key not in self.informer.objects and (remark := namespace_limits.remark(resource)):
            log.warning("%s %s/%s %s", self._kind, *key, remark)
        kept = namespace_limits.kept(resource)
        is_new = kept and not self.informer.objects.get(key)
        if is_new and self._counts[namespace] >= namespace_limits.MOST_OBJECTS:
            if namespace not in self._full:
                self._full.add(namespace)
                message = (
                    "namespace %s has more than %d objects of kind %s: the others are not checked"
                )
                log.warning(message, namespace, namespace_limits.MOST_OBJECTS, self._kind)
            return {}
        return kept

    def _on_change(self, key: informer.Key, old: api.Json | None, new: api.Json | None) -> None:
        namespace = key[0]
        if not new and (old or new is None) and namespace in self._full:
            # There may be room for one that is not here.
            self._full.discard(namespace)
            self.informer.list_again()
        if not old and not new:
            return
        self._counts[namespace] += bool(new) - bool(old)
        if not self._counts[namespace]:
            del self._counts[namespace]
        self._state.limits_changed(self._kind, key, new or None)
