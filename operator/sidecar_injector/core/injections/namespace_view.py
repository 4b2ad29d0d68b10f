"""The input of a decision: a request, and what the caches contain about its namespace.

A namespace has an index of its injections, so that few of them are tried on a pod. The index is
exact: an injection that is not a candidate fails one of the first two rules of matching, the
selector for namespaces or the selector for pods, and the index says which.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from sidecar_injector import names
from sidecar_injector.core.injections import model
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


@dataclasses.dataclass(frozen=True, slots=True)
class Candidates:
    """Some injections of a namespace, by their positions in ascending order."""

    injections: Sequence[model.Injection]
    """All injections of the namespace."""
    positions: Sequence[int]
    in_namespace: Collection[int]
    """The positions of the injections whose namespaceSelector matches."""

    def __iter__(self) -> Iterator[model.Injection]:
        return (self.injections[position] for position in self.positions)

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """Why the other injections do not apply, each reason once."""
        elsewhere = len(self.in_namespace) < len(self.injections)
        unselected = len(self.positions) < len(self.in_namespace)
        return (
            *((Reason.NAMESPACE_SELECTOR_MISMATCH,) if elsewhere else ()),
            *((Reason.SELECTOR_MISMATCH,) if unselected else ()),
        )

    def not_candidates(self) -> Iterator[tuple[model.Injection, Reason]]:
        """The other injections, each with its reason."""
        candidates = set(self.positions)
        for position, injection in enumerate(self.injections):
            if position not in self.in_namespace:
                yield injection, Reason.NAMESPACE_SELECTOR_MISMATCH
            elif position not in candidates:
                yield injection, Reason.SELECTOR_MISMATCH


class Index:
    """The injections of one namespace, by a label that they require of a pod."""

    def __init__(
        self, injections: Sequence[model.Injection], *, namespace_labels: Mapping[str, str]
    ) -> None:
        self._injections = injections
        self._in_namespace: set[int] = set()
        self._by_label: dict[tuple[str, str] | None, list[int]] = {}
        for position, injection in enumerate(injections):
            if injection.namespace_selector(namespace_labels):
                self._in_namespace.add(position)
                self._by_label.setdefault(injection.required_label, []).append(position)

    def candidates(self, labels: Mapping[str, Any]) -> Candidates:
        """The injections that may select a pod with these labels, and why the others do not."""
        positions = list(self._by_label.get(None, ()))
        for key, value in labels.items():
            if isinstance(value, str):
                positions += self._by_label.get((key, value), ())
        return Candidates(self._injections, sorted(positions), self._in_namespace)


@dataclasses.dataclass(frozen=True, kw_only=True)
class NamespaceView:
    """Everything that is known about one namespace. Its properties are computed once."""

    namespace: Namespace
    injections: Sequence[model.Injection]
    """The injections of the namespace and of the cluster, sorted by `Injection.order`."""
    service_accounts: Collection[str] | None = None
    """The names in the namespace; None if they are not known, and then they are not checked."""
    release_namespace: str = names.PRODUCT
    """The namespace in which the injector runs; its pods are never injected."""

    @functools.cached_property
    def index(self) -> Index:
        """The injections by the label that they require of a pod."""
        return Index(self.injections, namespace_labels=self.namespace.labels)

    @functools.cached_property
    def references(self) -> frozenset[str]:
        """How a pod's annotation may name the injections: `NAME` or `cluster/NAME`."""
        return frozenset(injection.reference for injection in self.injections)

    @functools.cached_property
    def depends_on_token_volume_name(self) -> bool:
        """Whether the random name of a token's volume can change a decision here."""
        metadata = (*self.namespace.labels.values(), *self.namespace.annotations.values())
        return any(injection.depends_on_token_volume_name for injection in self.injections) or any(
            names.TOKEN_VOLUME_PREFIX in value for value in metadata
        )


def ordered(*groups: Sequence[model.Injection]) -> tuple[model.Injection, ...]:
    """Injections in the order in which they are tried."""
    return tuple(sorted(itertools.chain(*groups), key=lambda injection: injection.order))
