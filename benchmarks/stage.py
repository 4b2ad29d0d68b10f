"""What the parts of a run have in common: how long they may take, and the shape of a result."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Final

from benchmarks import figures
from tools.controlplane import cluster, progress

RESULTS: Final = pathlib.Path(__file__).parents[1] / ".run" / "bench"


def folder() -> pathlib.Path:
    """Where results and the comparators' logs go; the last run's are overwritten."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    return RESULTS


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """One run of `make bench`."""

    plane: cluster.ControlPlane
    """With the product installed and one injection. Each part starts replicas of its own, so that
    none is measured with what another has left in their memory."""
    report: progress.Progress
    quick: bool

    def pick(self, whole: float, quick: float) -> float:
        """How much of something: as asked for, or what fits into two minutes for all."""
        return quick if self.quick else whole


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """Rows of text under a heading each."""

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """A line of a plot: `x` against `y`; for bars, only `y`."""

    label: str
    x: Sequence[float]
    y: Sequence[float]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Plot:
    """One panel. With `labels`, bars stand over them; otherwise lines."""

    title: str
    x_title: str
    y_title: str
    lines: Sequence[Line]
    labels: Sequence[str] = ()
    logarithmic: bool = False
    """The x axis."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """What a part has found out."""

    title: str
    text: str
    tables: Sequence[Table] = ()
    figures: Sequence[figures.Figure] = ()
    plots: Sequence[Plot] = ()
