"""The one thread for reviews that take long, so that the event loop does not wait for them."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import gc
import heapq
import itertools
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, Final, TypeVar

from sidecar_injector import names

MAX_WAITING_BYTES: Final = 12 << 20
"""Of large bodies, half of what all connections may hold: the other half is for smaller ones."""
WAITING_SECONDS: Final = 0.0002
"""For each part of its work a review lets others pass; the part itself takes a twentieth."""

Result = TypeVar("Result")


class Worker:
    """Reviews have it in turn, from first to last: two parsed ones would take twice the memory.

    Of those that wait, the one that takes least is the next: somebody who sends many large pods
    keeps a smaller one waiting for one of them at most. One that waits moves up: somebody who sends
    many smaller ones keeps a large one waiting for two seconds or so.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._thread = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix=names.PRODUCT)
        self._waiting: list[tuple[float, int, asyncio.Future[None]]] = []
        """A heap: due time in seconds, order of arrival, and what ends the wait."""
        self._arrivals = itertools.count()
        self._is_taken = False
        self.waiting_bytes = 0
        """Of the bodies that wait for the thread or are in it."""

    def has_room(self, body: bytes) -> bool:
        """Whether the body of a review may wait, too."""
        return self.waiting_bytes + len(body) <= MAX_WAITING_BYTES

    @contextlib.asynccontextmanager
    async def turn(self, body: bytes, *, cost: int) -> AsyncIterator[None]:
        """Wait for the turn, and keep it for as long as the context lasts. The cost is in parts."""
        self.waiting_bytes += len(body)
        try:
            if self._is_taken:
                await self._wait(cost)
            self._is_taken = True
            try:
                yield
            finally:
                self._pass_on()
        finally:
            self.waiting_bytes -= len(body)

    async def run(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """Call a function in the thread.

        A collection would look at everything in a large review, and no thread runs meanwhile.
        """

        def call() -> Result:
            gc.disable()
            try:
                return function(*arguments)
            finally:
                gc.enable()

        return await asyncio.get_running_loop().run_in_executor(self._thread, call)

    async def _wait(self, cost: int) -> None:
        turn = asyncio.get_running_loop().create_future()
        due = self._monotonic() + cost * WAITING_SECONDS
        heapq.heappush(self._waiting, (due, next(self._arrivals), turn))
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():
                # The turn came, and nobody is there to take it.
                self._pass_on()
            raise

    def _pass_on(self) -> None:
        """To the next one that still waits."""
        while self._waiting:
            turn = heapq.heappop(self._waiting)[-1]
            if not turn.done():
                turn.set_result(None)
                return
        self._is_taken = False
