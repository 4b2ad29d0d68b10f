"""Locks between processes that share a folder; the kernel releases them when a process ends."""

from __future__ import annotations

import contextlib
import fcntl
import pathlib
import time
from collections.abc import Iterator
from typing import IO, Any, Final

from tools.controlplane import progress

_POLL_SECONDS: Final = 0.5


def take(file: IO[Any]) -> bool:
    """Lock an open file for as long as it is open; False if another process has it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextlib.contextmanager
def building(path: pathlib.Path, *, report: progress.Progress) -> Iterator[None]:
    """One process builds here; another one says so and waits."""
    with path.open("w") as file:
        if not take(file):
            report.begin(f"another run is building here; waiting for it ({path})")
            while not take(file):
                report.tick("waiting for the other run's build")
                time.sleep(_POLL_SECONDS)
        yield
