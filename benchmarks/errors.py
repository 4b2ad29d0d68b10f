"""What ends a benchmark, as one line for people."""

from __future__ import annotations


class BenchError(Exception):
    """The root of what this package raises on purpose."""


class MissingError(BenchError):
    """A program or package that is needed is not there."""

    def __init__(self, *, program: str, remedy: str) -> None:
        self.program = program
        super().__init__(f"{program} is needed and cannot be found: {remedy}")


class WrongAnswerError(BenchError):
    """A server did not answer as it must: its figures would mean nothing."""

    def __init__(self, *, server: str, seen: object, wanted: object) -> None:
        self.server, self.seen, self.wanted = server, seen, wanted
        super().__init__(f"{server}: answered {seen!r}, wanted {wanted!r}")
