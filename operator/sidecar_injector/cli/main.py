"""The command `sidecar-injector`, also `kubectl sidecar-injector`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from sidecar_injector import __version__, names
from sidecar_injector.cli.commands import (
    certificates,
    check,
    completion,
    convert,
    diff,
    explain,
    inject,
    lint,
    restart,
    run,
    status,
    uninject,
)

PLUGIN = "kubectl-sidecar_injector"
"""The file name by which kubectl finds its plugin `sidecar-injector`."""


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def cli() -> None:
    """Put sidecar containers into pods, and say why or why not.

    Exit status: 0 fine, 1 findings, 2 wrong usage or unreadable input.
    """


@cli.command()
def version() -> None:
    """Print the version of this program and of the API that it reads.

    Example: sidecar-injector version
    """
    click.echo(f"{names.PRODUCT} {__version__} ({names.API_VERSION})")


for verb in (
    certificates.certificates,
    check.check,
    completion.completion,
    convert.convert,
    diff.diff,
    explain.explain,
    inject.inject,
    lint.lint,
    restart.restart,
    run.run,
    status.status,
    uninject.uninject,
):
    cli.add_command(verb)


def main() -> None:
    """The entry point, under both of its names."""
    is_plugin = Path(sys.argv[0]).name == PLUGIN
    cli(prog_name=f"kubectl {names.PRODUCT}" if is_plugin else names.PRODUCT)
