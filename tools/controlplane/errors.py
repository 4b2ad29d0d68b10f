"""Errors of the environment; each is one line for people that names the remedy."""

from __future__ import annotations

import pathlib
import shlex
from collections.abc import Sequence


class ControlPlaneError(Exception):
    """The base of all errors of this package."""


class BuildError(ControlPlaneError):
    """A program could not be built or installed."""

    def __init__(self, *, name: str, reason: str, remedy: str) -> None:
        super().__init__(f"cannot build {name}: {reason}; {remedy}")


class MissingError(BuildError):
    """A program is not there, and is not built now."""

    def __init__(self, *, name: str, reason: str, remedy: str) -> None:
        ControlPlaneError.__init__(self, f"{name} is missing: {reason}; {remedy}")


class ProcessDiedError(ControlPlaneError):
    """A process ended that is still needed."""

    def __init__(self, *, name: str, status: int | None, log: pathlib.Path, tail: str) -> None:
        super().__init__(f"{name} ended with status {status}; the end of {log} is:\n{tail}")


class WaitError(ControlPlaneError):
    """Something did not happen in time."""

    def __init__(self, *, what: str, seconds: float, last: str) -> None:
        super().__init__(f"{what}: not within {seconds:g} s; last seen: {last}")


class CommandError(ControlPlaneError):
    """kubectl or helm ended with another status than 0."""

    def __init__(self, *, command: Sequence[str], status: int, stderr: str) -> None:
        super().__init__(f"{shlex.join(command)}: exit status {status}: {stderr.strip()}")


class ApiError(ControlPlaneError):
    """The API server answered with a failure."""

    def __init__(self, *, method: str, path: str, status: int, message: str) -> None:
        self.status, self.message = status, message
        super().__init__(f"{method} {path}: {status}: {message}")


class DeploymentError(ControlPlaneError):
    """An installed Deployment needs something that only a pod can have."""

    def __init__(self, *, deployment: str, field: str, value: object, accepted: str) -> None:
        super().__init__(f"Deployment {deployment}: {field} is {value!r}; accepted is {accepted}")
