"""What admission knows about the cluster, compiled from the caches as they change.

A change recompiles only what it touches. Nothing here waits for anything: the caches call in, and
the admission handler asks, on the one event loop.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping
from typing import Any, Final

from sidecar_injector import crds, names
from sidecar_injector.core.injections import model, namespace_view
from sidecar_injector.webhook import service_accounts

Json = Mapping[str, Any]
Key = tuple[str, str]

MOST_KNOWN: Final = 1024
"""Namespaces that are kept compiled: more of them create pods at once in no cluster."""


@dataclasses.dataclass(frozen=True, slots=True)
class NamespaceState:
    """What is known about one namespace from which the API server calls."""

    world: namespace_view.NamespaceView
    behind: bool
    """Whether our cache is: the call itself proves that the namespace is enabled."""
    serial: int
    """Another one for every other world."""


class ClusterState:
    """Namespaces and injections, ready for `decide`."""

    def __init__(self, *, release_namespace: str) -> None:
        self._release_namespace = release_namespace
        self.accounts = service_accounts.ServiceAccounts(on_change=self._forget)
        self._namespaces: dict[str, namespace_view.Namespace] = {}
        self._cluster: dict[str, model.Injection] = {}
        self._namespaced: dict[str, dict[str, model.Injection]] = {}
        self._known: dict[str, NamespaceState] = {}
        """By namespace, compiled when a pod asks; emptied where anything changes."""
        self._serials = itertools.count(1)

    def known(self, namespace: str) -> NamespaceState:
        """What is known about a namespace from which the API server calls."""
        found = self._known.get(namespace)
        if found is None:
            found = self._compiled(namespace)
            # While the names of ServiceAccounts are being listed they come without a change.
            if self.accounts.is_settled:
                if len(self._known) >= MOST_KNOWN:
                    self._known.clear()
                self._known[namespace] = found
        return found

    def _compiled(self, namespace: str) -> NamespaceState:
        metadata = self._namespaces.get(namespace)
        behind = metadata is None or not metadata.is_enabled
        if metadata is None or behind:
            metadata = namespace_view.Namespace.assumed(namespace)
        world = namespace_view.NamespaceView(
            namespace=metadata,
            injections=self.injections(namespace),
            service_accounts=self.accounts.names(namespace),
            release_namespace=self._release_namespace,
        )
        return NamespaceState(world, behind, next(self._serials))

    def _forget(self, namespace: str | None) -> None:
        """Compile this namespace anew when it is asked for; None: all of them."""
        if namespace is None:
            self._known.clear()
        else:
            self._known.pop(namespace, None)

    def injections(self, namespace: str) -> tuple[model.Injection, ...]:
        """All that may apply in a namespace, in the order in which they are tried."""
        return namespace_view.ordered(
            list(self._cluster.values()), list(self._namespaced.get(namespace, {}).values())
        )

    def rivals(self, namespace: str | None) -> tuple[model.Injection, ...]:
        """All that may meet an injection of this namespace on a pod; None: one of the cluster.

        In no order.
        """
        if namespace is not None:
            groups = [self._namespaced.get(namespace, {})]
        else:
            groups = list(self._namespaced.values())
        return tuple(one for group in (self._cluster, *groups) for one in group.values())

    def injection(self, kind: str, key: Key) -> model.Injection | None:
        """One injection as it was compiled, if the cache has it."""
        namespace, name = key
        if kind == names.CLUSTER_KIND:
            return self._cluster.get(name)
        return self._namespaced.get(namespace, {}).get(name)

    def namespace(self, name: str) -> namespace_view.Namespace | None:
        """The metadata of a namespace, if the cache has it."""
        return self._namespaces.get(name)

    def namespace_changed(self, key: Key, old: Json | None, new: Json | None) -> None:
        """A namespace was added, changed or deleted."""
        name = key[1]
        if new is None:
            self._namespaces.pop(name, None)
        else:
            metadata = new.get("metadata") or {}
            namespace = namespace_view.Namespace(
                name, metadata.get("labels") or {}, metadata.get("annotations") or {}
            )
            if self._namespaces.get(name) == namespace:
                return
            self._namespaces[name] = namespace
        self._forget(name)

    def injection_changed(self, key: Key, old: Json | None, new: Json | None) -> None:
        """A SidecarInjection was added, changed or deleted."""
        namespace, name = key
        group = self._namespaced.setdefault(namespace, {})
        if self._update(group, name, old, new, kind=names.KIND):
            self._forget(namespace)
        if not group:
            del self._namespaced[namespace]

    def cluster_injection_changed(self, key: Key, old: Json | None, new: Json | None) -> None:
        """A ClusterSidecarInjection was added, changed or deleted."""
        if self._update(self._cluster, key[1], old, new, kind=names.CLUSTER_KIND):
            self._forget(None)

    def _update(
        self,
        group: dict[str, model.Injection],
        name: str,
        old: Json | None,
        new: Json | None,
        *,
        kind: str,
    ) -> bool:
        """Put the change into the group; says whether it changed anything for a decision."""
        if new is None:
            return group.pop(name, None) is not None
        # Our own writes to status come back as changes: the spec is what counts. A deleted resource
        # may come back under its name, which nobody sees whose watch was broken in between.
        if old is not None and name in group and _identity(old) == _identity(new):
            return False
        # In a list the API server leaves out the kind of each item.
        resource = {**new, "kind": kind}
        injection = model.read(resource, spec_schema=crds.spec_schema(kind))
        group[name] = injection
        self.accounts.injection_read(injection)
        return True


def _identity(resource: Json) -> tuple[Any, ...]:
    metadata = resource.get("metadata") or {}
    return metadata.get("uid"), metadata.get("generation"), resource.get("spec")
