"""What the reader sees: a fact is compared before it is printed."""

from __future__ import annotations

import shlex
import time
from typing import TextIO

import rich.console
import rich.text


class DemoError(Exception):
    """Something is not as the demo says: what it is, the seen and the wanted value."""

    def __init__(self, *, what: str, seen: object, wanted: object) -> None:
        super().__init__(f"{what}: seen {seen!r}, wanted {wanted!r}")


class Printer:
    """Prints plain lines into a pipe, with a little colour on a terminal."""

    def __init__(self, stream: TextIO) -> None:
        self._console = rich.console.Console(file=stream, highlight=False, soft_wrap=True)
        self._begun = time.monotonic()

    def step(self, number: int, title: str, explanation: str) -> None:
        """Begin a step."""
        seconds = f"{time.monotonic() - self._begun:.0f} s"
        self._line(f"\n{number}. {title}", style="bold", end="")
        self._line(f"  ({seconds})", style="dim")
        self.text(explanation)

    def text(self, text: str) -> None:
        """A sentence that says nothing about what has just happened."""
        self._line(f"   {text}")

    def command(self, *words: str) -> None:
        """The command that is run now, as one would type it."""
        self._line(f"   $ {shlex.join(words)}", style="cyan")

    def show(self, what: str, seen: object, wanted: object, *, text: str | None = None) -> None:
        """Print a fact that is as it should be (or the `text` that it was taken from).

        Raises DemoError otherwise.
        """
        if seen != wanted:
            raise DemoError(what=what, seen=seen, wanted=wanted)
        self._line("   ok  ", style="green", end="")
        self._line(f"{what}: {seen if text is None else text}")

    def _line(self, text: str, *, style: str = "", end: str = "\n") -> None:
        self._console.print(rich.text.Text(text, style=style), end=end)
