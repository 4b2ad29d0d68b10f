"""The cluster as admission sees it: namespaces and injections, compiled when they change.

A change recompiles only what it concerns, for the next pod. Nothing here waits: informers report
changes and the webhook reads, both on the one event loop.

Nothing is kept for a name that only a request contains. A compiled namespace takes some hundred
bytes beside the injections, so all of a cluster are kept.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from sidecar_injector import crds, names
from sidecar_injector.core.injections import model, namespace_view
from sidecar_injector.core.limits import namespace_limits
from sidecar_injector.webhook import service_accounts

Json = Mapping[str, Any]
Read = Callable[[Json, str], model.Injection]
Key = tuple[str, str]
"""Namespace and name."""


@dataclasses.dataclass(frozen=True, slots=True)
class NamespaceState:
    """A namespace in which the API server lets us inject, compiled."""

    view: namespace_view.NamespaceView
    cache_is_behind: bool
    """The cache does not have the namespace as enabled, but the API server called us for it."""
    serial: int
    """Differs from that of every other state, of whatever namespace."""
    is_kept: bool
    """Whether the namespace has this state until something changes; otherwise each request gets
    another one."""


def read(resource: Json, kind: str) -> model.Injection:
    """The injection in a resource of a kind."""
    # In a list the API server leaves out the kind of each item.
    return model.read({**resource, "kind": kind}, spec_schema=crds.spec_schema(kind))


class ClusterState:
    """Namespaces and injections, ready for `decide`."""

    def __init__(self, *, release_namespace: str, read_injection: Read = read) -> None:
        """`read_injection` reads the injection in a resource of a kind."""
        self._release_namespace = release_namespace
        self._read = read_injection
        self.service_accounts = service_accounts.ServiceAccounts(on_change=self._forget)
        self._namespaces: dict[str, namespace_view.Namespace] = {}
        self._cluster_injections: dict[str, model.Injection] = {}
        self._injections: dict[str, dict[str, model.Injection]] = {}
        """By namespace, then by name."""
        self._not_kept: dict[tuple[str, Key], model.Injection] = {}
        """By kind and key; no pod ever meets them."""
        self._limits: dict[str, dict[Key, Json]] = {}
        """LimitRanges and ResourceQuotas by namespace, then by kind and name."""
        self._compiled: dict[str, NamespaceState] = {}
        """By namespace, compiled for the first pod after a change."""
        self._cluster_index: namespace_view.Index | None = None
        self._indexes: dict[str, namespace_view.Index] = {}
        """Of the injections of a namespace, by namespace."""
        self._serials = itertools.count(1)
        self.kubernetes_minor: int | None = None
        """The release of the cluster, 32 for 1.32; None until it is known."""
        self.on_change: Callable[[], None] = lambda: None
        """Called after every change of what a decision looks at."""

    def of_namespace(self, namespace: str) -> NamespaceState:
        """The state of a namespace for which the API server has called us."""
        state = self._compiled.get(namespace)
        if state is None:
            state = self._compile(namespace)
            if state.is_kept:
                self._compiled[namespace] = state
        return state

    def _compile(self, name: str) -> NamespaceState:
        namespace = self._namespaces.get(name)
        cache_is_behind = namespace is None or not namespace.is_enabled
        if namespace is None or cache_is_behind:
            namespace = namespace_view.Namespace.assumed(name)
        view = namespace_view.NamespaceView(
            namespace=namespace,
            cluster=self._cluster(),
            own=self._own(name),
            service_accounts=self.service_accounts.names(name),
            limits=namespace_limits.of_objects(self._limits.get(name, {}).values()),
            release_namespace=self._release_namespace,
            kubernetes_minor=self.kubernetes_minor,
        )
        # While the ServiceAccounts are listed, their names arrive without a change.
        is_kept = name in self._namespaces and self.service_accounts.is_settled
        return NamespaceState(view, cache_is_behind, next(self._serials), is_kept)

    def _cluster(self) -> namespace_view.Index:
        if self._cluster_index is None:
            self._cluster_index = namespace_view.Index(self._cluster_injections.values())
        return self._cluster_index

    def _own(self, namespace: str) -> namespace_view.Index:
        group = self._injections.get(namespace)
        if not group:
            return namespace_view.NO_INJECTIONS
        index = self._indexes.get(namespace)
        if index is None:
            index = self._indexes[namespace] = namespace_view.Index(group.values())
        return index

    def _forget(self, namespace: str | None) -> None:
        """Compile this namespace again for its next pod; None: all of them."""
        if namespace is None:
            self._compiled.clear()
        else:
            self._compiled.pop(namespace, None)
        self.on_change()

    @property
    def limited_namespaces(self) -> frozenset[str]:
        """The enabled namespaces that have a LimitRange or a ResourceQuota."""
        namespaces = map(self._namespaces.get, self._limits)
        return frozenset(each.name for each in namespaces if each and each.is_enabled)

    def competing_injections(self, namespace: str | None) -> tuple[model.Injection, ...]:
        """All that may meet an injection of this namespace on a pod; None: one of the cluster.

        In no particular order.
        """
        groups = [self._cluster_injections]
        if namespace is None:
            groups += self._injections.values()
        else:
            groups.append(self._injections.get(namespace, {}))
        return tuple(injection for group in groups for injection in group.values())

    def injection(self, kind: str, key: Key) -> model.Injection | None:
        """A compiled injection, if the cache has it."""
        namespace, name = key
        if injection := self._not_kept.get((kind, key)):
            return injection
        if kind == names.CLUSTER_KIND:
            return self._cluster_injections.get(name)
        return self._injections.get(namespace, {}).get(name)

    def namespaces(self, namespace: str | None) -> tuple[namespace_view.Namespace, ...]:
        """Where an injection of this namespace may work; None: one of the cluster."""
        if namespace is None:
            return tuple(self._namespaces.values())
        return tuple(filter(None, [self._namespaces.get(namespace)]))

    def namespace(self, name: str) -> namespace_view.Namespace | None:
        """The metadata of a namespace, if the cache has it."""
        return self._namespaces.get(name)

    def has_namespace(self, injection: model.Injection) -> bool:
        """Whether the injection can apply in any namespace that there is."""
        return any(
            namespace.is_enabled
            and injection.namespace_selector(namespace.labels)
            and namespace.name not in (*names.SYSTEM_NAMESPACES, self._release_namespace)
            for namespace in self._namespaces.values()
        )

    def release_read(self, minor: int) -> None:
        """The release of the cluster was read, which an upgrade changes."""
        if minor != self.kubernetes_minor:
            self.kubernetes_minor = minor
            self._forget(None)

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

    def limits_changed(self, kind: str, key: Key, new: Json | None) -> None:
        """A LimitRange or a ResourceQuota was added, changed or deleted."""
        namespace, name = key
        objects = self._limits.setdefault(namespace, {})
        objects.pop((kind, name), None)
        if new:
            objects[kind, name] = new
        if not objects:
            del self._limits[namespace]
        self._forget(namespace)

    def injection_changed(self, key: Key, old: Json | None, new: Json | None) -> None:
        """A SidecarInjection was added, changed or deleted."""
        namespace, name = key
        group = self._injections.setdefault(namespace, {})
        if self._update(group, name, old, new, kind=names.KIND):
            self._indexes.pop(namespace, None)
            self._forget(namespace)
        if not group:
            del self._injections[namespace]

    def cluster_injection_changed(self, key: Key, old: Json | None, new: Json | None) -> None:
        """A ClusterSidecarInjection was added, changed or deleted."""
        if self._update(self._cluster_injections, key[1], old, new, kind=names.CLUSTER_KIND):
            self._cluster_index = None
            self._forget(None)

    def injection_not_kept(self, kind: str, key: Key, resource: Json | None, why: str = "") -> None:
        """An injection is not applied, as there is no room for it; None: it was deleted."""
        if resource is None:
            self._not_kept.pop((kind, key), None)
        else:
            self._not_kept[kind, key] = model.not_kept(resource, kind=kind, sentence=why)

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
        # Our own writes to status arrive as changes: only the spec counts. The uid counts because
        # a watch that was interrupted reports a deleted and recreated resource as a change.
        if old is not None and name in group and _identity(old) == _identity(new):
            return False
        injection = self._read(new, kind)
        group[name] = injection
        self.service_accounts.injection_changed(injection)
        return True


def enforcing(
    injection: model.Injection, namespaces: Iterable[namespace_view.Namespace]
) -> dict[str, str]:
    """The Pod Security levels that pods of an injection meet, each with a namespace for people."""
    levels: dict[str, str] = {}
    for namespace in namespaces:
        level = namespace.labels.get(names.POD_SECURITY_ENFORCE_LABEL)
        if not level or level in levels or not namespace.is_enabled:
            continue
        if injection.namespace_selector(namespace.labels):
            levels[level] = f"namespace {namespace.name}"
    return levels


def _identity(resource: Json) -> tuple[Any, ...]:
    metadata = resource.get("metadata") or {}
    return metadata.get("uid"), metadata.get("generation"), resource.get("spec")
