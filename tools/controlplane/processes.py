"""One child process that can be started again, signalled and measured."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import subprocess
from collections.abc import Mapping, Sequence
from typing import Final

from tools.controlplane import errors, guard

TAIL_LINES: Final = 15


class Process:
    """A program with its log. After its end it may be started again, with the same log."""

    def __init__(
        self,
        *,
        name: str,
        command: Sequence[str],
        log: pathlib.Path,
        guard: guard.Guard,
        environment: Mapping[str, str] | None = None,
        folder: pathlib.Path | None = None,
    ) -> None:
        self.name, self.command, self.log = name, tuple(command), log
        self.environment = None if environment is None else dict(environment)
        self._folder = folder
        self._guard = guard
        self._child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; it must not be running."""
        assert not self.running, f"{self.name} is running"
        with self.log.open("ab") as output:
            self._child = self._guard.popen(
                self.command, output=output, environment=self.environment, folder=self._folder
            )

    @property
    def pid(self) -> int:
        """Of the program itself, also after it has ended."""
        assert self._child is not None, f"{self.name} was never started"
        return self._child.pid

    @property
    def running(self) -> bool:
        """Whether it has been started and has not ended (a frozen one runs)."""
        return self._child is not None and self.wait(seconds=0) is None

    def wait(self, *, seconds: float) -> int | None:
        """Its exit status (a signal is negative), or None if it still runs after so long."""
        assert self._child is not None, f"{self.name} was never started"
        if self._child.returncode is not None:
            return self._child.returncode
        try:
            status = self._child.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            return None
        self.signal(signal.SIGKILL)  # what it may have started itself
        self._guard.forget(self._child.pid)
        return status

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process and all its descendants; nothing if there are none."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            # macOS raises PermissionError for a group that has only zombies.
            os.killpg(self.pid, number)

    def terminate(self, *, seconds: float = 30) -> int | None:
        """Send SIGTERM, kill it if it has not ended after so long, and return its status."""
        self.thaw()
        self.signal(signal.SIGTERM)
        status = self.wait(seconds=seconds)
        return self.kill() if status is None else status

    def kill(self) -> int | None:
        """End it at once (SIGKILL), frozen or not; None if it was never started."""
        if self._child is None:
            return None
        if self.running:
            self.signal(signal.SIGKILL)
        status = self.wait(seconds=30)
        assert status is not None, f"{self.name} survived SIGKILL"
        return status

    def freeze(self) -> None:
        """Stop it (SIGSTOP): its sockets stay open and nothing answers on them."""
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Continue a frozen process."""
        if self.running:
            self.signal(signal.SIGCONT)

    def rss(self) -> int:
        """Bytes of resident memory."""
        statm = pathlib.Path(f"/proc/{self.pid}/statm")
        if statm.exists():  # Linux, where a slim image may have no ps
            return int(statm.read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
        kibibytes = subprocess.check_output(["/bin/ps", "-o", "rss=", "-p", str(self.pid)])
        return int(kibibytes) * 1024

    def cpu_seconds(self) -> float:
        """User and system time so far (Linux); that of children counts when they have ended."""
        # The name in parentheses may contain blanks:
        # https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
        text = pathlib.Path(f"/proc/{self.pid}/stat").read_text("ascii")
        fields = text.rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def require_running(self) -> None:
        """Raise ProcessDiedError with the end of the log if it has ended."""
        if not self.running:
            raise errors.ProcessDiedError(
                name=self.name, status=self.wait(seconds=0), log=self.log, tail=self.tail()
            )

    def tail(self, lines: int = TAIL_LINES) -> str:
        """The last lines of the log."""
        text = self.log.read_text("utf-8", errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])
