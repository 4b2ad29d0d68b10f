"""The product's own metrics, before and after something."""

from __future__ import annotations

import dataclasses
from typing import Final

import prometheus_client.parser

from benchmarks import product
from tools.controlplane import operators

HELD_SECONDS: Final = "0.02"
"""The bucket's bound: longer than this nothing may hold the event loop."""
_PREFIX: Final = "sidecar_injector_"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """What the metrics said, or what was added to them."""

    wakings: float
    """How often the loop was looked at."""
    late: float
    """How often it came later than `HELD_SECONDS`."""
    held: float
    """How often that may have been our own doing, and not that of whoever had the processor."""
    longest: float
    """Seconds: the upper bound of the bucket in which it was held for longest."""
    admissions: float
    admission_seconds: float


class Meter:
    """Reads a replica's metrics; `since` tells what happened after `start`."""

    def __init__(self, replica: operators.Replica) -> None:
        self._replica = replica
        self._before = self._samples()

    def since(self) -> Seen:
        """The difference to when this was made."""
        before, now = self._before, self._samples()

        def gained(name: str) -> float:
            return now.get(name, 0.0) - before.get(name, 0.0)

        bounds = sorted(
            (
                name.partition("|")[2]
                for name in now
                if name.startswith("loop_held_seconds_bucket|")
            ),
            key=float,
        )
        within = [gained(f"loop_held_seconds_bucket|{bound}") for bound in bounds]
        wakings = gained("loop_lag_seconds_count")
        longest = next(
            (float(bound) for bound, count in zip(bounds, within, strict=True) if count == wakings),
            float("inf"),
        )
        return Seen(
            wakings=wakings,
            late=wakings - gained(f"loop_lag_seconds_bucket|{HELD_SECONDS}"),
            held=wakings - gained(f"loop_held_seconds_bucket|{HELD_SECONDS}"),
            longest=longest,
            admissions=gained("admission_duration_seconds_count"),
            admission_seconds=gained("admission_duration_seconds_sum"),
        )

    def _samples(self) -> dict[str, float]:
        text = product.metrics(self._replica)
        return {
            _key(sample.name, sample.labels): sample.value
            for family in prometheus_client.parser.text_string_to_metric_families(text)
            for sample in family.samples
        }


def _key(name: str, labels: dict[str, str]) -> str:
    short = name.removeprefix(_PREFIX)
    return f"{short}|{labels['le']}" if "le" in labels else short
