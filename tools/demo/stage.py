"""One demo at a time in a checkout: its folder and its lock, and how it stays up and ends."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from typing import Final

from tools.controlplane import locks

RUN: Final = pathlib.Path(__file__).parents[2] / ".run"
FOLDER: Final = RUN / "demo"
KUBECONFIG: Final = FOLDER / "kubeconfig"
LOCK: Final = RUN / "demo.lock"
"""Locked by the process that owns the demo's processes; it contains that process's id."""
DOWN_SECONDS: Final = 240
"""On a cluster of somebody else, namespaces have to be deleted, which waits for containers."""
ENDING: Final = (signal.SIGINT, signal.SIGTERM)
_PAUSE: Final = 0.1


class StageTakenError(Exception):
    """A demo is up in this checkout."""

    def __init__(self, owner: int) -> None:
        own = f", KUBECONFIG={KUBECONFIG}" if KUBECONFIG.exists() else ""
        super().__init__(f"a demo is up already (process {owner}{own}); `make down` ends it")


@contextlib.contextmanager
def taken() -> Iterator[None]:
    """Lock the stage, with an empty folder. Raises StageTakenError if another process has it."""
    RUN.mkdir(exist_ok=True)
    with LOCK.open("a+", encoding="ascii") as file:
        if not locks.take(file):
            raise StageTakenError(_owner())
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        shutil.rmtree(FOLDER, ignore_errors=True)
        yield


def down() -> bool:
    """End the demo that is up and return when it is gone; False if there is none."""
    if not LOCK.exists():
        return False
    with LOCK.open("a+", encoding="ascii") as file:
        if locks.take(file):
            return False
        # The file is locked, so the number in it is that of a living process of ours.
        owner = _owner()
        os.kill(owner, signal.SIGTERM)
        end = time.monotonic() + DOWN_SECONDS
        while not locks.take(file):
            if time.monotonic() > end:
                os.kill(owner, signal.SIGKILL)  # its guard ends the rest
                end = float("inf")
            time.sleep(_PAUSE)
    return True


def run_and_stay(play: Callable[[Callable[[], None]], int]) -> int:
    """Run `play` in a child process that may stay when this one returns its exit status.

    `play` gets a function to call when all went well: it lets this process return 0 and then
    blocks, detached from the terminal, until the child gets SIGTERM.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        status = play(lambda: _stay(writing))
        sys.stdout.flush()
        os._exit(status)
    os.close(writing)
    # Ctrl-C reaches the child as well, which ends what it has started; we wait for that.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with os.fdopen(reading, "rb") as pipe:
        if pipe.read():
            return 0
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _stay(writing: int) -> None:
    # The wake-up descriptor works whichever thread the signal is delivered to.
    woken, waker = os.pipe()
    os.set_blocking(waker, False)
    signal.set_wakeup_fd(waker)
    signal.signal(signal.SIGTERM, lambda *_: None)
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    os.write(writing, b"up")
    os.close(writing)
    os.read(woken, 1)


def _owner() -> int:
    return int(LOCK.read_text("ascii"))
