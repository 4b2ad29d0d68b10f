"""The packages of the extra `operator`, without which most verbs work."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Final

import click

from sidecar_injector import names

PACKAGES: Final = frozenset({"cryptography", "httptools", "kopf", "prometheus_client", "uvloop"})
"""As they are imported; the extra has no others."""
INSTALL: Final = f"pip install '{names.PRODUCT}[operator]'"
CERTIFICATES: Final = "reading certificates"


class MissingPackageError(click.ClickException):
    """A package of the extra is not installed: one line that says what installs it; status 2."""

    exit_code = 2

    def __init__(self, *, purpose: str, package: str) -> None:
        self.reason = f"{purpose} needs the package {package}, which is not installed"
        super().__init__(f"{self.reason}: {INSTALL}")


@contextlib.contextmanager
def needed(purpose: str) -> Iterator[None]:
    """Around imports: raises MissingPackageError where one of our packages is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in PACKAGES:
            raise
        raise MissingPackageError(purpose=purpose, package=package) from error
