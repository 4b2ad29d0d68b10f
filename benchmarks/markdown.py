"""Results as a Markdown page. Pure."""

from __future__ import annotations

import io
from collections.abc import Sequence

import rich.box
import rich.console
import rich.table

from benchmarks import stage

INTRODUCTION = """\
Written by `make bench`. The product is measured as it ships: installed by Helm on a real API
server, started by its own command with matching, checks of the merged pod, a JSON log to a file and
metrics on. The load goes straight to its port and replays the review that a real API server has
sent for a Deployment's pod. The comparators are in `benchmarks/comparators`, each a few dozen lines
that add the same sidecar: a Python server that does nothing else, an injector in the way of the
tutorial that this product grew out of, one on controller-runtime, and Kopf's own webhook server."""


def page(results: Sequence[stage.Result], *, conditions: str, picture: str | None) -> str:
    """Everything on one page: the promised figures first, then each part with its tables."""
    parts = ["# Benchmarks", INTRODUCTION, conditions, "## Promised figures"]
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
