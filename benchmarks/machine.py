"""The machine: which cores are used for what, what a process has cost, what else was going on."""

from __future__ import annotations

import os
import pathlib
import platform
import re
import shutil
import time

from benchmarks import errors

SERVER_CORE, CLIENT_CORE = 0, 1
_TICK = os.sysconf("SC_CLK_TCK")


def require() -> None:
    """Raises MissingError where the programs that make and bound the load are not there."""
    for program, package in (("wrk", "wrk"), ("taskset", "util-linux")):
        if shutil.which(program) is None:
            remedy = f"install it, for instance by `apt install {package}`"
            raise errors.MissingError(program=program, remedy=remedy)


def cores() -> tuple[int, ...]:
    """Those that we may use."""
    return tuple(sorted(os.sched_getaffinity(0)))


def on_core(number: int) -> tuple[str, ...]:
    """What stands in front of a command to keep it on one core, counted from those we may use.

    Before the program starts: Go counts the processors once, and a thread that runs already does
    not follow its process. On a machine with one core everything shares it.
    """
    allowed = cores()
    return ("taskset", "--cpu-list", str(allowed[number % len(allowed)]))


def pin(pid: int, number: int) -> None:
    """The same for a program that was started already, with all its threads."""
    allowed = cores()
    for thread in pathlib.Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(thread.name), {allowed[number % len(allowed)]})


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far; its children count once they have ended."""
    # The name in parentheses may hold blanks: https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


def description() -> str:
    """One line about what the figures were taken on."""
    text = pathlib.Path("/proc/cpuinfo").read_text("utf-8")
    model = re.search(r"model name\s*: (.*)", text)
    name = model[1] if model else platform.machine()
    return (
        f"{name}, {len(cores())} cores, Linux {platform.release()},"
        f" Python {platform.python_version()}"
    )


def load_average() -> float:
    """Of the last minute, our own work included: how busy the machine was with other things."""
    return os.getloadavg()[0]


def busy_share(pid: int, *, seconds: float) -> float:
    """Watch a process for so long: which share of a core it has used."""
    before = cpu_seconds(pid)
    time.sleep(seconds)
    return (cpu_seconds(pid) - before) / seconds
