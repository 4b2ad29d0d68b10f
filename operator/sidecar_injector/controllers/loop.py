"""A reconcile loop: one step, taken again and again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from sidecar_injector.kube import api

FIRST_PAUSE, LONGEST_PAUSE = 0.2, 5.0
"""Seconds between attempts while the API does not let us do what is due."""
TICK_SECONDS: Final = 60.0
"""The wall clock is looked at this often: timers run late after a machine was suspended."""

_log = logging.getLogger(__name__)


class Loop:
    """Runs a step again and again: when woken, at a tick, and with backoff while the API fails."""

    def __init__(self, step: Callable[[], Awaitable[float]], *, what: str) -> None:
        self._step, self._what = step, what
        self._wake = asyncio.Event()
        self._pause, self._complaint = FIRST_PAUSE, ""

    def wake(self) -> None:
        """Take the next step now."""
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled. The step returns after how many seconds it wants to be taken again."""
        while True:
            self._wake.clear()
            wait = await self._turn()
            try:
                async with asyncio.timeout(min(wait, TICK_SECONDS)):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _turn(self) -> float:
        try:
            wait = await self._step()
        except api.KubeError as error:
            if str(error) != self._complaint:
                self._complaint = str(error)
                _log.warning("%s: %s", self._what, error)
            self._pause = min(self._pause * 2, LONGEST_PAUSE)
            return self._pause
        except Exception:  # noqa: BLE001 - our own bug must not end the loop
            _log.exception("%s: a step failed", self._what)
            return LONGEST_PAUSE
        if self._complaint:
            _log.info("%s: well again", self._what)
        self._pause, self._complaint = FIRST_PAUSE, ""
        return wait
