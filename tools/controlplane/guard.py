"""Ends every process with its owner, whatever happens to the owner.

A guard is a process of its own at the other end of a pipe. Every process that is started through
it writes its number into that pipe before it becomes the wanted program, so the guard knows every
process. When the owner ends (even by SIGKILL) the kernel closes the pipe, and the guard kills the
process groups that are left, then removes their folders.
Linux's PR_SET_PDEATHSIG would be shorter, but it covers no grandchildren, fires when a *thread*
ends, and exists nowhere else: https://man7.org/linux/man-pages/man2/PR_SET_PDEATHSIG.2const.html
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable
from typing import IO, Final

ANNOUNCE: Final = 'echo "+$$" >&0 && exec "$@" </dev/null'
"""Shell: the pipe is its standard input, which the program does not get."""


class Guard:
    """The owner's end. Starting it starts the watching process, closing it ends all the others."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", __file__],
            stdin=subprocess.PIPE,
            # The owner's output may be a pipe, whose reader waits until every process closes it.
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            # The terminal's Ctrl-C is for the owner.
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        """The watching process."""
        return self._process.pid

    def popen(
        self,
        command: Iterable[str],
        *,
        output: IO[bytes],
        environment: dict[str, str] | None = None,
        folder: pathlib.Path | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start a program in a session of its own; its pid is the program's, not a wrapper's."""
        return subprocess.Popen(
            ["/bin/sh", "-c", ANNOUNCE, "sh", *command],
            stdin=self._pipe,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=environment,
            cwd=folder,
        )

    def forget(self, pid: int) -> None:
        """The process has ended: its number may soon belong to another one."""
        if not self._pipe.closed:
            self._tell(f"-{pid}")

    def discard(self, folder: pathlib.Path) -> None:
        """Remove this folder once everything is over."""
        self._tell(f"/{folder}")

    def close(self) -> None:
        """Kill what is left and return when it has been done."""
        self._pipe.close()
        self._process.wait()

    @property
    def _pipe(self) -> IO[bytes]:
        assert self._process.stdin is not None
        return self._process.stdin

    def _tell(self, line: str) -> None:
        # One write below PIPE_BUF: lines of the owner and of its children do not mix.
        self._pipe.write(line.encode() + b"\n")


def watch(lines: Iterable[bytes]) -> None:
    """The guard's process: remember what is announced, and clean up when the pipe has closed."""
    groups: set[int] = set()
    folders: list[str] = []
    for line in lines:
        mark, text = chr(line[0]), line[1:].decode().rstrip("\n")
        if mark == "+":
            groups.add(int(text))
        elif mark == "-":
            groups.discard(int(text))
        else:
            folders.append(text)

    for group in groups:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # Only the pipe decides: a signal to all processes must not end the guard first.
        signal.signal(number, signal.SIG_IGN)
    watch(sys.stdin.buffer)
