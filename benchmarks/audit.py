"""`python -m benchmarks.audit`: what the audit of many pods costs, and what a pod notices of it.

One replica on a real API server. Windows of load with audits one after the other alternate with
windows without, so other work on this machine disturbs both alike. In a third kind another
process lists the same pods: that is the part of the price that is the API server's work.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import dataclasses
import datetime
import itertools
import json
import multiprocessing
import statistics
import sys
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from multiprocessing.synchronize import Event
from typing import Any, Final

from benchmarks import event_loop, two_clusters
from sidecar_injector import names
from sidecar_injector.controllers.audit import count
from tools.controlplane import (
    binaries,
    client,
    cluster,
    errors,
    operators,
    progress,
    release,
    waiting,
    webhook,
)

QUIET, AUDITS, LISTS = "nothing else", "audits", "the same lists by somebody else"
CHANGES: Final = 5
AGAIN_SECONDS: Final = 0.5
"""Between two requests for an audit: less than an audit lasts."""
NAMESPACE: Final = "load-{}"
INJECTION: Final = f"{release.CLUSTER_INJECTIONS}/proxy"
SETTINGS: Final = (
    # No audit but those that are requested.
    "settings.auditSeconds=86400",
    "settings.drainSeconds=1",
    # It logs when an audit ended and how long it took.
    "settings.logLevel=debug",
)
Json = dict[str, Any]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One admission: when it was answered (seconds since 1970), and after how long."""

    at: float
    milliseconds: float


@dataclasses.dataclass(slots=True, kw_only=True)
class Kind:
    """What was measured in all windows of one kind."""

    meanwhile: Callable[[], contextlib.AbstractContextManager[None]]
    answers: list[Answer] = dataclasses.field(default_factory=list)
    growths: list[event_loop.Growth] = dataclasses.field(default_factory=list)

    def percentile(self, percent: int) -> float:
        """Of the milliseconds."""
        times = (answer.milliseconds for answer in self.answers)
        return statistics.quantiles(times, n=100)[percent - 1]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Target:
    """One replica that leads, and its API server."""

    plane: cluster.ControlPlane
    replica: operators.Replica

    def request_audit(self, priority: int) -> None:
        """A changed cluster injection makes an audit of everything due."""
        change = {"spec": {"priority": priority}}
        server = self.plane.client
        server.request("PATCH", INJECTION, change, content=client.MERGE_PATCH)

    def lists(self) -> float:
        """Lists of pods that the API server has answered."""
        return event_loop.count_lists(self.plane.client, "pods")

    def audits(self) -> float:
        """Audits that have ended."""
        return self._metric("audit_duration_seconds_count")

    def audit_seconds(self) -> float:
        """Of all audits together."""
        return self._metric("audit_duration_seconds_sum")

    def wait_audits(self, number: float) -> None:
        """Until so many have ended."""
        waiting.until(lambda: self.audits() >= number, what="an audit", seconds=120, pause=0.2)

    def wait_counted(self, pods: int) -> None:
        """Until the injection's status counts so many pods."""

        def is_counted() -> bool:
            status = self.plane.client.get(INJECTION).get("status") or {}
            return bool((status.get("pods") or {}).get("selected") == pods)

        waiting.until(is_counted, what="every pod is counted", seconds=300, pause=0.1)

    def is_idle(self) -> bool:
        """Whether no pods are listed within a second."""
        before = self.lists()
        time.sleep(1)
        return self.lists() == before

    def _metric(self, name: str) -> float:
        return self.replica.metrics().value(f"sidecar_injector_{name}")


