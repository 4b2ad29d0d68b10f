"""`version`: of this program and of the API that it reads."""

from __future__ import annotations

import click

from sidecar_injector import __version__, names


@click.command()
def version() -> None:
    """Print the version of this program and of the API that it reads.

    Example: sidecar-injector version
    """
    click.echo(f"{names.PRODUCT} {__version__} ({names.API_VERSION})")
