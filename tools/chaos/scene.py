"""One row while it runs: what it may touch, and what it finds."""

from __future__ import annotations

import dataclasses
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from tools.chaos import load, reasons, samples, stage
from tools.controlplane import errors

PER_SECOND: Final = 52
"""At 60 two cores have nothing left: pods queue at the API servers, and repairs behind them."""
LEAST_PER_SECOND: Final = 50
"""Below that the row says so: servers or machine were slower than the load."""
SLACK: Final = 0.8
LOOSE: Final = 10
"""In a quick run a limit on time is this many times longer: it shares its machine with others."""
WARM_SECONDS: Final = 60
"""A second's worth of pods is made in less, whatever state a row has left."""
QUIET_SECONDS: Final = 7.0
"""The operator takes damage that comes sooner after the last one for a fight, and holds back."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """One fault of the table."""

    name: str
    title: str
    times: int
    quick: int
    """How often in a quick run."""
    run: Callable[[Scene], None]
    below: float | None = None
    """What 99 of 100 repairs must stay below, in seconds."""
    settings: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Of the operator, where they differ from the chart's."""
    reported: bool = False
    """Bare pods are counted and not judged."""
    outage: bool = False
    """The API server itself may fail to create pods."""
    per_second: float = PER_SECOND
    """Pods that are created meanwhile; 0 for none."""
    spoils: bool = False
    """The replicas are of no use afterwards."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Result:
    """What is known of a row when it is over."""

    row: Row
    times: int
    seconds: float
    tally: samples.Tally
    connections: int
    """How many led to a webhook; each pod asks twice, the second time for our container's token."""
    repairs: Sequence[float]
    failures: Sequence[str]
    """Why it has failed; empty if it has not."""
    notes: Sequence[str]


class Scene:
    """Handed to `Row.run`."""

    def __init__(
        self, place: stage.Stage, row: Row, *, times: int, quick: bool, tick: Callable[[str], None]
    ) -> None:
        self.stage, self.row, self.times, self.quick = place, row, times, quick
        self.random = random.Random(f"{row.name} {times}")  # noqa: S311 - to be the same again
        self.load = load.Load(
            place.servers if row.per_second else (),
            namespace=stage.NAMESPACE,
            per_second=row.per_second or PER_SECOND,
        )
        self._tick = tick
        self._begun = time.monotonic()
        self._excuses: list[samples.Excuse] = []
        self._repairs: list[float] = []
        self._failures: list[str] = []
        self._notes: list[str] = []

    @property
    def quiet(self) -> float:
        """Seconds to leave between two bursts of damage; a quick run has too few for a fight."""
        return 1.0 if self.quick else QUIET_SECONDS

    def rounds(self, *, every: float = 0.0) -> Iterator[int]:
        """The numbers of all rounds; each takes `every` seconds or longer."""
        due = 0.0
        for number in self.bursts(of=self.times):
            # Not to wait for something: faults come on schedule.
            time.sleep(max(due - time.monotonic(), 0))
            due = time.monotonic() + every
            yield number

    def bursts(self, *, of: int) -> Iterator[int]:
        """The numbers of all rounds, with a quiet time after each burst of so many of them."""
        for number in range(self.times):
            if number and number % of == 0:
                # It counts from the last repair: what is held against us is how long all was well.
                time.sleep(self.quiet)
            self._tick(f"{self.row.name} {number + 1}/{self.times}")
            yield number

    def excuse(self, begin: float, end: float, *, hung: int = 0) -> None:
        """See `samples.Excuse`."""
        self._excuses.append(samples.Excuse(begin=begin, end=end, hung=hung))

    def repaired(self, seconds: float) -> None:
        """One fault was over after so long."""
        self._repairs.append(seconds)

    def require(self, fact: bool, text: str) -> None:  # noqa: FBT001 - as assert has it
        """The row fails with this text unless it is so."""
        if not fact:
            self._failures.append(text)

    def note(self, text: str) -> None:
        """Something to be read below the table."""
        self._notes.append(text)

    def play(self) -> Result:
        """Run the row to its end or its first error."""
        balancer = self.stage.operators.balancer
        accepted = balancer.accepted
        why = reasons.Reasons(self.stage.api_logs)
        self._begun = time.monotonic()
        try:
            with self.load:
                self._warm_up()
                self.row.run(self)
                self._warm_up()
        except (errors.ControlPlaneError, OSError) as error:
            self._failures.append(str(error) or repr(error))
        tally = samples.tally(self.load.taken(), self._excuses)
        self._judge(tally)
        if tally.bare:
            self.note(f"why bare: {'; '.join(why.sentences())}")
        seconds = time.monotonic() - self._begun
        rate = tally.tried / seconds
        if not self.row.outage and rate < min(LEAST_PER_SECOND, self.row.per_second * SLACK):
            self.note(f"only {rate:.0f} pods a second were tried")
        return Result(
            row=self.row,
            times=self.times,
            seconds=seconds,
            tally=tally,
            connections=balancer.accepted - accepted,
            repairs=tuple(self._repairs),
            failures=tuple(self._failures),
            notes=tuple(self._notes),
        )

    def _warm_up(self) -> None:
        """A second's worth of pods, so that each fault has a before and an after."""
        self.load.more(self.row.per_second, seconds=WARM_SECONDS)

    def _judge(self, tally: samples.Tally) -> None:
        taken = self.load.taken()
        for count, outcome in ((tally.refused, "refused"), (tally.lost, "lost")):
            if count and not (outcome == "lost" and self.row.outage):
                first = next(one for one in taken if one.outcome.value == outcome)
                self._failures.append(f"{count} pods {outcome}, the first: {first.detail}")
        if tally.unexcused and not self.row.reported:
            self._failures.append(f"{len(tally.unexcused)} bare pods that nothing excuses")
        if self.row.below is not None and self._repairs:
            seen, limit = samples.percentile(self._repairs, 0.99), self.row.below
            limit *= LOOSE if self.quick else 1
            self.require(seen < limit, f"p99 {seen:.2f} s is not below {limit:g} s")
