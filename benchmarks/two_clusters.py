"""Two installations side by side, one small and one that grows, and what a pod costs in either."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import http.client
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from benchmarks import errors, load, machine, product, results, reviews
from tools.controlplane import client, cluster, operators, progress, release, waiting

MIB: Final = 1024**2
WRITERS: Final = 4
NAMESPACES: Final = "/api/v1/namespaces"
QUIET_SHARE: Final = 0.05
"""Of a core: a replica that uses less has nothing to do."""
LOOK_SECONDS: Final = 0.5
Json = dict[str, Any]
Call = tuple[str, str, Json | None]
"""Method, path and body."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """A review and the replica that gets it; `series` and `x` are its place in a plot."""

    name: str
    replica: operators.Replica
    review: bytes
    series: str = ""
    x: float = 1


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """Microseconds of processor time that a pod of this case takes."""

    case: Case
    known: results.Spread
    """A pod of a template that was seen before."""
    new: results.Spread
    """The first pod of a template."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TwoClusters:
    """`small` has one replica and one injection; `large` has two replicas, and it grows."""

    bench: product.Bench
    small: operators.Operators
    large: operators.Operators
    plane: cluster.ControlPlane
    """Of the large one."""

    @property
    def most(self) -> int:
        """The largest number of injections in one namespace."""
        return int(self.bench.pick(1_000, 100))

    @property
    def namespace(self) -> str:
        """The namespace that has them."""
        return f"scope-{self.most}"

    def in_small(self, name: str, *, review: bytes | None = None, x: float = 1) -> Case:
        """The recorded review, or another one, for the small cluster."""
        body = review or reviews.recorded()
        return Case(name=name, replica=self.small.replicas[0], review=body, x=x)

    def in_large(self, name: str, namespace: str, *, series: str = "", x: float = 1) -> Case:
        """The recorded review for a namespace of the large cluster."""
        body = reviews.in_namespace(reviews.recorded(), namespace)
        return Case(name=name, replica=self.large.replicas[0], review=body, series=series, x=x)

    def memory(self) -> float:
        """MiB of the larger replica of the large cluster."""
        return max(replica.rss() for replica in self.large.replicas) / MIB

    def add_namespaces(self, first: int, count: int) -> None:
        """Enabled namespaces with these numbers, the last one excluded."""
        self._write("namespaces", (
            ("POST", NAMESPACES, _namespace(f"other-{number}")) for number in range(first, count)
        ))  # fmt: skip

    def add_injections(self, namespace: str, count: int, *, matching: int) -> None:
        """A new namespace with so many injections; the first ones match the recorded pod."""
        self.plane.client.request("POST", NAMESPACES, _namespace(namespace))
        path = release.injections(namespace)
        self._write(f"injections in {namespace}", (
            ("POST", path, injection(number, app="web" if number < matching else f"app-{number}"))
            for number in range(count)
        ))  # fmt: skip

    def change_injections(self, *, tag: str) -> None:
        """Give all injections of `namespace` another image."""
        path = release.injections(self.namespace)
        self._write("changes", (
            ("PATCH", f"{path}/{name(number)}", template(number, tag))
            for number in range(self.most)
        ))  # fmt: skip

    def settle(self) -> None:
        """Until every replica uses hardly any processor time."""
        for replica in self.large.replicas:
            settle(replica)

    def _write(self, what: str, calls: Iterable[Call]) -> None:
        write(self.plane.client, calls, what=what, report=self.bench.report)
        self.settle()


def settle(replica: operators.Replica) -> None:
    """Until a replica uses hardly any processor time."""

    def is_quiet() -> bool:
        before = replica.cpu_seconds()
        time.sleep(LOOK_SECONDS)
        return replica.cpu_seconds() - before <= QUIET_SHARE * LOOK_SECONDS

    waiting.until(is_quiet, what=f"{replica.name} is at rest", seconds=120)


@contextlib.contextmanager
def started(bench: product.Bench) -> Iterator[TwoClusters]:
    """Both at rest. The large one has no controllers, which would write objects of their own."""
    bench.report.begin("starting another control plane, and the product on both")
    with (
        product.started(bench.plane, replicas=1) as small,
        cluster.ControlPlane(bench.plane.programs) as plane,
    ):
        product.install(plane)
        with product.started(plane, replicas=2) as large:
            plane.controller_manager.terminate()
            clusters = TwoClusters(bench=bench, small=small, large=large, plane=plane)
            clusters.settle()
            yield clusters


def effort(bench: product.Bench) -> tuple[int, float]:
    """Rounds, and seconds of each."""
    return int(bench.pick(3, 1)), bench.pick(2, 1)


def costs(bench: product.Bench, cases: Sequence[Case]) -> list[Cost]:
    """Of each case, interleaved."""
    targets = []
    for number, case in enumerate(cases):
        body = machine.folder() / f"review-{number}.json"
        body.write_bytes(case.review)
        server = product.server(case.replica)
        for kind, varied in (
            ("known", reviews.same_template(case.review)),
            ("new", reviews.new_templates(case.review)),
        ):
            targets.append(
                load.Target(
                    name=f"{case.name} {kind}", url=server.url, body=body, process=server.process,
                    varied=varied,
                )
            )  # fmt: skip
    rounds, seconds = effort(bench)
    runs = load.interleaved(
        targets, rounds=rounds, seconds=seconds, report=bench.report, warm_up=not bench.quick
    )
    spreads = {name: results.Spread.of(run.cpu for run in some) for name, some in runs.items()}
    return [
        Cost(case=case, known=spreads[f"{case.name} known"], new=spreads[f"{case.name} new"])
        for case in cases
    ]


def write(
    server: client.Client, calls: Iterable[Call], *, what: str, report: progress.Progress
) -> None:
    """Send calls over a few kept connections. Raises BenchError at the first refusal."""
    local = threading.local()
    every = list(calls)

    def send(call: Call) -> None:
        method, path, body = call
        if not hasattr(local, "connection"):
            local.connection = server.connect()
        content = client.MERGE_PATCH if method == "PATCH" else "application/json"
        status, text = server.send(local.connection, method, path, body, content=content)
        if status >= http.client.BAD_REQUEST:
            raise errors.BenchError(f"{method} {path}: {status} {text[:200]}")

    with concurrent.futures.ThreadPoolExecutor(WRITERS) as pool:
        for number, _ in enumerate(pool.map(send, every)):
            report.tick(f"{what}: {number} of {len(every)}")


def name(number: int) -> str:
    """Of an injection."""
    return f"nginx-{number}"


def injection(number: int, *, app: str = "web", tag: str = "1.12.2") -> Json:
    """Each has a sidecar and a volume of its own."""
    return product.injection(name(number), app=app, sidecar=f"sidecar-{number}", tag=tag)


def template(number: int, tag: str) -> Json:
    """The merge patch that gives an injection this image."""
    return {"spec": {"template": injection(number, tag=tag)["spec"]["template"]}}


def _namespace(name: str) -> Json:
    return {"metadata": {"name": name, "labels": release.ENABLED}}
