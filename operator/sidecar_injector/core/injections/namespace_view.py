"""The input of a decision: a request, and what the caches contain about its namespace."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sidecar_injector import names
from sidecar_injector.core.injections import index, model


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PodRequest:
    """A request of the API server, or of the command line, about one pod."""

    namespace: str
    """From the request, because the pod's own metadata may not have it."""
    pod: Mapping[str, Any]
    operation: str = "CREATE"
    subresource: str = ""


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
    def index(self) -> index.Index:
        """The injections by the label that they require of a pod."""
        return index.Index(self.injections, namespace_labels=self.namespace.labels)

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
