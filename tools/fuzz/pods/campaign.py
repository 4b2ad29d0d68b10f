"""Many pairs, and what came of them."""

from __future__ import annotations

import dataclasses
import itertools
import json
import pathlib
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent import futures
from typing import Final

import yaml

from sidecar_injector.core.reasons import Reason
from tools.controlplane import cluster
from tools.crds import definition
from tools.crds.__main__ import OPENAPI
from tools.fuzz.pods import drawing, judge, minimise, promises, walking

THREADS: Final = 3
"""Each has one connection: the API server judges while Python decides."""
PODS_PER_SET: Final = 8
"""Pods that meet the same injections."""
INJECTIONS: Final = ("one", "two", "three")
UNREPAIRED: Final = 0.1
"""How often a template stays as it was drawn."""
MOST_FAILURES: Final = 20
"""Failures that are kept; the others are counted."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A pair that breaks a promise."""

    number: int
    pair: promises.Pair
    broken: promises.Broken


@dataclasses.dataclass(kw_only=True)
class Outcome:
    """What came of one pair, or of many together."""

    drawn: int = 0
    at_once: int = 0
    """Pods that the API server accepts as they were drawn."""
    accepted: int = 0
    """The same with those that were repaired; the others are not tried."""
    injected: int = 0
    reasons: Counter[str] = dataclasses.field(default_factory=Counter)
    reached: set[str] = dataclasses.field(default_factory=set)
    """Fields (`Type.field`) of the pods that are accepted."""
    broken: int = 0
    failures: list[Failure] = dataclasses.field(default_factory=list)

    def add(self, other: Outcome) -> None:
        """Count what came of other pairs."""
        for field in ("drawn", "at_once", "accepted", "injected", "broken"):
            setattr(self, field, getattr(self, field) + getattr(other, field))
        self.reasons += other.reasons
        self.reached |= other.reached
        self.failures += other.failures[: MOST_FAILURES - len(self.failures)]

    def lines(self) -> list[str]:
        """For people."""
        reasons = ", ".join(f"{reason}: {count}" for reason, count in self.reasons.most_common())
        return [
            f"pairs: {self.drawn}; pods with injections: {self.injected}",
            f"pods that the API server accepts: {self.accepted}, {self.at_once} of them as drawn",
            f"reasons: {reasons}",
            f"broken promises: {self.broken}",
        ]


class Campaign:
    """Pairs of one seed on one control plane; it creates what the pods refer to."""

    def __init__(self, plane: cluster.ControlPlane, *, seed: int) -> None:
        self._seed = seed
        self.openapi = json.loads(plane.kubectl("get", "--raw", OPENAPI).stdout)
        plane.create_namespace(judge.NAMESPACE)
        self.court = judge.Judge(plane.client)
        self.court.prepare()
        self._sets: dict[int, tuple[promises.Json, ...]] = {}

    def close(self) -> None:
        """End its connections."""
        self.court.close()

    def run(self, numbers: Sequence[int], *, tick: Callable[[str], None] | None = None) -> Outcome:
        """Try these pairs; `tick` hears after each how far it is."""
        total = Outcome()
        with futures.ThreadPoolExecutor(THREADS) as pool:
            for outcome in pool.map(self._try, numbers):
                total.add(outcome)
                if tick:
                    tick(f"{total.drawn} of {len(numbers)} pairs, {total.broken} broken promises")
        return total

    def write_minimal(self, failure: Failure, folder: pathlib.Path) -> pathlib.Path:
        """Write the smallest pair that breaks the same promise, as a manifest."""

        def breaks(pair: promises.Pair) -> bool:
            broken = promises.Trial(pair, self.court).broken()
            return any(item.promise == failure.broken.promise for item in broken)

        pair = minimise.minimal(failure.pair, breaks)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"seed-{self._seed}-pair-{failure.number}.yaml"
        header = f"# {failure.broken.promise}: {failure.broken.detail!r}\n"
        path.write_text(header + yaml.safe_dump_all(pair.documents, sort_keys=False), "utf-8")
        return path

    def pod(self, number: int) -> tuple[promises.Json, promises.Json | None]:
        """The pod of this number as drawn, and what the API server accepts of it."""
        drawn = drawing.Draw(self.openapi, f"{self._seed}/{number}").pod()
        pod, verdict = self.court.repaired(drawn)
        return drawn, None if verdict.pod is None else pod

    def fields(self, pod: promises.Json) -> set[str]:
        """The fields (`Type.field`) that a pod has."""
        types = self.openapi["components"]["schemas"]
        parts = ("ObjectMeta", pod["metadata"]), ("PodSpec", pod["spec"])
        return {
            name
            for kind, part in parts
            for name, place, field in walking.fields_of(types, kind, part)
            if place.get(field) is not None
        }

    def _try(self, number: int) -> Outcome:
        drawn, pod = self.pod(number)
        if pod is None:
            return Outcome(drawn=1)
        pair = promises.Pair(pod=pod, injections=self.injections(number // PODS_PER_SET))
        trial = promises.Trial(pair, self.court)
        failures = [Failure(number=number, pair=pair, broken=broken) for broken in trial.broken()]
        return Outcome(
            drawn=1,
            at_once=pod == drawn,
            accepted=1,
            injected=Reason.INJECTED.value in trial.reasons,
            reasons=trial.reasons,
            reached=self.fields(pod),
            broken=len(failures),
            failures=failures,
        )

    def injections(self, number: int) -> tuple[promises.Json, ...]:
        """The set of this number: one to three injections of both kinds."""
        if number not in self._sets:
            count = 1 + number % len(INJECTIONS)
            self._sets[number] = tuple(
                self._injection(f"{self._seed}/{number}/{name}", name)
                for name in INJECTIONS[:count]
            )
        return self._sets[number]

    def _injection(self, seed: str, name: str) -> promises.Json:
        """One without errors, whose template is a valid pod mostly."""
        for attempt in itertools.count():
            draw = drawing.Draw(self.openapi, f"{seed}/{attempt}")
            kind = draw.choice(definition.KINDS)
            resource = draw.injection(name, kind=kind, namespace=judge.NAMESPACE)
            if promises.read(resource).errors:
                continue
            is_usable = draw.sometimes(UNREPAIRED) or self.repair(resource["spec"]["template"])
            if is_usable and not promises.read(resource).errors:
                return resource
        raise AssertionError("count has no end")

    def repair(self, template: promises.Json) -> bool:
        """Take out of a template what the API server refuses of a pod that is made of it."""
        own = template["spec"]
        containers = own.get("containers") or [{"name": "pod", "image": "x"}]
        pod = {"metadata": {"generateName": "a-", **(template.get("metadata") or {})},
               "spec": {**own, "containers": containers}}  # fmt: skip
        pod, verdict = self.court.repaired(pod)
        template["spec"] = {key: value for key, value in pod["spec"].items() if key in own}
        return verdict.pod is not None
