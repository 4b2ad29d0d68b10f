"""Results as a Markdown page. Pure."""

from __future__ import annotations

import io
from collections.abc import Sequence

import rich.box
import rich.console
import rich.table

from benchmarks import stage


def page(results: Sequence[stage.Result], *, conditions: str, picture: str | None) -> str:
    """Everything on one page: the promised figures first, then each part with its tables."""
    parts = ["# Benchmarks", conditions, "## Promised figures"]
    promised = [f"- {figure}" for result in results for figure in result.figures]
    parts.append("\n".join(promised) if promised else "None of these parts has any.")
    if picture is not None:
        parts.append(f"![The figures below, drawn]({picture})")
    for result in results:
        parts += [f"## {result.title}", result.text, *map(table, result.tables)]
    return "\n\n".join(parts) + "\n"


def table(content: stage.Table) -> str:
    """In GitHub's dialect."""
    rows = [content.headings, ["---", *["---:"] * (len(content.headings) - 1)], *content.rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def plain(content: stage.Table) -> str:
    """For a terminal."""
    shown = rich.table.Table(box=rich.box.SIMPLE)
    for position, heading in enumerate(content.headings):
        shown.add_column(heading, justify="right" if position else "left", no_wrap=True)
    for row in content.rows:
        shown.add_row(*row)
    target = io.StringIO()
    rich.console.Console(file=target, width=160).print(shown)
    return "\n".join(line.rstrip() for line in target.getvalue().splitlines() if line.strip())
