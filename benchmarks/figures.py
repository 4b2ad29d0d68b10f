"""Figures with their targets, and what of a series of runs is shown. Pure."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Iterable, Sequence


@dataclasses.dataclass(frozen=True, slots=True)
class Spread:
    """The median of some runs, and how far they lay apart."""

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
    """One promise: what was measured, and what it must not fall below or exceed."""

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
        wanted = f"≥ {number(self.least)}" if self.least is not None else ""
        wanted = f"≤ {number(self.most)}" if self.most is not None else wanted
        unit = f" {self.unit}" if self.unit else ""
        note = f"; {self.note}" if self.note else ""
        verdict = "ok" if self.ok else "short"
        return f"{self.name}: {number(self.value)}{unit} (target {wanted}{unit}{note}) {verdict}"


def number(value: float) -> str:
    """Three digits that mean something."""
    if abs(value) >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of all do not exceed."""
    return sorted(values)[max(0, math.ceil(len(values) * share) - 1)]
