"""What became of the pods that were tried, and which of it a fault excuses. Pure.

All times are monotonic seconds.
"""

from __future__ import annotations

import dataclasses
import enum
import math
from collections.abc import Iterable, Sequence
from typing import Final

HUNG_SECONDS: Final = 4.5
"""Just below the webhook's time-out in the chart: who waited for so long got no answer at all."""
GAP_SECONDS: Final = 1.0
"""Bare pods that are closer together than this are one window."""
_WEBHOOK: Final = "webhook"


class Outcome(enum.Enum):
    """Of one attempt to create a pod."""

    INJECTED = "injected"
    BARE = "bare"
    """Created without its sidecar."""
    REFUSED = "refused"
    """Not created, because of the webhook."""
    LOST = "lost"
    """Not created, because the API server itself could not."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One attempt."""

    began: float
    ended: float
    outcome: Outcome
    detail: str = ""

    @property
    def hung(self) -> bool:
        """Whether the webhook's time-out passed over it."""
        return self.ended - self.began >= HUNG_SECONDS


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Excuse:
    """While this lasts, pods that are under way may stay bare."""

    begin: float
    end: float
    hung: int = 0
    """As many pods that hung may have begun later: on connections that were open by then."""

    def covers(self, sample: Sample) -> bool:
        """Whether the sample was under way at any moment of it."""
        return sample.began <= self.end and sample.ended >= self.begin


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """The counts of one row."""

    tried: int
    injected: int
    bare: int
    refused: int
    lost: int
    unexcused: tuple[Sample, ...]
    """Bare pods that no excuse covers."""
    hung: int
    """Bare pods that nobody answered about at all: they tell nothing about when."""
    windows: tuple[float, ...]
    """The length of each time in which pods were bare, without those that hung."""


def failure(message: str) -> Outcome:
    """What an API server's failure was, by its message: everybody names the webhook in theirs."""
    return Outcome.REFUSED if _WEBHOOK in message else Outcome.LOST


def tally(samples: Sequence[Sample], excuses: Sequence[Excuse]) -> Tally:
    """Count them, and find the bare ones that should not be."""
    count = dict.fromkeys(Outcome, 0)
    for sample in samples:
        count[sample.outcome] += 1
    bare = [sample for sample in samples if sample.outcome is Outcome.BARE]
    return Tally(
        tried=len(samples),
        injected=count[Outcome.INJECTED],
        bare=count[Outcome.BARE],
        refused=count[Outcome.REFUSED],
        lost=count[Outcome.LOST],
        unexcused=tuple(_unexcused(bare, excuses)),
        hung=sum(sample.hung for sample in bare),
        windows=tuple(windows(sample for sample in bare if not sample.hung)),
    )


def windows(bare: Iterable[Sample]) -> list[float]:
    """Lengths of the times in which pods were bare: first one's begin to last one's end."""
    lengths: list[float] = []
    begin = end = -math.inf
    for sample in sorted(bare, key=lambda one: one.began):
        if sample.began > end + GAP_SECONDS:
            begin, end = sample.began, sample.ended
            lengths.append(end - begin)
        else:
            end = max(end, sample.ended)
            lengths[-1] = end - begin
    return lengths


def percentile(values: Sequence[float], share: float) -> float:
    """The least value that at least this share of them does not exceed; values must exist."""
    ordered = sorted(values)
    return ordered[max(math.ceil(share * len(ordered)) - 1, 0)]


def _unexcused(bare: Iterable[Sample], excuses: Sequence[Excuse]) -> list[Sample]:
    left = [sample for sample in bare if not any(excuse.covers(sample) for excuse in excuses)]
    for excuse in excuses:
        later = [sample for sample in left if sample.hung and sample.began > excuse.end]
        forgiven = later[: excuse.hung]
        left = [sample for sample in left if sample not in forgiven]
    return left
