"""What a decision looks at: the request, and the world as our caches know it."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sidecar_injector import names
from sidecar_injector.core.injections import index, model


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PodRequest:
    """A question of the API server, or of a person, about one pod."""

    namespace: str
    """From the request: in the object it may be absent."""
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
        """Whether its pods are in scope."""
        return self.labels.get(names.INJECTION_LABEL) == names.ENABLED

    @classmethod
    def assumed(cls, name: str) -> Namespace:
        """The namespace of a call, as far as the call itself proves it.

        The API server has matched the label before it called, so a cache that says otherwise is
        behind; nothing more is known than this label and the name.
        """
        return cls(name, {names.INJECTION_LABEL: names.ENABLED, names.NAMESPACE_NAME_LABEL: name})


@dataclasses.dataclass(frozen=True, kw_only=True)
class NamespaceView:
    """All that is known about one namespace; what is compiled of it is so once."""

    namespace: Namespace
    injections: Sequence[model.Injection]
    """Those of the namespace and those of the cluster, in `Injection.order`."""
    service_accounts: Collection[str] | None = None
    """Names in the namespace; None where they are not known, and nothing is said of them."""
    release_namespace: str = names.PRODUCT
    """Where the injector itself runs: never injected."""

    @functools.cached_property
    def index(self) -> index.Index:
        """The injections by what they require of a pod."""
        return index.Index(self.injections, namespace_labels=self.namespace.labels)

    @functools.cached_property
    def references(self) -> frozenset[str]:
        """How a pod's annotation may name the injections: `NAME` or `cluster/NAME`."""
        return frozenset(one.reference for one in self.injections)

    @functools.cached_property
    def minds_token_volumes(self) -> bool:
        """Whether a decision may tell two names apart that a token's volume has in two pods."""
        metadata = (*self.namespace.labels.values(), *self.namespace.annotations.values())
        return any(one.minds_token_volumes for one in self.injections) or any(
            names.TOKEN_VOLUME_PREFIX in value for value in metadata
        )


def ordered(*groups: Sequence[model.Injection]) -> tuple[model.Injection, ...]:
    """Injections in the order in which they are tried."""
    return tuple(sorted((one for group in groups for one in group), key=lambda one: one.order))
