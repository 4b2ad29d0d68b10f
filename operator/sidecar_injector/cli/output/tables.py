"""How verbs print: tables and colours on a terminal, plain text in a pipe, JSON and YAML."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from sidecar_injector.cli import options
from sidecar_injector.cli.input import yaml_documents
from sidecar_injector.core.reasons import Level, Reason
from sidecar_injector.observability import logs

if TYPE_CHECKING:
    import rich.console

Row = Sequence[str]

PASSED, GOOD, NEUTRAL, BAD = "dim", "green", "yellow", "red"
_STYLES: Mapping[Level, str] = {
    Level.SCOPE: NEUTRAL,
    Level.MATCH: NEUTRAL,
    Level.FIT: BAD,
    Level.DONE: GOOD,
    Level.ANNOTATION: NEUTRAL,
}


def console(*, stderr: bool = False) -> rich.console.Console:
    """Standard output or error; with NO_COLOR it writes no escape code of any kind.

    rich by itself still writes bold and dim.
    """
    # Rich takes as long to import as a verb on files may take to start.
    import rich.console  # noqa: PLC0415

    return rich.console.Console(
        color_system=None if os.environ.get("NO_COLOR") else "auto", stderr=stderr
    )


def write(text: str) -> None:
    """Writes text to stdout as UTF-8, which kubectl reads, in any locale of the terminal."""
    sys.stdout.buffer.write(text.encode())
    sys.stdout.buffer.flush()


def structured(value: Any, *, form: str) -> None:
    """Writes the value for programs; `form` is a value of `-o`."""
    if form == options.JSON:
        write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")
    else:
        write(yaml_documents.dump_all([value]))


def table(
    columns: Row, rows: Sequence[Row], *, styles: Mapping[str, str], to: rich.console.Console
) -> None:
    """Writes rows under headings: folded and coloured on a terminal, whole lines in a pipe.

    `styles` has the colours of cells by their text.
    """
    clean = [[logs.one_line(cell) for cell in row] for row in rows]
    if not to.is_terminal:
        write(_plain([list(columns), *clean]))
        return
    import rich.table  # noqa: PLC0415
    import rich.text  # noqa: PLC0415

    # Without lines: people copy from the terminal.
    grid = rich.table.Table(*columns, box=None, pad_edge=False, header_style="bold")
    for column in grid.columns:
        column.overflow = "fold"
    for row in clean:
        # As Text: rich would read brackets in a string as styles.
        grid.add_row(*(rich.text.Text(cell, style=styles.get(cell, "")) for cell in row))
    to.print(grid, highlight=False)


def heading(text: str, *, to: rich.console.Console) -> None:
    """Writes a line above a table."""
    line = logs.one_line(text)
    if to.is_terminal:
        import rich.text  # noqa: PLC0415

        to.print(rich.text.Text(line, style="bold"), soft_wrap=True)
    else:
        write(f"{line}\n")


def notes(texts: Sequence[str]) -> None:
    """Writes each note once, in a line of stderr."""
    for text in dict.fromkeys(texts):
        click.echo(f"note: {logs.one_line(text)}", err=True)


def style(reason: Reason) -> str:
    """The colour of a reason."""
    return _STYLES[reason.level]


def _plain(rows: Sequence[Row]) -> str:
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    padded = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    )
    return "".join(f"{line.rstrip()}\n" for line in padded)
