"""Two installations side by side, one small and one that grows, and what a pod costs in either."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from typing import Final

from benchmarks import figures, load, population, product, reviews, stage
from tools.controlplane import cluster, operators

MIB: Final = 1024**2


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """What is asked of whom; `series` and `x` are its place in a plot."""

    name: str
    replica: operators.Replica
    review: bytes
    series: str = ""
    x: float = 1


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """Microseconds of processor time that a pod of this case takes."""

    case: Case
    known: figures.Spread
    """A pod of a template that was seen before."""
    new: figures.Spread
    """The first pod of a template."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Grounds:
    """The two installations."""

    scene: stage.Stage
    alone: operators.Operators
    """One replica with one injection."""
    grown: operators.Operators
    """Two replicas."""
    plane: cluster.ControlPlane
    """Of the one that grows."""
    filled: population.Population

    @property
    def most(self) -> int:
        """The largest number of injections in one scope."""
        return int(self.scene.pick(1_000, 100))

    @property
    def space(self) -> str:
        """The namespace that has them."""
        return f"scope-{self.most}"

    def one(self, name: str, *, review: bytes | None = None, x: float = 1) -> Case:
        """The recorded review, or another, where there is one injection."""
        body = review or reviews.recorded()
        return Case(name=name, replica=self.alone.replicas[0], review=body, x=x)

    def many(self, name: str, space: str, *, series: str = "", x: float = 1) -> Case:
        """The recorded review for a namespace of the one that grows."""
        body = reviews.in_namespace(reviews.recorded(), space)
        return Case(name=name, replica=self.grown.replicas[0], review=body, series=series, x=x)

    def memory(self) -> float:
        """MiB of the larger replica of the grown installation."""
        return max(replica.process.rss() for replica in self.grown.replicas) / MIB


@contextlib.contextmanager
def prepared(scene: stage.Stage) -> Iterator[Grounds]:
    """Both at rest; where one grows no controller answers each namespace with objects."""
    scene.report.begin("starting another control plane, and the product on both")
    with (
        product.started(scene.plane, replicas=1) as alone,
        cluster.ControlPlane(scene.plane.programs) as large,
        product.installed(large, replicas=2) as grown,
    ):
        large.controller_manager.terminate()
        filled = population.Population(large, grown, report=scene.report)
        filled.settle()
        yield Grounds(scene=scene, alone=alone, grown=grown, plane=large, filled=filled)


def effort(scene: stage.Stage) -> tuple[int, float]:
    """Rounds, and seconds of each."""
    return int(scene.pick(3, 1)), scene.pick(2, 1)


def costs(scene: stage.Stage, cases: Sequence[Case]) -> list[Cost]:
    """Of each, interleaved; a first round is thrown away if there is the time."""
    rounds, _ = effort(scene)
    known: list[list[float]] = [[] for _ in cases]
    new: list[list[float]] = [[] for _ in cases]
    for number in range(1 if scene.quick else 0, rounds + 1):
        for place, case in enumerate(cases):
            scene.report.tick(f"round {number} of {rounds}: {case.name}")
            for found, varied in ((known, reviews.herd), (new, reviews.strangers)):
                spent = _spent(scene, case, varied=varied(case.review))
                if number:
                    found[place].append(spent)
    return [
        Cost(case=case, known=figures.Spread.of(some), new=figures.Spread.of(others))
        for case, some, others in zip(cases, known, new, strict=True)
    ]


def _spent(scene: stage.Stage, case: Case, *, varied: Sequence[str]) -> float:
    body = stage.folder() / "grown-review.json"
    body.write_bytes(case.review)
    server = product.server(case.replica)
    aim = load.Target(
        name=case.name, url=server.url, body=body, pid=server.process.pid, varied=varied
    )
    _, seconds = effort(scene)
    return load.run(aim, seconds=seconds).cpu or 0.0
