"""Pauses of the garbage collector, kept short.

A full collection looks at every object of the process. With all that Kopf imports, and the caches
of a large cluster, that takes 30-100 ms, in which no pod is answered. But what has survived one is
there to stay: set aside, it is never looked at again, and goes when nothing refers to it any more,
as nearly everything does. Only circles among objects that were set aside are never collected; a
replaced cache entry is none.
"""

from __future__ import annotations

import ctypes
import gc
import time
from typing import Final

FULL: Final = 2
"""The generation whose collection is a full one."""
LONG_SECONDS: Final = 0.002
"""A full collection that takes longer sets aside what it has left."""
FULL_AFTER: Final = 2
"""Middle collections until a full one is due; Python waits for ten, which leaves it five times as
much to look at. Full ones are cheap here, as most is set aside."""


class Collector:
    """Sets aside what has come to stay, from `begin` to `end`."""

    def __init__(self) -> None:
        self._began = 0.0
        self._thresholds = gc.get_threshold()

    def begin(self) -> None:
        """Everything that is there now has come to stay; what starting took is given back."""
        gc.collect()
        gc.freeze()
        # A full collection waits until there is a quarter more than the last one has left, to be
        # worth its while: of all that there was that would be much, and take long in its turn.
        # https://github.com/python/cpython/blob/3.11/Modules/gcmodule.c (long_lived_total)
        gc.collect()
        gc.set_threshold(*self._thresholds[:FULL], FULL_AFTER)
        if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):  # Of glibc, not of musl.
            trim(0)
        gc.callbacks.append(self._told)

    def end(self) -> None:
        """Leave the collector as it was, if it has begun."""
        if self._told in gc.callbacks:
            gc.callbacks.remove(self._told)
            gc.set_threshold(*self._thresholds)
            gc.unfreeze()

    def _told(self, phase: str, about: dict[str, int]) -> None:
        if about["generation"] < FULL:
            return
        if phase == "start":
            self._began = time.perf_counter()
        elif time.perf_counter() - self._began > LONG_SECONDS:
            gc.freeze()
