"""Long work in short slices, so that pods are answered in between."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

SLICE_SECONDS: Final = 0.002


class Slices:
    """Lets the event loop run other tasks after each `work` seconds, for at least `pause` seconds.

    Without a pause the other tasks that are ready run once.
    """

    def __init__(
        self,
        *,
        work: float = SLICE_SECONDS,
        pause: float = 0.0,
        clock: Callable[[], float] = time.perf_counter,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._work, self._pause = work, pause
        self._clock, self._sleep = clock, sleep
        self._started = clock()

    async def yield_if_due(self) -> None:
        """Call this after each piece of work; it waits only when the slice is over."""
        if self._clock() - self._started >= self._work:
            await self.sleep(self._pause)

    async def sleep(self, seconds: float) -> None:
        """Pause now, and start a new slice."""
        await self._sleep(seconds)
        self.restart()

    def restart(self) -> float:
        """Start a new slice, because the caller has waited, not worked.

        Returns the seconds since the last slice started.
        """
        now = self._clock()
        elapsed, self._started = now - self._started, now
        return elapsed
