"""Which ServiceAccounts exist; they are listed only once an injection sets one.

The API server refuses a pod whose ServiceAccount does not exist, and it does so after us. In most
clusters no injection sets one, and a list of all of them would cost memory without need.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection

from sidecar_injector.core.injections import model
from sidecar_injector.kube import informer


class ServiceAccounts:
    """The names of ServiceAccounts, by namespace."""

    def __init__(self, *, on_change: Callable[[str | None], None]) -> None:
        """`on_change` is called with the namespace of a change; None: of all of them."""
        self._on_change = on_change
        self._needed = asyncio.Event()
        self._names: dict[str, set[str]] = {}
        self._informer: informer.Informer | None = None

    def injection_changed(self, injection: model.Injection) -> None:
        """Begin to list them if this injection sets one."""
        if injection.template_spec.get("serviceAccountName"):
            self._needed.set()
            self._on_change(None)

    def changed(self, key: tuple[str, str], old: object, new: object) -> None:
        """A ServiceAccount was added, changed or deleted."""
        namespace, name = key
        if new is not None:
            self._names.setdefault(namespace, set()).add(name)
        else:
            self._names.get(namespace, set()).discard(name)
        self._on_change(namespace)

    @property
    def is_settled(self) -> bool:
        """Whether `names` changes from now on only with a call of `on_change`."""
        if not self._needed.is_set():
            return True
        return self._informer is not None and self._informer.synced.is_set()

    def names(self, namespace: str) -> Collection[str] | None:
        """The names in a namespace; None while they have not been listed."""
        if self._informer is None or not self._informer.synced.is_set():
            return None
        return self._names.get(namespace, ())

    async def run(self, make_informer: Callable[[], informer.Informer]) -> None:
        """Wait until they are needed, then run an informer that calls `changed`."""
        await self._needed.wait()
        self._informer = make_informer()
        await self._informer.run()
