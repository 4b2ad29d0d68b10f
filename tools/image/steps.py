"""Runs a build's commands one by one: a log for each, a line of progress, an error of one line."""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from tools.controlplane import errors, guard, locks, processes, progress

_POLL_SECONDS: Final = 0.2
_REMEDIES: Final = (
    (
        re.compile(r"no space left on device|not enough free space", re.IGNORECASE),
        "free some gigabytes, or set XDG_CACHE_HOME to a larger disk",
    ),
    (
        re.compile(
            r"could not resolve|temporary failure|could not connect|failed to fetch"
            r"|failed to establish|no matching distribution|name resolution|timed out",
            re.IGNORECASE,
        ),
        "check the network, and the proxy settings of apt and pip",
    ),
)


class Steps:
    """The commands of one build, in one folder."""

    def __init__(
        self,
        *,
        folder: pathlib.Path,
        goal: str,
        environment: Mapping[str, str],
        report: progress.Progress,
        watcher: guard.Guard,
    ) -> None:
        """`goal` is what the errors say could not be built."""
        self.folder, self.goal, self.environment, self.report = folder, goal, environment, report
        self._watcher = watcher

    def run(self, command: Sequence[str], *, name: str) -> str:
        """The output, standard error included. Raises BuildError if the command fails."""
        log = self.folder / f"{name}.log"
        log.unlink(missing_ok=True)
        process = processes.Process(
            name=name,
            command=command,
            log=log,
            guard=self._watcher,
            environment=self.environment,
            folder=self.folder,
        )
        process.start()
        while (status := process.wait(seconds=_POLL_SECONDS)) is None:
            self.report.tick(f"{name}: {process.tail(lines=1)}")
        if status != 0:
            raise failure(self.goal, log=log)
        return log.read_text("utf-8", errors="replace")


@contextlib.contextmanager
def taken(
    folder: pathlib.Path, *, goal: str, environment: Mapping[str, str], report: progress.Progress
) -> Iterator[Steps]:
    """A new folder for one build at a time; a second build waits. It stays only after a failure."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (
        locks.building(folder.with_suffix(".lock"), report=report),
        contextlib.closing(guard.Guard()) as watcher,
    ):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        yield Steps(
            folder=folder, goal=goal, environment=environment, report=report, watcher=watcher
        )
        shutil.rmtree(folder)


def require_root(goal: str) -> None:
    """Raise BuildError unless we are root, which chroot and the owners of files need."""
    if os.geteuid() != 0:
        raise errors.BuildError(
            name=goal,
            reason="it is made in a chroot, which takes root",
            remedy="run the same as root, or use `docker build .` on a machine with Docker",
        )


def require_space(goal: str, *, folder: pathlib.Path, mebibytes: int) -> None:
    """Raise BuildError if the folder's disk has less free space."""
    free = shutil.disk_usage(folder).free // 1024**2
    if free < mebibytes:
        raise errors.BuildError(
            name=goal,
            reason=f"{free} MiB are free on the disk of {folder}, it takes {mebibytes} MiB",
            remedy="free some, or set XDG_CACHE_HOME to a larger disk",
        )


def failure(goal: str, *, log: pathlib.Path) -> errors.BuildError:
    """What a log means, by its text: the exit status is always 1 or 100."""
    lines = [line.strip() for line in log.read_text("utf-8", errors="replace").splitlines()]
    for pattern, remedy in _REMEDIES:
        for line in lines:
            if pattern.search(line):
                return errors.BuildError(name=goal, reason=line, remedy=remedy)
    lines = [line for line in lines if re.match(r"(e|error)\b", line, re.IGNORECASE)] or lines
    last = lines[-1] if lines else "no output"
    return errors.BuildError(name=goal, reason=last, remedy=f"all of it is in {log}")
