"""How verbs print: tables and colours on a terminal, plain text in a pipe, JSON and YAML."""

from __future__ import annotations

import itertools
import json
import os
import sys
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import click

from sidecar_injector.cli import options
from sidecar_injector.cli.input import yaml_documents
from sidecar_injector.core.reasons import Level, Reason
from sidecar_injector.observability import logs

if TYPE_CHECKING:
    import rich.console

Row = Sequence[str]

GAP, BELOW = "  ", "    "
NARROWEST: Final = 24
"""Columns of a terminal in which sentences can be read; a narrower one wraps lines itself."""

PASSED, GOOD, NEUTRAL, BAD = "dim", "green", "yellow", "red"
_STYLES: Mapping[Level, str] = {
    Level.SCOPE: NEUTRAL,
    Level.MATCH: NEUTRAL,
    Level.FIT: BAD,
    Level.DONE: GOOD,
    Level.DRY_RUN: NEUTRAL,
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
    columns: Row,
    rows: Sequence[Row | str],
    *,
    styles: Mapping[str, str],
    to: rich.console.Console,
) -> None:
    """Writes rows under headings. A text among the rows is a line below the row before it.

    On a terminal the last column is wrapped between words, and is below its row where there is no
    room beside it; so is each other column that has no room, after its heading. A text is never
    wrapped, so that a command in it can be copied; in a pipe nothing is. A column without values is
    left out. `styles` has the colours of cells by their text.
    """
    values = [row for row in rows if not isinstance(row, str)]
    kept = [
        index for index in range(len(columns)) if not index or any(row[index] for row in values)
    ]
    headings = [columns[index] for index in kept]
    clean = [
        logs.one_line(row) if isinstance(row, str) else [logs.one_line(row[i]) for i in kept]
        for row in rows
    ]
    cells = [headings, *(row for row in clean if not isinstance(row, str))]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    if not to.is_terminal:
        texts = [f"  {row}" if isinstance(row, str) else _line(row, widths) for row in clean]
        write("".join(f"{text.rstrip()}\n" for text in (_line(headings, widths), *texts)))
        return
    _print_table(headings, clean, widths, styles=styles, to=to)


def _print_table(
    headings: Row,
    rows: Sequence[Row | str],
    widths: Sequence[int],
    *,
    styles: Mapping[str, str],
    to: rich.console.Console,
) -> None:
    """Writes a table on a terminal: what has no room beside the first columns is below them."""
    ends = list(itertools.accumulate(width + len(GAP) for width in widths))
    last = len(widths) - 1
    beside = max(1, sum(end - len(GAP) <= to.width for end in ends[:last]))
    indent = ends[last - 1] if last else 0
    is_below = last > 0 and (
        beside < last or to.width - indent < min(NARROWEST, max(widths[last], 1))
    )
    is_headed = beside >= last and indent + len(headings[last]) <= to.width
    kept = last + 1 if is_headed else beside
    if is_below:
        indent = len(BELOW)
    _print(_line(headings[:kept], widths[:kept]), to, "bold")
    for row in rows:
        if isinstance(row, str):
            _print(f"  {row}", to)
            continue
        moved = ", ".join(
            f"{heading} {cell}"
            for heading, cell in zip(headings[kept:last], row[kept:last], strict=True)
            if cell
        )
        lines = _wrapped(row[last], to.width - indent)
        first = "" if is_below else lines.pop(0)
        _print_cells([*row[:last], first][:kept], widths[:kept], styles=styles, to=to)
        for line in filter(None, (*_wrapped(moved, to.width - indent), *lines)):
            _print(f"{' ' * indent}{line}", to)


def _wrapped(text: str, width: int) -> list[str]:
    """Lines between words; a word is never broken."""
    return textwrap.wrap(
        text, max(width, NARROWEST), break_long_words=False, break_on_hyphens=False
    ) or [""]  # fmt: skip


def _line(row: Row, widths: Sequence[int]) -> str:
    return GAP.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))


def _print_cells(
    row: Row, widths: Sequence[int], *, styles: Mapping[str, str], to: rich.console.Console
) -> None:
    import rich.text  # noqa: PLC0415

    line = rich.text.Text()
    for cell, width in zip(row, widths, strict=True):
        # As Text: rich would read brackets in a string as styles.
        line.append(cell, style=styles.get(cell, "")).append(" " * (width - len(cell)) + GAP)
    line.rstrip()
    to.print(line, soft_wrap=True, highlight=False)


def _print(text: str, to: rich.console.Console, style: str = "") -> None:
    import rich.text  # noqa: PLC0415

    to.print(rich.text.Text(text.rstrip(), style=style), soft_wrap=True, highlight=False)


def heading(text: str, *, to: rich.console.Console) -> None:
    """Writes a line above a table."""
    line = logs.one_line(text)
    if to.is_terminal:
        _print(line, to, "bold")
    else:
        write(f"{line}\n")


def remedy(text: object) -> str:
    """A line that says what to do."""
    return logs.one_line(f"→ {text}")


def notes(texts: Sequence[str]) -> None:
    """Writes each note once, in a line of stderr."""
    for text in dict.fromkeys(texts):
        click.echo(f"note: {logs.one_line(text)}", err=True)


def style(reason: Reason) -> str:
    """The colour of a reason."""
    return _STYLES[reason.level]
