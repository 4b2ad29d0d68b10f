"""When the audit counts which namespaces, and how long it pauses in between.

| limit | value | reason |
|---|---:|---|
| first pause after a change | 1.5 s | a Deployment creates its pods one after the other |
| pause after a count of changes | 20 times as long | it slows down the API server |
| longest pause | 30 s | a change must be in `status.pods` within a minute |
| work in one piece | 0.5 ms | a decision about a pod takes longer |
| pause after it | 8 times as long | the audit is not urgent |
| pause after a page | 2 times its response time | it slows down the API server |
| longest pause after a page | 20 ms | the counts must be correct within a minute |
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

from sidecar_injector.kube import yielding

FIRST_PAUSE: Final = 1.5
PAUSE_FACTOR: Final = 20
LONGEST_PAUSE: Final = 30.0

SLICE_SECONDS: Final = 0.0005
SLICE_PAUSE_FACTOR: Final = 8
SERVER_PAUSE_FACTOR: Final = 2
LONGEST_SERVER_PAUSE: Final = 0.02


class Schedule:
    """Says which namespaces are due, and after which pause they are counted.

    | event | due |
    |---|---|
    | `start`, `recount_everything`, a failed count | everything |
    | `every` seconds after a count of everything started | everything |
    | `mark` | this namespace |

    Nothing is due before `start` and after `stop`.
    """

    def __init__(self, *, every: float, monotonic: Callable[[], float]) -> None:
        self._every, self._monotonic = every, monotonic
        self._is_running = False
        self._namespaces: set[str] = set()
        self._everything_due_at = self._started_at = 0.0
        self._counts_everything = False
        self.pause = 0.0
        """Seconds to wait before the next count."""

    def start(self) -> None:
        """Everything is due at once."""
        self._is_running = True
        self._everything_due_at = self.pause = 0.0

    def stop(self) -> None:
        """Nothing is due any more."""
        self._is_running = False
        self._namespaces.clear()

    def mark(self, namespace: str) -> None:
        """Something changed in this namespace."""
        if self._is_running:
            self._namespaces.add(namespace)

    def recount_everything(self) -> None:
        """Something changed that concerns every namespace, or a count has failed."""
        self._everything_due_at = 0.0

    @property
    def is_due(self) -> bool:
        """Whether there is something to count."""
        return self._is_running and (bool(self._namespaces) or self.seconds_left == 0.0)

    @property
    def seconds_left(self) -> float:
        """Seconds until everything is due."""
        return max(self._everything_due_at - self._monotonic(), 0.0)

    def take(self) -> frozenset[str] | None:
        """Start a count; returns the namespaces to count, or None for everything."""
        self._started_at = self._monotonic()
        self._counts_everything = self.seconds_left == 0.0
        namespaces = frozenset(self._namespaces)
        self._namespaces.clear()
        if not self._counts_everything:
            return namespaces
        self._everything_due_at = self._started_at + self._every
        return None

    def finished(self) -> None:
        """The count has ended: decide about the next pause.

        A count of everything is rare, so it needs no long pause.
        """
        took = 0.0 if self._counts_everything else self._monotonic() - self._started_at
        self.pause = min(max(FIRST_PAUSE, PAUSE_FACTOR * took), LONGEST_PAUSE)


class Pace(yielding.Slices):
    """Pauses between pieces of the count, for the pods that are created meanwhile."""

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.perf_counter,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        pause = SLICE_SECONDS * SLICE_PAUSE_FACTOR
        super().__init__(work=SLICE_SECONDS, pause=pause, clock=clock, sleep=sleep)

    async def throttle(self, *, response_seconds: float) -> None:
        """Pause between two pages, for the API server that took so long for the last one."""
        await self.sleep(min(response_seconds * SERVER_PAUSE_FACTOR, LONGEST_SERVER_PAUSE))
