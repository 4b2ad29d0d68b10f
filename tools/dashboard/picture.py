"""Some panels of the dashboard as one picture, drawn from what Prometheus answers."""

from __future__ import annotations

import importlib
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from tools.controlplane import errors
from tools.dashboard import panels, recording

FILE: Final = pathlib.Path(__file__).parents[2] / "docs" / "dashboard.png"
SHOWN: Final = (
    "Pods by result",
    "Reasons",
    "Time of an answer",
    "Time as the API server sees it",
    "Lateness of the event loop",
    "Pods by their sidecars",
    "Memory",
    "CPU",
)
COLUMNS: Final = 2
PANEL_INCHES: Final = (6.0, 2.5)
DOTS: Final = 75
SCALES: Final[Mapping[str, tuple[float, str]]] = {
    "s": (1000.0, "ms"),
    "bytes": (1 / 2**20, "MiB"),
    "reqps": (1.0, "pods a second"),
}
"""What a unit of Grafana is multiplied by, and called."""


def shown() -> list[panels.Panel]:
    """The panels that are drawn."""
    by_title = {one.title: one for one in panels.PANELS}
    return [by_title[title] for title in SHOWN]


def draw(answers: Mapping[str, Sequence[recording.Line]], target: pathlib.Path) -> None:
    """A plot for each panel, as PNG; `answers` has the lines of every query."""
    # By name: it comes with the extra `bench`, which those who check types or test do not have.
    try:
        figure: Any = importlib.import_module("matplotlib.figure")
    except ModuleNotFoundError as error:
        raise errors.BuildError(
            name="the picture", reason="matplotlib is missing", remedy="use `make dashboard`"
        ) from error
    rows = -(-len(SHOWN) // COLUMNS)
    size = (PANEL_INCHES[0] * COLUMNS, PANEL_INCHES[1] * rows)
    picture = figure.Figure(figsize=size, layout="constrained")
    for plot, panel in zip(picture.subplots(rows, COLUMNS).flat, shown(), strict=True):
        _plot(plot, panel, answers)
    picture.savefig(target, dpi=DOTS)


def _plot(plot: Any, panel: panels.Panel, answers: Mapping[str, Sequence[recording.Line]]) -> None:
    factor, unit = SCALES.get(panel.unit, (1.0, ""))
    for legend, query in panel.queries.items():
        for line in answers[query]:
            values = [value * factor for value in line.values]
            plot.plot(list(line.seconds), values, label=_called(legend, line.labels))
    plot.set_title(panel.title, loc="left", fontsize=10)
    plot.set_ylabel(unit, fontsize=8)
    plot.set_xlabel("seconds", fontsize=8)
    plot.set_ylim(bottom=0)
    plot.tick_params(labelsize=8)
    plot.spines[["top", "right"]].set_visible(False)
    plot.legend(frameon=False, fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))


def _called(legend: str, labels: Mapping[str, str]) -> str:
    """Grafana's way to name a line after its labels."""
    return re.sub(r"{{(\w+)}}", lambda found: labels.get(found[1], ""), legend)
