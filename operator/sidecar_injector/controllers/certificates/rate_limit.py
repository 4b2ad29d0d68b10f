"""How often we undo what another writer does to an object.

An accident is undone at once. If the other writer repeats the change, we undo it rarely: two
controllers that overwrite each other without a pause have brought down whole control planes.
https://github.com/istio/istio/issues/36478
"""

from __future__ import annotations

from typing import Final

FAST_TRIES: Final = 5
SLOW_SECONDS: Final = 60.0
"""After the fast tries, one a minute."""
STABLE_SECONDS: Final = 6.0
"""After so long without a change, the next change counts as a new accident. So another writer can
cause at most ten writes a minute."""


class WriteLimiter:
    """Limits our writes to one object. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._tries = 0
        self._last_try = float("-inf")
        self._correct_since: float | None = None

    def observe_correct(self, now: float) -> None:
        """The object is as it should be."""
        if self._correct_since is None:
            self._correct_since = now

    def is_stable(self, now: float) -> bool:
        """Whether the object has been correct for so long that the conflict is over."""
        return self._correct_since is not None and now - self._correct_since >= STABLE_SECONDS

    def reset(self) -> None:
        """The wanted state has changed: the next writes do not undo another writer's."""
        self._tries = 0

    def delay(self, now: float) -> float:
        """The object is wrong: the seconds until it may be written. 0 counts as a try."""
        if self.is_stable(now):
            self._tries = 0
        self._correct_since = None
        if self._tries >= FAST_TRIES and now - self._last_try < SLOW_SECONDS:
            return self._last_try + SLOW_SECONDS - now
        self._tries += 1
        self._last_try = now
        return 0.0
