"""One row of the table while it runs: what it may use, and what it measures."""

from __future__ import annotations

import dataclasses
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from tools.chaos import cluster, load, samples
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
"""Damage that follows sooner on a repair counts as a fight, and the operator repairs it later."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """One fault of the table."""

    name: str
    title: str
    times: int
    quick: int
    """How often in a quick run."""
    play: Callable[[Run], None]
    below: float | None = None
    """What 99 of 100 repairs must stay below, in seconds."""
    settings: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Of the operator, where they differ from the chart's."""
    reported: bool = False
    """Bare pods are counted, but do not fail the row."""
    outage: bool = False
    """The API server itself may fail to create pods."""
    per_second: float = PER_SECOND
    """Pods that are created meanwhile; 0 for none."""
    spoils: bool = False
    """The next row needs new replicas."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Result:
    """What a row has measured."""

    row: Row
    times: int
    seconds: float
    tally: samples.Tally
    connections: int
    """To a webhook; a pod causes two calls, the second because of our container's token."""
    repairs: Sequence[float]
    failures: Sequence[str]
    """Why the row has failed; empty if it has not."""
    notes: Sequence[str]


class Run:
    """What `Row.play` gets. It appends to `repairs` (seconds of each) and `notes`."""

    def __init__(
        self,
        servers: cluster.Cluster,
        row: Row,
        *,
        times: int,
        quick: bool,
        tick: Callable[[str], None],
    ) -> None:
        self.cluster, self.row, self.times, self.quick = servers, row, times, quick
        self.random = random.Random(f"{row.name} {times}")  # noqa: S311 - the same in each run
        self.load = load.Load(
            servers.servers if row.per_second else (),
            namespace=cluster.NAMESPACE,
            per_second=row.per_second or PER_SECOND,
        )
        self.repairs: list[float] = []
        self.notes: list[str] = []
        self._failures: list[str] = []
        self._excuses: list[samples.Excuse] = []
        self._tick = tick

    def rounds(self, *, every: float = 0.0, burst: int | None = None) -> Iterator[int]:
        """The numbers of all rounds: each lasts `every` seconds, a pause precedes each `burst`."""
        due = 0.0
        for number in range(self.times):
            if burst and number % burst == 0:
                # It begins with the last repair, also that of another row: the operator counts how
                # long all was well.
                time.sleep(max(self.cluster.last_repair + QUIET_SECONDS - time.monotonic(), 0))
            time.sleep(max(due - time.monotonic(), 0))
            due = time.monotonic() + every
            self._tick(f"{self.row.name} {number + 1}/{self.times}")
            yield number
            if burst:
                self.cluster.last_repair = time.monotonic()

    def excuse(self, begin: float, end: float, *, hung: int = 0) -> None:
        """See `samples.Excuse`."""
        self._excuses.append(samples.Excuse(begin=begin, end=end, hung=hung))

    def require(self, fact: bool, text: str) -> None:  # noqa: FBT001 - as assert has it
        """The row fails with this text unless the fact is true."""
        if not fact:
            self._failures.append(text)

    def play(self) -> Result:
        """Play the row to its end or its first error."""
        balancer = self.cluster.balancer
        accepted, begun = balancer.accepted, time.monotonic()
        reasons = samples.Reasons(self.cluster.api_logs)
        try:
            with self.load:
                # A second's worth of pods: each fault has a before and an after.
                self.load.more(self.row.per_second, seconds=WARM_SECONDS)
                self.row.play(self)
                self.load.more(self.row.per_second, seconds=WARM_SECONDS)
        except (errors.ControlPlaneError, OSError) as error:
            self._failures.append(str(error) or repr(error))
        tally = samples.tally(self.load.taken(), self._excuses)
        self._judge(tally)
        if tally.bare:
            self.notes.append(f"why bare: {'; '.join(reasons.sentences())}")
        seconds = time.monotonic() - begun
        rate = tally.tried / seconds
        if not self.row.outage and rate < min(LEAST_PER_SECOND, self.row.per_second * SLACK):
            self.notes.append(f"only {rate:.0f} pods a second were tried")
        return Result(
            row=self.row, times=self.times, seconds=seconds, tally=tally,
            connections=balancer.accepted - accepted, repairs=tuple(self.repairs),
            failures=tuple(self._failures), notes=tuple(self.notes),
        )  # fmt: skip

    def _judge(self, tally: samples.Tally) -> None:
        for count, outcome in ((tally.refused, "refused"), (tally.lost, "lost")):
            if count and not (outcome == "lost" and self.row.outage):
                details = [
                    sample.detail for sample in self.load.taken() if sample.outcome.value == outcome
                ]
                self._failures.append(f"{count} pods {outcome}, the first: {details[0]}")
        if tally.unexcused and not self.row.reported:
            self._failures.append(f"{len(tally.unexcused)} bare pods that nothing excuses")
        if self.row.below is not None and self.repairs:
            p99 = samples.percentile(self.repairs, 0.99)
            limit = self.row.below * (LOOSE if self.quick else 1)
            self.require(p99 < limit, f"p99 {p99:.2f} s is not below {limit:g} s")
