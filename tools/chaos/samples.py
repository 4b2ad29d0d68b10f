"""What happened to the pods that were tried, which of it a fault excuses, and why.

All times are monotonic seconds.
"""

from __future__ import annotations

import collections
import dataclasses
import enum
import math
import pathlib
import re
from collections.abc import Iterable, Sequence
from typing import Final

HUNG_SECONDS: Final = 4.5
"""Just below the webhook's time-out in the chart: after so long there was no answer at all."""
GAP_SECONDS: Final = 1.0
"""Bare pods that are closer together than this are one window."""
_WEBHOOK: Final = "webhook"
_FAILING_OPEN: Final = "failing open"
_CAUSE: Final = re.compile(r'failed to call webhook: (?:Post "[^"]*": )?(?P<cause>.*)')
_DETAIL: Final = re.compile(r"(: current time .*| after \S+| \d+\.\d+\.\d+\.\d+:\d+\S*)")


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
        """Whether the API server waited for the webhook until the time-out."""
        return self.ended - self.began >= HUNG_SECONDS


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Excuse:
    """While this lasts, pods that are under way may stay bare."""

    begin: float
    end: float
    hung: int = 0
    """So many pods that hung may have begun later, on connections that were open by then."""

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
    """Bare pods whose call had no answer at all: their time says nothing about the fault's."""
    windows: tuple[float, ...]
    """The length of each time in which pods were bare, without those that hung."""


def failure(message: str) -> Outcome:
    """What a failure of the API server was, by its message: it names a webhook that failed."""
    return Outcome.REFUSED if _WEBHOOK in message else Outcome.LOST


def tally(samples: Sequence[Sample], excuses: Sequence[Excuse]) -> Tally:
    """Count the samples, and find the bare pods that no excuse covers."""
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
    """Lengths of the times in which pods were bare, from the first begin to the last end."""
    lengths: list[float] = []
    begin = end = -math.inf
    for sample in sorted(bare, key=lambda sample: sample.began):
        if sample.began > end + GAP_SECONDS:
            begin, end = sample.began, sample.ended
            lengths.append(end - begin)
        else:
            end = max(end, sample.ended)
            lengths[-1] = end - begin
    return lengths


def percentile(values: Sequence[float], share: float) -> float:
    """The least value that at least this share of all (one or more) does not exceed."""
    ordered = sorted(values)
    return ordered[max(math.ceil(share * len(ordered)) - 1, 0)]


def _unexcused(bare: Iterable[Sample], excuses: Sequence[Excuse]) -> list[Sample]:
    rest = [sample for sample in bare if not any(excuse.covers(sample) for excuse in excuses)]
    for excuse in excuses:
        later = [sample for sample in rest if sample.hung and sample.began > excuse.end]
        excused = later[: excuse.hung]
        rest = [sample for sample in rest if sample not in excused]
    return rest


class Reasons:
    """Why pods were bare, in the words that API servers append to these logs from now on."""

    def __init__(self, logs: Sequence[pathlib.Path]) -> None:
        self._begins = {log: log.stat().st_size for log in logs}

    def sentences(self) -> list[str]:
        """How often each cause was logged, the most frequent first."""
        causes: collections.Counter[str] = collections.Counter()
        for log, begin in self._begins.items():
            with log.open("rb") as file:
                file.seek(begin)
                causes.update(_causes(file.read().decode(errors="replace").splitlines()))
        return [f"{count} x {cause}" for cause, count in causes.most_common()]


def _causes(lines: Iterable[str]) -> list[str]:
    """The cause in each line about a webhook that was skipped."""
    warnings = (line for line in lines if line.startswith("W") and _FAILING_OPEN in line)
    matches = map(_CAUSE.search, warnings)
    return [_DETAIL.sub("", match["cause"]).strip() for match in matches if match]
