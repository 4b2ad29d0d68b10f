"""A reconcile loop: one step, repeated."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from sidecar_injector.kube import api, backoff, informer
from sidecar_injector.observability import logs

FIRST_PAUSE, LONGEST_PAUSE = 0.4, 5.0
"""Seconds between attempts while calls to the API fail."""
TICK_SECONDS: Final = 60.0
"""A step runs at least this often: after a machine was suspended, its timers are late."""

_log = logging.getLogger(__name__)


class Loop:
    """Repeats a step: when woken, at a tick, and with backoff while calls to the API fail."""

    def __init__(self, step: Callable[[], Awaitable[float]], *, what: str) -> None:
        self._step, self._what = step, what
        self._wake = asyncio.Event()
        self._backoff = backoff.Backoff(first=FIRST_PAUSE, longest=LONGEST_PAUSE)
        self._problem = ""

    def wake(self) -> None:
        """Run the next step now."""
        self._wake.set()

    async def run(self) -> None:
        """Run until cancelled. A step returns the seconds after which it should run again."""
        while True:
            self._wake.clear()
            pause = await self._run_step()
            try:
                async with asyncio.timeout(min(pause, TICK_SECONDS)):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def run_with(self, cache: informer.Informer) -> None:
        """Run the informer, and the steps once its first list is complete."""
        async with asyncio.TaskGroup() as group:
            group.create_task(cache.run())
            await cache.synced.wait()
            group.create_task(self.run())

    async def _run_step(self) -> float:
        try:
            pause = await self._step()
        except api.KubeError as error:
            if str(error) != self._problem:
                self._problem = str(error)
                _log.warning("%s: %s", self._what, error)
            pause = self._backoff.next(error)
            if not api.is_overload(error):
                return pause
            # Whatever wakes the loop meanwhile: the API server gets the pause that it asks for.
            await asyncio.sleep(pause)
            return 0.0
        except Exception as error:  # noqa: BLE001 - our own bug must not end the loop
            _log.exception("%s: a step failed", self._what, exc_info=logs.unquoted(error))
            return LONGEST_PAUSE
        if self._problem:
            _log.info("%s: well again", self._what)
        self._backoff.reset()
        self._problem = ""
        return pause
