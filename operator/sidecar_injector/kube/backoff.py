"""The pause between two attempts at something that fails."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

from sidecar_injector.kube import api

LONGEST_OVERLOAD: Final = 30.0
"""Seconds between attempts while the API server is overloaded, unless it says how long."""


def _spread() -> float:
    return random.random()  # noqa: S311 - it spreads load


class Backoff:
    """Pauses that double from `first` up to `longest` seconds, until `reset`.

    While the API server is overloaded they double further, up to `LONGEST_OVERLOAD`, and are not
    shorter than its `Retry-After`. After an error they are random, by `spread` (a number from 0 to
    1), so that replicas do not come back at the same moment. It does not sleep: the caller may wait
    for something else at the same time.
    """

    def __init__(
        self, *, first: float, longest: float, spread: Callable[[], float] = _spread
    ) -> None:
        self._first, self._longest, self._spread = first, longest, spread
        self._next = first

    def next(self, error: api.KubeError | None = None) -> float:
        """The seconds to wait now, after this error if there was one."""
        overload = error is not None and api.is_overload(error)
        longest = max(self._longest, LONGEST_OVERLOAD) if overload else self._longest
        pause = min(self._next, longest)
        self._next = min(2 * pause, longest)
        if error is None:
            return pause
        spread = self._spread() / 2
        pause -= pause * spread
        if isinstance(error, api.ApiError):
            # Never before it.
            least = error.retry_after * (1 + spread)
            pause = max(pause, min(least, api.LONGEST_RETRY_AFTER))
        return pause

    def reset(self, *, at_most: float | None = None) -> None:
        """After a success the next pause is `first` again, or with `at_most` not longer than that.

        `at_most` is for half a success: an accepted connection that has sent nothing yet.
        """
        self._next = self._first if at_most is None else min(self._next, at_most)
