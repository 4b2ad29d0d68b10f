"""Whose status stays if replicas want different ones for the same object.

Two versions of the operator may judge or word the same injection differently. Both run during a
rollout, and each would undo what the other writes. So a replica writes its status once. If another
complete status follows, that one stays: the replica that started last is the newer version.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Final

REPAIR_SECONDS: Final = 3600.0
"""Another complete status is corrected after so long, in case that its writer exists no more."""


class Agreement:
    """Remembers for each object which status this replica wants, and which one it wrote."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._settled: dict[Hashable, tuple[int, float]] = {}
        """The hash of what we wanted when it was last in place, and when that was."""
        self._written: dict[Hashable, int] = {}
        """The hash of what we wrote last."""

    def __len__(self) -> int:
        return len(self._settled)

    def settle(self, key: Hashable, value: Hashable) -> None:
        """The object has the status that we want."""
        self._settled[key] = hash(value), self._monotonic()

    def write(self, key: Hashable, value: Hashable) -> None:
        """We write this status now; whether that succeeds is not known yet."""
        self._written[key] = hash(value)

    def delay(self, key: Hashable, *, wanted: Hashable, present: Hashable) -> float:
        """The seconds for which the complete status `present` stays, though we want another one.

        None if we want something new, because a spec or a namespace has changed. Also none if
        `present` is our own, which the watch told late.
        """
        value, since = self._settled.get(key, (None, 0.0))
        if value != hash(wanted) or self._written.get(key) == hash(present):
            return 0.0
        return max(since + REPAIR_SECONDS - self._monotonic(), 0.0)

    def forget(self, key: Hashable) -> None:
        """The object was deleted."""
        self._settled.pop(key, None)
        self._written.pop(key, None)
