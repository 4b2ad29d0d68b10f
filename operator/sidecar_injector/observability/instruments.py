"""What figures are kept in: the client library's instruments, and our own where pods wait.

The library's take a lock for each observation. Those of the admission path are the event loop's
alone and need none; a registry collects both kinds alike.
"""

from __future__ import annotations

import bisect
import dataclasses
import itertools
import math
from collections.abc import Iterable, Iterator
from typing import Final

import prometheus_client
from prometheus_client import core

NAMESPACE: Final = "sidecar_injector"


@dataclasses.dataclass(frozen=True, slots=True)
class Instrument:
    """A metric as the manual lists it; counters have their suffix `_total`."""

    name: str
    kind: str
    text: str
    labels: tuple[str, ...]


class Distribution:
    """A histogram for the event loop alone: without locks, observing costs a fifth."""

    def __init__(self, name: str, text: str, bounds: tuple[float, ...]) -> None:
        self._name, self._text = name, text
        self._bounds = (*map(float, bounds), math.inf)
        self._counts = [0] * len(self._bounds)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Count a value in the first bucket whose bound it does not exceed."""
        self._counts[bisect.bisect_left(self._bounds, value)] += 1
        self._sum += value

    def collect(self) -> Iterator[core.Metric]:
        """What a registry asks for."""
        bounds = (*map(str, self._bounds[:-1]), "+Inf")
        buckets = list(zip(bounds, itertools.accumulate(self._counts), strict=True))
        yield core.HistogramMetricFamily(
            self._name, self._text, buckets=buckets, sum_value=self._sum
        )


class Tally:
    """A counter for the event loop alone, with a label whose values are known from the start.

    One that appeared with its first pod would hide that pod from rate().
    """

    def __init__(self, name: str, text: str, label: str, values: Iterable[str]) -> None:
        self._name, self._text, self._label = name, text, label
        self.counts = dict.fromkeys(values, 0)

    def collect(self) -> Iterator[core.Metric]:
        """What a registry asks for."""
        family = core.CounterMetricFamily(self._name, self._text, labels=[self._label])
        for value, count in self.counts.items():
            family.add_metric([value], count)
        yield family


class Maker:
    """Instruments of one registry, named as ours; `made` lists them."""

    def __init__(self, registry: prometheus_client.CollectorRegistry) -> None:
        self._registry = registry
        self.made: list[Instrument] = []

    def _note(self, kind: str, name: str, text: str, *labels: str) -> None:
        self.made.append(Instrument(f"{NAMESPACE}_{name}", kind, text, labels))

    def counter(self, name: str, text: str, *labels: str) -> prometheus_client.Counter:
        self._note("counter", name, text, *labels)
        return prometheus_client.Counter(
            name, text, labels, namespace=NAMESPACE, registry=self._registry
        )

    def tally(self, name: str, text: str, label: str, values: Iterable[str]) -> Tally:
        self._note("counter", name, text, label)
        made = Tally(f"{NAMESPACE}_{name}", text, label, values)
        self._registry.register(made)
        return made

    def gauge(self, name: str, text: str, *labels: str) -> prometheus_client.Gauge:
        self._note("gauge", name, text, *labels)
        return prometheus_client.Gauge(
            name, text, labels, namespace=NAMESPACE, registry=self._registry
        )

    def histogram(self, name: str, text: str, buckets: tuple[float, ...]) -> Distribution:
        self._note("histogram", name, text)
        made = Distribution(f"{NAMESPACE}_{name}", text, buckets)
        self._registry.register(made)
        return made
