"""How often we undo what somebody else does.

An accident is undone at once. Somebody who keeps doing it is not fought: a write war between two
controllers has taken whole control planes down.
https://github.com/istio/istio/issues/36478
"""

from __future__ import annotations

from typing import Final

FAST_TRIES: Final = 5
SLOW_SECONDS: Final = 60.0
"""After the fast tries: one a minute."""
QUIET_SECONDS: Final = 6.0
"""Held for so long, the next time is a new accident. So even somebody who is slow enough to be
answered each time costs ten writes a minute at most."""


class Limiter:
    """For one object: told when it is right, asked when it is wrong. Times are monotonic."""

    def __init__(self) -> None:
        self._tries = 0
        self._last_try = float("-inf")
        self._right_since: float | None = None

    def right(self, now: float) -> None:
        """The object is as it should be."""
        if self._right_since is None:
            self._right_since = now

    def quiet(self, now: float) -> bool:
        """Whether it has been right for so long that any fight is over."""
        return self._right_since is not None and now - self._right_since >= QUIET_SECONDS

    def reset(self) -> None:
        """What is wanted has changed: what follows is our own doing, and no fight."""
        self._tries = 0

    def wait(self, now: float) -> float:
        """The object is wrong: seconds to wait before it may be written; 0 counts as a try."""
        if self.quiet(now):
            self._tries = 0
        self._right_since = None
        if self._tries >= FAST_TRIES and now - self._last_try < SLOW_SECONDS:
            return self._last_try + SLOW_SECONDS - now
        self._tries += 1
        self._last_try = now
        return 0.0
