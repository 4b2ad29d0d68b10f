"""The machine: which cores are used for what, and what the figures were measured on."""

from __future__ import annotations

import os
import pathlib
import platform
import re
import shutil
from typing import Final

from benchmarks import errors

SERVER_CORE, CLIENT_CORE = 0, 1
RESULTS: Final = pathlib.Path(__file__).parents[1] / ".run" / "bench"


def folder() -> pathlib.Path:
    """Where results and logs of the comparators go; those of the last run are overwritten."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    return RESULTS


def require() -> None:
    """Raises MissingError if a program that makes or limits the load is missing."""
    for program, package in (("wrk", "wrk"), ("taskset", "util-linux")):
        if shutil.which(program) is None:
            remedy = f"install it, for instance by `apt install {package}`"
            raise errors.MissingError(program=program, remedy=remedy)


def _cores() -> tuple[int, ...]:
    """Those that this process may use."""
    return tuple(sorted(os.sched_getaffinity(0)))


def on_core(number: int) -> tuple[str, ...]:
    """The words before a command that keep it on one core, counted from those we may use.

    Before the program starts: Go counts the processors once, and a thread that runs already does
    not follow its process. On a machine with one core everything shares it.
    """
    return ("taskset", "--cpu-list", str(_cores()[number % len(_cores())]))


def pin(pid: int, number: int) -> None:
    """The same for a program that runs already, with all its threads."""
    core = _cores()[number % len(_cores())]
    for thread in pathlib.Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(thread.name), {core})


def description() -> str:
    """One line about the machine."""
    text = pathlib.Path("/proc/cpuinfo").read_text("utf-8")
    model = re.search(r"model name\s*: (.*)", text)
    name = model[1] if model else platform.machine()
    return (
        f"{name}, {len(_cores())} cores, Linux {platform.release()},"
        f" Python {platform.python_version()}"
    )
