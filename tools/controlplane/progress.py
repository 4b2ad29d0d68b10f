"""Progress for people who wait: in place on a terminal, now and then in a pipe."""

from __future__ import annotations

import time
from typing import Final, TextIO

PIPE_SECONDS: Final = 30
"""Between two lines in a pipe (a CI log): longer silence looks like a hang."""
TERMINAL_SECONDS: Final = 1
WIDTH: Final = 110


class Progress:
    """Lines about one long task at a time."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._interactive = stream.isatty()
        self._begun = self._last = time.monotonic()

    @property
    def elapsed(self) -> float:
        """Seconds since `begin`."""
        return time.monotonic() - self._begun

    def say(self, text: str) -> None:
        """One whole line."""
        clear = "\r\x1b[K" if self._interactive else ""
        print(f"{clear}{text}", file=self._stream, flush=True)

    def begin(self, text: str) -> None:
        """Announce a task and start its clock."""
        self._begun = self._last = time.monotonic()
        self.say(text)

    def tick(self, text: str) -> None:
        """The task continues; a line is printed now and then only."""
        pause = TERMINAL_SECONDS if self._interactive else PIPE_SECONDS
        if time.monotonic() - self._last < pause:
            return
        self._last = time.monotonic()
        line = f"  {minutes(self.elapsed)}  {text}"
        if self._interactive:
            print(f"\r\x1b[K{line[:WIDTH]}", end="", file=self._stream, flush=True)
        else:
            self.say(line)


def minutes(seconds: float) -> str:
    """`3:07`."""
    whole = int(seconds)
    return f"{whole // 60}:{whole % 60:02d}"
