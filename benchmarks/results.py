"""What a part of a run has found: figures with their targets, tables and plots, and their page."""

from __future__ import annotations

import dataclasses
import importlib
import io
import math
import pathlib
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import rich.box
import rich.console
import rich.table

from benchmarks import errors

INTRODUCTION: Final = """\
Written by `make bench`. The product is measured as it ships: installed by Helm on a real API
server, started by its own command with matching, checks of the merged pod, a JSON log to a file and
metrics on. The load goes straight to its port and replays the review that a real API server has
sent for a Deployment's pod. The comparators are in `benchmarks/comparators`, each a few dozen lines
that add the same sidecar: a Python server that does nothing else, an injector in the way of the
tutorial that this product grew out of, one on controller-runtime, and Kopf's own webhook server."""
COLUMNS: Final = 2
COLOURS: Final = ("#1f6f8b", "#d1603d", "#7a8b3a")


@dataclasses.dataclass(frozen=True, slots=True)
class Spread:
    """The median of some runs, with the least and the most of them."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """At least one value."""
        ordered = sorted(values)
        return cls(statistics.median(ordered), ordered[0], ordered[-1])

    def __str__(self) -> str:
        if self.least == self.most:
            return number(self.median)
        return f"{number(self.median)} ({number(self.least)}–{number(self.most)})"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """One promise: the measured value, and what it must not fall below or exceed."""

    name: str
    value: float
    unit: str = ""
    least: float | None = None
    most: float | None = None
    note: str = ""

    @property
    def ok(self) -> bool:
        """Whether the value keeps within its target."""
        above = self.least is None or self.value >= self.least
        return above and (self.most is None or self.value <= self.most)

    def __str__(self) -> str:
        target = f"≥ {number(self.least)}" if self.least is not None else ""
        target = f"≤ {number(self.most)}" if self.most is not None else target
        unit = f" {self.unit}" if self.unit else ""
        note = f"; {self.note}" if self.note else ""
        verdict = "ok" if self.ok else "short"
        return f"{self.name}: {number(self.value)}{unit} (target {target}{unit}{note}) {verdict}"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """Rows of text, and a heading for each column."""

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """A line of a plot: `x` against `y`; for bars, only `y`."""

    label: str = ""
    x: Sequence[float] = ()
    y: Sequence[float]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Plot:
    """One panel: lines, or one bar for each of `bars`."""

    title: str
    x_title: str = ""
    y_title: str
    lines: Sequence[Line]
    bars: Sequence[str] = ()
    logarithmic: bool = False
    """The x axis."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """What a part has found."""

    title: str
    text: str
    tables: Sequence[Table] = ()
    figures: Sequence[Figure] = ()
    plots: Sequence[Plot] = ()


def number(value: float) -> str:
    """Three significant digits."""
    if math.isinf(value):
        return "∞"
    if abs(value) >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of all do not exceed."""
    return sorted(values)[max(0, math.ceil(len(values) * share) - 1)]


def page(results: Sequence[Result], *, conditions: str, picture: str | None) -> str:
    """Everything as Markdown: the promised figures first, then each part with its tables."""
    parts = ["# Benchmarks", INTRODUCTION, conditions, "## Promised figures"]
    promised = [f"- {figure}" for result in results for figure in result.figures]
    parts.append("\n".join(promised) if promised else "None of these parts has any.")
    if picture is not None:
        parts.append(f"![The figures below, drawn]({picture})")
    for result in results:
        parts += [f"## {result.title}", result.text, *map(_markdown, result.tables)]
    return "\n\n".join(parts) + "\n"


def _markdown(table: Table) -> str:
    rows = [table.headings, ["---", *["---:"] * (len(table.headings) - 1)], *table.rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def plain(table: Table) -> str:
    """For a terminal."""
    printed = rich.table.Table(box=rich.box.SIMPLE)
    for position, heading in enumerate(table.headings):
        printed.add_column(heading, justify="right" if position else "left", no_wrap=True)
    for row in table.rows:
        printed.add_row(*row)
    target = io.StringIO()
    rich.console.Console(file=target, width=160).print(printed)
    return "\n".join(line.rstrip() for line in target.getvalue().splitlines() if line.strip())


def draw(plots: Sequence[Plot], target: pathlib.Path) -> None:
    """All plots as one PNG."""
    panels = figure(len(plots), panel=(6.4, 3.6))
    for panel, plot in zip(panels.axes, plots, strict=False):
        _panel(panel, plot)
    for panel in list(panels.axes)[len(plots) :]:
        panel.set_axis_off()
    panels.savefig(target, dpi=110)


def figure(count: int, *, panel: tuple[float, float], remedy: str = "use `make bench`") -> Any:
    """A matplotlib figure with room for so many panels; `panel` has inches."""
    # By name: it comes with the extra `bench`, which type checks and tests do not have.
    try:
        module: Any = importlib.import_module("matplotlib.figure")
    except ModuleNotFoundError as error:
        raise errors.MissingError(program="matplotlib", remedy=remedy) from error
    rows = -(-count // COLUMNS)
    whole = module.Figure(figsize=(panel[0] * COLUMNS, panel[1] * rows), layout="constrained")
    whole.subplots(rows, COLUMNS, squeeze=False)
    for axes in whole.axes:
        axes.spines[["top", "right"]].set_visible(False)
    return whole


def _panel(panel: Any, plot: Plot) -> None:
    panel.set_title(plot.title, loc="left", fontsize=11)
    panel.set_ylabel(plot.y_title)
    if plot.bars:
        (line,) = plot.lines
        bars = panel.barh(range(len(line.y)), list(line.y), color=COLOURS[0])
        panel.bar_label(bars, [number(value) for value in line.y], padding=3)
        panel.set_yticks(range(len(plot.bars)), list(plot.bars))
        panel.invert_yaxis()
        panel.set(xlabel=plot.y_title, ylabel="")
        panel.margins(x=0.15)
        return
    for line, colour in zip(plot.lines, COLOURS, strict=False):
        panel.plot(list(line.x), list(line.y), "o-", color=colour, label=line.label or None)
    panel.set_xlabel(plot.x_title)
    if plot.logarithmic:
        panel.set_xscale("log")
        panel.xaxis.set_major_formatter("{x:,g}")
    panel.set_ylim(0, 1.1 * max(y for line in plot.lines for y in line.y))
    if len(plot.lines) > 1:
        panel.legend(frameon=False)


def bars(title: str, unit: str, values: Mapping[str, float]) -> Plot:
    """A bar for each value."""
    return Plot(title=title, y_title=unit, bars=list(values), lines=[Line(y=[*values.values()])])