def main() -> int:
    """0 if it could be measured, whatever the figures are."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.audit", description=__doc__)
    parser.add_argument("--pods", type=int, default=10_000)
    parser.add_argument("--namespaces", type=int, default=100)
    parser.add_argument("--windows", type=int, default=8, help="of each kind")
    parser.add_argument("--seconds", type=float, default=8.0, help="a window's length")
    parser.add_argument("--rate", type=float, default=100.0, help="admissions a second")
    arguments = parser.parse_args()
    try:
        with cluster.ControlPlane(binaries.cached()) as plane:
            release.install(plane, *SETTINGS)
            with operators.Operators(plane, replicas=1) as running:
                running.wait_ready()
                _measure(Target(plane=plane, replica=running.replicas[0]), arguments)
    except errors.ControlPlaneError as error:
        sys.stderr.write(f"the benchmark failed: {error}\n")
        return 1
    return 0


def _measure(target: Target, arguments: argparse.Namespace) -> None:
    report = progress.Progress(sys.stderr)
    pods, namespaces = arguments.pods, arguments.namespaces
    report.begin("the injection is in force")
    injection = release.injection("proxy", kind=names.CLUSTER_KIND, priority=0)
    target.plane.client.request("POST", release.CLUSTER_INJECTIONS, injection)
    target.wait_audits(1)
    memory = [target.replica.rss()]
    report.begin(f"{pods} pods in {namespaces} namespaces")
    _create_pods(target, pods=pods, namespaces=namespaces, report=report)
    report.begin("audits with nothing else going on")
    target.wait_counted(pods)
    memory.append(target.replica.rss())
    seconds, cpu, lists = _cost(target, audits=3)
    report.begin("one pod more")
    delays = [_delay(target, pods=pods + number) for number in range(1, CHANGES + 1)]
    report.begin("windows of load")
    kinds = _windows(target, arguments, page_seconds=seconds / lists)
    memory.append(target.replica.rss())

    empty, full, end = (f"{size / 2**20:.0f} MiB" for size in memory)
    print(f"pods {pods} in {namespaces} namespaces")
    print(f"one audit: {seconds:.2f} s, of which {cpu:.2f} s of CPU; {lists:.0f} lists")
    print(f"memory: {empty} without pods, {full} after the first audit, {end} at the end")
    print(f"a pod more is counted after {min(delays):.1f} to {max(delays):.1f} s, when idle")
    for name, kind in kinds.items():
        _print(name, kind, base=kinds[QUIET])


def _create_pods(target: Target, *, pods: int, namespaces: int, report: progress.Progress) -> None:
    for number in range(namespaces):
        target.plane.create_namespace(NAMESPACE.format(number), labels=release.ENABLED)
    two_clusters.write(
        target.plane.client,
        (
            ("POST", release.pods(NAMESPACE.format(number % namespaces)), _pod(f"web-{number}"))
            for number in range(pods)
        ),
        what="pods",
        report=report,
    )


def _cost(target: Target, *, audits: int) -> tuple[float, float, float]:
    """Of one audit: seconds, seconds of processor time, and lists."""

    def counters() -> tuple[float, float, float]:
        return target.audit_seconds(), target.replica.cpu_seconds(), target.lists()

    before, done = counters(), target.audits()
    for number in range(1, audits + 1):
        target.request_audit(number)
        target.wait_audits(done + number)
    seconds, cpu, lists = (
        (after - start) / audits for after, start in zip(counters(), before, strict=True)
    )
    return seconds, cpu, lists


def _delay(target: Target, *, pods: int) -> float:
    """Seconds from the creation of a pod, the last of so many, until it is counted."""
    began = time.perf_counter()
    path = release.pods(NAMESPACE.format(0))
    target.plane.client.request("POST", path, _pod(f"more-{pods}"))
    target.wait_counted(pods)
    return time.perf_counter() - began


def _windows(
    target: Target, arguments: argparse.Namespace, *, page_seconds: float
) -> dict[str, Kind]:
    """One window of each kind after the other, so many times."""
    kinds = {
        QUIET: Kind(meanwhile=contextlib.nullcontext),
        AUDITS: Kind(meanwhile=lambda: _auditing(target)),
        LISTS: Kind(meanwhile=lambda: _listing(target, page_seconds=page_seconds)),
    }
    configuration = target.plane.client.get(release.CONFIGURATION)
    port, authorities = target.replica.backend.port, release.ca_bundle(configuration)
    for _ in range(arguments.windows):
        for kind in kinds.values():
            with kind.meanwhile(), webhook.Connection(port, authorities=authorities) as connection:
                meter = event_loop.Meter(target.replica)
                kind.answers += _load(connection, seconds=arguments.seconds, rate=arguments.rate)
                kind.growths.append(meter.growth())
    spans = _audit_spans(target.replica)
    kinds[AUDITS].answers = [
        answer
        for answer in kinds[AUDITS].answers
        if any(begin <= answer.at <= end for begin, end in spans)
    ]
    return kinds


def _load(connection: webhook.Connection, *, seconds: float, rate: float) -> Iterator[Answer]:
    """Admissions one after the other, at the rate."""
    end = time.perf_counter() + seconds
    for number in itertools.count():
        review = webhook.review(_pod(f"new-{number}"), namespace=NAMESPACE.format(0), number=number)
        body = json.dumps(review).encode()
        began = time.perf_counter()
        if began >= end:
            return
        connection.post(body)
        spent = time.perf_counter() - began
        yield Answer(at=time.time(), milliseconds=spent * 1000)
        time.sleep(max(1 / rate - spent, 0))


def _audit_spans(replica: operators.Replica) -> list[tuple[float, float]]:
    """When each audit of everything began and ended, in seconds since 1970."""
    spans = []
    for text in replica.log.read_text("utf-8").splitlines():
        line = json.loads(text)
        if line.get("whole"):
            end = datetime.datetime.fromisoformat(line["time"]).timestamp()
            spans.append((end - line["seconds"], end))
    return spans


@contextlib.contextmanager
def _auditing(target: Target) -> Iterator[None]:
    """From the begin of an audit; they are requested all the time, and pause as they do."""
    over, before = threading.Event(), target.lists()

    def request() -> None:
        for priority in itertools.cycle(range(10, 1000)):
            target.request_audit(priority)
            if over.wait(AGAIN_SECONDS):
                return

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        requests = pool.submit(request)
        try:
            waiting.until(lambda: target.lists() > before, what="an audit", seconds=120, pause=0.1)
            yield
        finally:
            over.set()
            requests.result()
    waiting.until(target.is_idle, what="no audit is running", seconds=60, pause=0.2)


@contextlib.contextmanager
def _listing(target: Target, *, page_seconds: float) -> Iterator[None]:
    """Meanwhile a process lists the same pages, each in so many seconds."""
    # A process that is forked beside threads may hang.
    spawning = multiprocessing.get_context("spawn")
    over = spawning.Event()
    lister = spawning.Process(target=_list_pods, args=(target.plane.client, page_seconds, over))
    lister.start()
    try:
        yield
    finally:
        over.set()
        lister.join()


def _list_pods(server: client.Client, page_seconds: float, over: Event) -> None:
    connection = server.connect()
    accept = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
    selector = f"{count.ALIVE},{count.NETWORKS[False]}"
    following = ""
    while not over.is_set():
        began = time.perf_counter()
        query = {"limit": count.PAGE, "fieldSelector": selector, "continue": following}
        path = f"/api/v1/pods?{urllib.parse.urlencode(query)}"
        _, text = server.send(connection, "GET", path, accept=accept)
        following = json.loads(text)["metadata"].get("continue", "")
        over.wait(max(page_seconds - (time.perf_counter() - began), 0))


def _pod(name: str) -> Json:
    labels = {"app": "web", "app.kubernetes.io/part-of": "load", "pod-template-hash": "5d4f8c7b9"}
    return release.pod(name=name, labels=labels)


def _print(name: str, kind: Kind, *, base: Kind) -> None:
    print(f"beside {name}, {len(kind.answers)} admissions:")
    for what, percent in (("median", 50), ("p99", 99)):
        value, usual = kind.percentile(percent), base.percentile(percent)
        print(f"  {what} {value:.2f} ms ({value / usual - 1:+.0%})")

    def total(value: Callable[[event_loop.Growth], float]) -> float:
        return sum(map(value, kind.growths))

    print(
        f"  event loop: {total(lambda growth: growth.late):.0f} of"
        f" {total(lambda growth: growth.wakings):.0f} looks came more than"
        f" {float(event_loop.BLOCKED_SECONDS) * 1000:g} ms late;"
        f" {total(lambda growth: growth.collections):.0f} whole garbage collections"
    )


if __name__ == "__main__":
    sys.exit(main())
