"""The pause between two attempts at something that fails."""

from __future__ import annotations


class Backoff:
    """Pauses that double from `first` up to `longest` seconds, until `reset`.

    It does not sleep: the caller may wait for something else at the same time.
    """

    def __init__(self, *, first: float, longest: float) -> None:
        self._first, self._longest = first, longest
        self._next = first

    def next(self) -> float:
        """The seconds to wait now; the call after this one returns twice as many."""
        pause = self._next
        self._next = min(2 * pause, self._longest)
        return pause

    def reset(self, *, at_most: float | None = None) -> None:
        """After a success the next pause is `first` again, or with `at_most` not longer than that.

        `at_most` is for half a success: an accepted connection that has sent nothing yet.
        """
        self._next = self._first if at_most is None else min(self._next, at_most)
