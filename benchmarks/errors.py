"""Errors that end a benchmark; each is one line for people."""

from __future__ import annotations


class BenchError(Exception):
    """The base of all errors of this package."""


class MissingError(BenchError):
    """A program or package is missing."""

    def __init__(self, *, program: str, remedy: str) -> None:
        super().__init__(f"{program} is needed and cannot be found: {remedy}")


class WrongAnswerError(BenchError):
    """A server has answered something else than it must: its figures would mean nothing."""

    def __init__(self, *, server: str, seen: object, wanted: object) -> None:
        super().__init__(f"{server}: answered {seen!r}, wanted {wanted!r}")
