"""Which ServiceAccounts exist; they are listed only once an injection sets one.

The API server refuses a pod whose ServiceAccount does not exist, and it does so after us. In most
clusters no injection sets one, and a list of all of them would cost memory without need.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Container, Mapping

from sidecar_injector.core.injections import model
from sidecar_injector.kube import informer


@dataclasses.dataclass(frozen=True, slots=True)
class Names(Container[str]):
    """The names in one namespace; the informer has those of all namespaces, once."""

    namespace: str
    objects: Mapping[informer.Key, object]

    def __contains__(self, name: object) -> bool:
        return (self.namespace, name) in self.objects


class ServiceAccounts:
    """The names of ServiceAccounts, by namespace."""

    def __init__(self, *, on_change: Callable[[str | None], None]) -> None:
        """`on_change` is called with the namespace of a change; None: of all of them."""
        self._on_change = on_change
        self._needed = asyncio.Event()
        self._informer: informer.Informer | None = None

    def injection_changed(self, injection: model.Injection) -> None:
        """Begin to list them if this injection sets one."""
        if injection.template_spec.get("serviceAccountName"):
            self._needed.set()
            self._on_change(None)

    def changed(self, key: tuple[str, str], old: object, new: object) -> None:
        """A ServiceAccount was added, changed or deleted."""
        self._on_change(key[0])

    @property
    def is_settled(self) -> bool:
        """Whether `names` changes from now on only with a call of `on_change`."""
        if not self._needed.is_set():
            return True
        return self._informer is not None and self._informer.synced.is_set()

    def names(self, namespace: str) -> Names | None:
        """The names in a namespace; None while they have not been listed."""
        if self._informer is None or not self._informer.synced.is_set():
            return None
        return Names(namespace, self._informer.objects)

    async def run(self, make_informer: Callable[[], informer.Informer]) -> None:
        """Wait until they are needed, then run an informer that calls `changed`."""
        await self._needed.wait()
        self._informer = make_informer()
        await self._informer.run()
