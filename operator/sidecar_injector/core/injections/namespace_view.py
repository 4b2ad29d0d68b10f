"""The input of a decision: a request, and what the caches contain about its namespace.

Injections have an index, so that few of them are tried on a pod. The index is exact: an injection
that is not a candidate fails one of the first two rules of matching, the selector for namespaces or
the selector for pods, and the index says which.

All namespaces share the index of the cluster's injections. A view has only the set of those that
may work in its namespace. Such a set is an integer whose bits are positions in the index: it takes
one bit for each injection, and equal sets are one object. So injections times namespaces is a small
number of bytes.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Container, Iterable, Iterator, Mapping
from typing import Any, Final, Self

from sidecar_injector import names
from sidecar_injector.core.injections import model
from sidecar_injector.core.limits import namespace_limits
from sidecar_injector.core.pods import selectors
from sidecar_injector.core.reasons import Reason


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PodRequest:
    """A request of the API server, or of the command line, about one pod."""

    namespace: str
    """From the request, because the pod's own metadata may not have it."""
    pod: Mapping[str, Any]
    operation: str = "CREATE"
    subresource: str = ""
    is_waited_for: bool = False
    """Whether others wait until it is decided, so that it must not take long."""


@dataclasses.dataclass(frozen=True, slots=True)
class Namespace:
    """The metadata of a namespace."""

    name: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def is_enabled(self) -> bool:
        """Whether its label enables injection."""
        return self.labels.get(names.INJECTION_LABEL) == names.ENABLED

    @classmethod
    def assumed(cls, name: str) -> Namespace:
        """The namespace of an admission request that the cache does not have yet.

        The API server matched the label before it sent the request. Only this label and the name
        are known.
        """
        return cls(name, {names.INJECTION_LABEL: names.ENABLED, names.NAMESPACE_NAME_LABEL: name})


def ordered(injections: Iterable[model.Injection]) -> tuple[model.Injection, ...]:
    """Injections in the order in which they are tried."""
    return tuple(sorted(injections, key=lambda injection: injection.order))


class Index:
    """The injections of one namespace, or those of the cluster; built again when one changes."""

    def __init__(self, injections: Iterable[model.Injection] = ()) -> None:
        self.injections = ordered(injections)
        self.all = (1 << len(self.injections)) - 1
        self.references = frozenset(injection.reference for injection in self.injections)
        """How a pod's annotation may name the injections: `NAME` or `cluster/NAME`."""
        self.depends_on_token_volume_name = any(
            injection.depends_on_token_volume_name for injection in self.injections
        )
        self.applicable = 0
        """The injections that are valid and not suspended."""
        self.mandatory = 0
        """The injections that pods cannot opt out of."""
        self.dry_runs = 0
        """The injections of which nothing is added."""
        self._everywhere = 0
        self._by_namespace: list[tuple[selectors.Selector, int]] = []
        """The other injections, with their selectors for namespaces."""
        self._by_label: dict[tuple[str, str] | None, int] = {}
        self._equal_sets: dict[int, int] = {}
        for position, injection in enumerate(self.injections):
            self._add(injection, 1 << position)

    def _add(self, injection: model.Injection, bit: int) -> None:
        if not injection.errors and not injection.spec.get("suspend"):
            self.applicable |= bit
        if injection.is_mandatory:
            self.mandatory |= bit
        if injection.is_dry_run:
            self.dry_runs |= bit
        if injection.namespace_selector is selectors.everything:
            self._everywhere |= bit
        else:
            self._by_namespace.append((injection.namespace_selector, bit))
        label = injection.required_label
        self._by_label[label] = self._by_label.get(label, 0) | bit

    @functools.cached_property
    def in_effect(self) -> Index:
        """The same without dry runs."""
        if not self.dry_runs:
            return self
        return Index(injection for injection in self.injections if not injection.is_dry_run)

    def in_namespace(self, labels: Mapping[str, str]) -> int:
        """The injections whose namespaceSelector matches these labels of a namespace."""
        matching = self._everywhere
        for selector, bit in self._by_namespace:
            if selector(labels):
                matching |= bit
        return self._equal_sets.setdefault(matching, matching)

    def selecting(self, labels: Mapping[str, Any]) -> int:
        """The injections that may select a pod with these labels."""
        candidates = self._by_label.get(None, 0)
        for key, value in labels.items():
            if isinstance(value, str):
                candidates |= self._by_label.get((key, value), 0)
        return candidates

    def members(self, positions: int) -> Iterator[model.Injection]:
        """The injections of a set, in order."""
        while positions:
            lowest = positions & -positions
            yield self.injections[lowest.bit_length() - 1]
            positions ^= lowest


NO_INJECTIONS: Final = Index()


@dataclasses.dataclass(frozen=True, slots=True)
class Part:
    """The candidates among the injections of one index."""

    index: Index
    in_namespace: int
    """The injections whose namespaceSelector matches."""
    candidates: int


