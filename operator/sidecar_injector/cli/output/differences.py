"""Unified diffs, coloured on a terminal."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from sidecar_injector.cli.output import tables
from sidecar_injector.observability import logs

if TYPE_CHECKING:
    import rich.console

STYLES: Mapping[str, str] = {"---": "bold", "+++": "bold", "@@ ": "cyan", "-": "red", "+": "green"}
"""By the start of a line; the first that matches."""


def unified(before: str, after: str, before_name: str, after_name: str) -> Iterator[str]:
    """The lines of a diff of two texts; nothing where they are the same."""
    lines = before.splitlines(), after.splitlines()
    return difflib.unified_diff(*lines, before_name, after_name, lineterm="")


def write(lines: Iterable[str], *, to: rich.console.Console) -> None:
    """Writes the lines of a diff, which may be of texts that somebody else has written."""
    lines = [logs.one_line(line) for line in lines]
    if not to.is_terminal:
        tables.write("".join(f"{line}\n" for line in lines))
        return
    import rich.text  # noqa: PLC0415 - for terminals alone

    for line in lines:
        style = next((style for start, style in STYLES.items() if line.startswith(start)), "")
        to.print(rich.text.Text(line, style=style), soft_wrap=True)
