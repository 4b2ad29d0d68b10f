"""Which ServiceAccounts exist, asked for only once an injection sets one.

The API server refuses a pod whose ServiceAccount does not exist, and it does so after us; most
clusters have no injection that sets one, and need not pay for knowing them all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from typing import Protocol

from sidecar_injector.core.injections import model


class Listing(Protocol):
    """A cache of ServiceAccounts, by namespace and name."""

    synced: asyncio.Event

    async def run(self) -> None:
        """Keep it filled until cancelled."""
        ...


class ServiceAccounts:
    """The names, by namespace."""

    def __init__(self, *, on_change: Callable[[str | None], None]) -> None:
        """`on_change` is called with the namespace of a change; None: of all of them."""
        self._on_change = on_change
        self._wanted = asyncio.Event()
        self._names: dict[str, set[str]] = {}
        self._listing: Listing | None = None

    def injection_read(self, injection: model.Injection) -> None:
        """Begin to listen if this one sets a ServiceAccount."""
        if injection.template_spec.get("serviceAccountName"):
            self._wanted.set()
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
        if not self._wanted.is_set():
            return True
        return self._listing is not None and self._listing.synced.is_set()

    def names(self, namespace: str) -> Collection[str] | None:
        """Those of a namespace; None while that is not known."""
        if self._listing is None or not self._listing.synced.is_set():
            return None
        return self._names.get(namespace, ())

    async def run(self, listing: Callable[[], Listing]) -> None:
        """Make a listing that reports to `changed` when it is wanted; run it until cancelled."""
        await self._wanted.wait()
        self._listing = listing()
        await self._listing.run()
