"""The plots of a run as one picture."""

from __future__ import annotations

import importlib
import pathlib
from collections.abc import Sequence
from typing import Any, Final

from benchmarks import errors, figures, stage

COLUMNS: Final = 2
PANEL_INCHES: Final = (6.4, 3.6)
DOTS: Final = 110
COLOURS: Final = ("#1f6f8b", "#d1603d", "#7a8b3a")


def draw(plots: Sequence[stage.Plot], target: pathlib.Path) -> None:
    """A panel each, as PNG."""
    # By name: it comes with the extra `bench`, which those who check types or test do not have.
    try:
        figure: Any = importlib.import_module("matplotlib.figure")
    except ModuleNotFoundError as error:
        raise errors.MissingError(program="matplotlib", remedy="use `make bench`") from error
    rows = -(-len(plots) // COLUMNS)
    size = (PANEL_INCHES[0] * COLUMNS, PANEL_INCHES[1] * rows)
    picture = figure.Figure(figsize=size, layout="constrained")
    panels = picture.subplots(rows, COLUMNS, squeeze=False).flat
    for panel, plot in zip(panels, plots, strict=False):
        _panel(panel, plot)
    for panel in list(picture.axes)[len(plots) :]:
        panel.set_axis_off()
    picture.savefig(target, dpi=DOTS)


def _panel(panel: Any, plot: stage.Plot) -> None:
    panel.set_title(plot.title, loc="left", fontsize=11)
    panel.set_ylabel(plot.y_title)
    panel.spines[["top", "right"]].set_visible(False)
    if plot.labels:
        (line,) = plot.lines
        bars = panel.barh(range(len(line.y)), list(line.y), color=COLOURS[0])
        panel.bar_label(bars, [figures.number(value) for value in line.y], padding=3)
        panel.set_yticks(range(len(plot.labels)), list(plot.labels))
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
