"""Writes docs/cli.md, the manual of the command line, from the commands' own help.

Run `python -m tools.cli_docs` after a change of a command; a test compares.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from sidecar_injector import names
from sidecar_injector.cli import main
from tools import pages

PAGE = Path(__file__).parent.parent / "docs" / "cli.md"
WIDTH = 100
"""Columns, on every terminal."""

_HEAD = f"""\
# The command line

`{names.PRODUCT}`, or `kubectl {names.PRODUCT}`, in its own words: this page is made of what `-h`
prints, by `python -m tools.cli_docs`. Rights, and what is printed for programs:
[cli-on-a-cluster.md](cli-on-a-cluster.md).
"""


def text() -> str:
    """The whole page."""
    return "\n".join((_HEAD, *_sections(main.cli, None, name=names.PRODUCT)))


def _sections(command: click.Command, parent: click.Context | None, *, name: str) -> Iterator[str]:
    context = click.Context(
        command, parent=parent, info_name=name, terminal_width=WIDTH, **command.context_settings
    )
    yield f"## {context.command_path}\n\n```text\n{command.get_help(context)}\n```\n"
    if isinstance(command, click.Group):
        for sub in sorted(command.commands):
            yield from _sections(command.commands[sub], context, name=sub)


if __name__ == "__main__":
    pages.write(PAGE, text())
