"""What time it is for the API server, as every answer of its says in the header `Date`."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import email.utils
from collections.abc import Awaitable, Callable
from typing import Final

LIMIT: Final = datetime.timedelta(minutes=5)
"""A difference that no healthy cluster has; certificates are valid an hour before they are made."""
LONGEST_ANSWER: Final = datetime.timedelta(seconds=10)
"""An answer that took longer (a suspended machine, for instance) says nothing about the time."""
RESOLUTION: Final = datetime.timedelta(seconds=1)
NONE: Final = datetime.timedelta()


def system() -> datetime.datetime:
    """What the machine says."""
    return datetime.datetime.now(datetime.UTC)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Clocks:
    """The wall clock (aware, in UTC), monotonic seconds, and pauses."""

    now: Callable[[], datetime.datetime]
    monotonic: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


class Clock:
    """Our own clock, or the API server's where the two differ by more than `LIMIT`.

    Certificates are made, renewed and judged by it: it is the API server that verifies them. `own`
    is aware, in UTC.
    """

    def __init__(self, own: Callable[[], datetime.datetime] = system) -> None:
        self.own = own
        self.skew = NONE
        """How far our own clock is ahead, at least; behind is negative."""
        self._listeners: list[Callable[[], None]] = []

    @property
    def wrong(self) -> bool:
        """Whether our own clock is not to be believed."""
        return abs(self.skew) > LIMIT

    def subscribe(self, listener: Callable[[], None]) -> None:
        """Call `listener` after each answer that told the time."""
        self._listeners.append(listener)

    def now(self) -> datetime.datetime:
        """The time to plan by."""
        return self.own() - self.skew if self.wrong else self.own()

    def heard(self, date: str, *, asked: datetime.datetime) -> None:
        """An answer with this header has just come to what was asked at `asked` (by `own`)."""
        answered = self.own()
        if not NONE <= answered - asked <= LONGEST_ANSWER:
            return
        try:
            theirs = email.utils.parsedate_to_datetime(date)
        except ValueError:
            return
        if theirs.tzinfo is None:
            return
        ahead, behind = asked - theirs - RESOLUTION, answered - theirs
        self.skew = max(ahead, NONE) + min(behind, NONE)
        for listener in self._listeners:
            listener()