@dataclasses.dataclass(frozen=True, slots=True)
class Candidates:
    """The injections that may select a pod, and why the others do not."""

    parts: tuple[Part, ...]

    def __iter__(self) -> Iterator[model.Injection]:
        """In the order in which they are tried."""
        groups = [part.index.members(part.candidates) for part in self.parts if part.candidates]
        if len(groups) == 1:
            return groups[0]
        return iter(ordered(itertools.chain(*groups)))

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """Why the other injections do not apply, each reason once."""
        elsewhere = any(part.in_namespace != part.index.all for part in self.parts)
        unselected = any(part.candidates != part.in_namespace for part in self.parts)
        return (
            *((Reason.NAMESPACE_SELECTOR_MISMATCH,) if elsewhere else ()),
            *((Reason.SELECTOR_MISMATCH,) if unselected else ()),
        )

    def not_candidates(self) -> Iterator[tuple[model.Injection, Reason]]:
        """The other injections, each with its reason."""
        for part in self.parts:
            for injection in part.index.members(part.index.all & ~part.in_namespace):
                yield injection, Reason.NAMESPACE_SELECTOR_MISMATCH
            for injection in part.index.members(part.in_namespace & ~part.candidates):
                yield injection, Reason.SELECTOR_MISMATCH


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class NamespaceView:
    """Everything that is known about one namespace; small, as there are thousands of them."""

    namespace: Namespace
    cluster: Index = NO_INJECTIONS
    """The injections of the cluster; all views share it."""
    own: Index = NO_INJECTIONS
    """The injections of the namespace."""
    service_accounts: Container[str] | None = None
    """The names in the namespace; None if they are not known, and then they are not checked."""
    limits: namespace_limits.NamespaceLimits | None = None
    """The LimitRanges and ResourceQuotas; None without any, or if they are not read."""
    release_namespace: str = names.PRODUCT
    """The namespace in which the injector runs; its pods are never injected."""
    kubernetes_minor: int | None = None
    """The release of the cluster, 32 for 1.32; None if it is not known, and then the newest."""
    in_cluster: int = dataclasses.field(init=False)
    """The cluster's injections whose namespaceSelector matches."""
    in_effect: NamespaceView | None = dataclasses.field(init=False)
    """The same without dry runs, by which pods are changed; None if there is no dry run here."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "in_cluster", self.cluster.in_namespace(self.namespace.labels))
        in_effect = None
        if self.in_cluster & self.cluster.dry_runs or self.own.dry_runs:
            cluster, own = self.cluster.in_effect, self.own.in_effect
            in_effect = dataclasses.replace(self, cluster=cluster, own=own)
        object.__setattr__(self, "in_effect", in_effect)

    @classmethod
    def of(cls, namespace: Namespace, injections: Iterable[model.Injection], **fields: Any) -> Self:
        """The view of a namespace with these injections, in any order."""
        groups: dict[bool, list[model.Injection]] = {True: [], False: []}
        for injection in injections:
            groups[injection.is_cluster].append(injection)
        cluster, own = Index(groups[True]), Index(groups[False])
        return cls(namespace=namespace, cluster=cluster, own=own, **fields)

    @property
    def injections(self) -> tuple[model.Injection, ...]:
        """All injections, those that can select no pod here included, in order."""
        return ordered((*self.cluster.injections, *self.own.injections))

    @property
    def can_select(self) -> bool:
        """Whether an injection that is valid and not suspended may work in the namespace."""
        return bool(self.in_cluster & self.cluster.applicable or self.own.applicable)

    def candidates(self, labels: Mapping[str, Any]) -> Candidates:
        """The injections that may select a pod with these labels, and why the others do not."""
        return Candidates(
            tuple(
                Part(index, in_namespace, in_namespace & index.selecting(labels))
                for index, in_namespace in (
                    (self.cluster, self.in_cluster),
                    (self.own, self.own.all),
                )
            )
        )

    def mandatory(self, labels: Mapping[str, Any]) -> Iterator[model.Injection]:
        """The injections that may select a pod with these labels, and that it cannot opt out of."""
        # Most clusters have none, and then the labels are not looked at.
        if here := self.in_cluster & self.cluster.mandatory:
            yield from self.cluster.members(here & self.cluster.selecting(labels))

    def has(self, reference: str) -> bool:
        """Whether a pod's annotation may name an injection so: `NAME` or `cluster/NAME`."""
        return reference in self.own.references or reference in self.cluster.references

    @property
    def depends_on_token_volume_name(self) -> bool:
        """Whether the random name of a token's volume can change a decision here."""
        metadata = (*self.namespace.labels.values(), *self.namespace.annotations.values())
        return (
            self.cluster.depends_on_token_volume_name
            or self.own.depends_on_token_volume_name
            or any(names.TOKEN_VOLUME_PREFIX in value for value in metadata)
        )
