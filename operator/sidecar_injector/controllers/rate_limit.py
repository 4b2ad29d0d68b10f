"""How often we write an object that another writer changes back.

Every writer here compares an object with what it wants, and writes the difference. An accident is
undone at once. If another writer repeats the change, we undo it rarely: two controllers that
overwrite each other without a pause have brought down whole control planes. The other writer may
also be a replica of ours, of another version or with other settings.
https://github.com/istio/istio/issues/36478
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable
from typing import Final

FAST_TRIES: Final = 5
SLOW_SECONDS: Final = 60.0
"""After the fast tries, one a minute."""
STABLE_SECONDS: Final = 6.0
"""After so long without a change, the next change counts as a new accident. So another writer can
cause at most ten writes a minute."""
FORGET_SECONDS: Final = 2 * SLOW_SECONDS
"""An object that was not written for so long is forgotten, also if it was deleted."""


@dataclasses.dataclass(slots=True)
class _Tries:
    """The writes of one object since it was last stable."""

    value: Hashable
    count: int = 0
    last: float = float("-inf")
    correct_since: float | None = None


class WriteLimiter:
    """Limits our writes, for each object apart.

    An object is named by any key. `value` is what we want to write: another value than the last one
    is no repetition, so it may be written at once. Only objects that were written in the last two
    minutes are kept.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._tries: dict[Hashable, _Tries] = {}
        """In the order of the last write."""

    def __len__(self) -> int:
        return len(self._tries)

    def observe_correct(self, key: Hashable = None) -> None:
        """The object is as it should be."""
        tries = self._tries.get(key)
        if tries and tries.correct_since is None:
            tries.correct_since = self._monotonic()

    def is_stable(self, key: Hashable = None) -> bool:
        """Whether the object has been correct for so long that a conflict is over."""
        tries = self._tries.get(key)
        if tries is None:
            return True
        since = tries.correct_since
        return since is not None and self._monotonic() - since >= STABLE_SECONDS

    def delay(self, key: Hashable = None, value: Hashable = None) -> float:
        """The object is wrong: the seconds until it may be written."""
        if self.is_stable(key):
            self._tries.pop(key, None)
            return 0.0
        tries = self._tries[key]
        tries.correct_since = None
        if tries.value != value or tries.count < FAST_TRIES:
            return 0.0
        return max(tries.last + SLOW_SECONDS - self._monotonic(), 0.0)

    def count(self, key: Hashable = None, value: Hashable = None) -> None:
        """The object was written, or another writer was faster.

        Failed attempts do not count: they have a backoff of their own.
        """
        now = self._monotonic()
        tries = self._tries.pop(key, None)
        if tries is None or tries.value != value:
            tries = _Tries(value)
        tries.count += 1
        tries.last = now
        self._tries[key] = tries
        while self._tries:
            oldest = next(iter(self._tries))
            if now - self._tries[oldest].last <= FORGET_SECONDS:
                break
            del self._tries[oldest]
