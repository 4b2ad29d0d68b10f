"""The API server's time, which every response has in its `Date` header."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import email.utils
from collections.abc import Awaitable, Callable
from typing import Final

LIMIT: Final = datetime.timedelta(minutes=5)
"""No healthy cluster has a larger difference. New certificates are valid from an hour ago on."""
LONGEST_ANSWER: Final = datetime.timedelta(seconds=10)
"""A slower response (of a machine that was suspended, for example) does not tell the time."""
RESOLUTION: Final = datetime.timedelta(seconds=1)
NONE: Final = datetime.timedelta()


def system() -> datetime.datetime:
    """The time of this machine."""
    return datetime.datetime.now(datetime.UTC)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Clocks:
    """The wall clock (aware, in UTC), monotonic seconds, and pauses."""

    now: Callable[[], datetime.datetime]
    monotonic: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


class Clock:
    """The local clock, or the API server's if the two differ by more than `LIMIT`.

    Certificates are made, renewed and judged by it, because the API server verifies them. `local`
    returns an aware time in UTC.
    """

    def __init__(self, local: Callable[[], datetime.datetime] = system) -> None:
        self.local = local
        self.skew = NONE
        """How far the local clock is ahead, at least; negative if it is behind."""
        self._listeners: list[Callable[[], None]] = []

    @property
    def is_skewed(self) -> bool:
        """Whether the local clock is too wrong to be used."""
        return abs(self.skew) > LIMIT

    def subscribe(self, listener: Callable[[], None]) -> None:
        """Call `listener` after each response that contained the time."""
        self._listeners.append(listener)

    def now(self) -> datetime.datetime:
        """The time to plan by."""
        return self.local() - self.skew if self.is_skewed else self.local()

    def observe(self, date: str, *, sent_at: datetime.datetime) -> None:
        """Compare clocks by the `Date` header of a response that has just come.

        `sent_at` is the local time at which the request was sent.
        """
        received_at = self.local()
        if not NONE <= received_at - sent_at <= LONGEST_ANSWER:
            return
        try:
            server_time = email.utils.parsedate_to_datetime(date)
        except ValueError:
            return
        if server_time.tzinfo is None:
            return
        ahead, behind = sent_at - server_time - RESOLUTION, received_at - server_time
        self.skew = max(ahead, NONE) + min(behind, NONE)
        for listener in self._listeners:
            listener()
