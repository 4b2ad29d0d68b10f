"""`python -m benchmarks.audit`: what the audit of many pods costs, and what a pod notices of it.

One replica on a real API server. Windows of load in which audits run one after the other alternate
with windows in which none runs, so whatever else this machine does falls on both alike.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import dataclasses
import http.client
import itertools
import json
import socket
import ssl
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Final

from benchmarks import audit_scene
from sidecar_injector import names
from tools.controlplane import binaries, errors, ports, progress, waiting

LAG_SECONDS: Final = 0.02
"""Nothing may hold the event loop for longer."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One admission: when it was answered (seconds since 1970), and after how long."""

    at: float
    milliseconds: float


def main() -> int:
    """0 if it could be measured, whatever the figures are."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.audit", description=__doc__)
    parser.add_argument("--pods", type=int, default=10_000)
    parser.add_argument("--namespaces", type=int, default=100)
    parser.add_argument("--windows", type=int, default=8, help="of each kind")
    parser.add_argument("--seconds", type=float, default=8.0, help="a window's length")
    parser.add_argument("--rate", type=float, default=100.0, help="admissions a second")
    given = parser.parse_args()
    report = progress.Progress(sys.stderr)
    try:
        with audit_scene.installed(binaries.cached()) as scene:
            _measure(scene, given, report)
    except errors.ControlPlaneError as error:
        sys.stderr.write(f"the benchmark failed: {error}\n")
        return 1
    return 0


def _measure(
    scene: audit_scene.Scene, given: argparse.Namespace, report: progress.Progress
) -> None:
    report.begin("the injection is in force")
    scene.plane.client.request("POST", audit_scene.CLUSTER_INJECTIONS, audit_scene.injection())
    _await_audits(scene, 1)
    empty = scene.replica.rss()
    report.begin(f"{given.pods} pods in {given.namespaces} namespaces")
    audit_scene.populate(scene, pods=given.pods, namespaces=given.namespaces)

    report.begin("audits with nothing else going on")
    _await_quiet(scene, pods=given.pods)
    full = scene.replica.rss()
    alone = _audits(scene, 3)
    report.begin("windows of load, with and without audits")
    quiet: list[Answer] = []
    busy: list[Answer] = []
    before = scene.samples()
    for _ in range(given.windows):
        quiet.extend(_window(scene, given))
        with _auditing(scene):
            busy.extend(_window(scene, given))
    after = scene.samples()
    spans = scene.audits()
    busy = [one for one in busy if any(begin <= one.at <= end for begin, end in spans)]
    _tell(given, alone=alone, memory=(empty, full, scene.replica.rss()))
    _tell_latency(quiet, busy)
    _tell_lag(before, after)


def _await_quiet(scene: audit_scene.Scene, *, pods: int) -> None:
    """Until the marks that the creations have left are worked off."""

    def counted() -> bool:
        status = (
            scene.plane.client.get(f"{audit_scene.CLUSTER_INJECTIONS}/proxy").get("status") or {}
        )
        return bool((status.get("pods") or {}).get("selected") == pods)

    waiting.until(counted, what="every pod is counted", seconds=300, pause=0.5)


def _ask_for_audit(scene: audit_scene.Scene, priority: int) -> None:
    """A cluster injection that changes makes everything due."""
    change = {"spec": {"priority": priority}}
    scene.plane.client.request(
        "PATCH", f"{audit_scene.CLUSTER_INJECTIONS}/proxy", change, content=audit_scene.MERGE
    )


def _await_audits(scene: audit_scene.Scene, number: float) -> None:
    def done() -> bool:
        return audit_scene.value(scene.samples(), "audit_duration_seconds_count") >= number

    waiting.until(done, what="an audit", seconds=120, pause=0.2)


def _audits(scene: audit_scene.Scene, number: int) -> dict[str, float]:
    """The cost of one, from some of them."""
    lists, before = scene.lists(), scene.samples()
    for priority in range(1, number + 1):
        _ask_for_audit(scene, priority)
        _await_audits(scene, audit_scene.value(before, "audit_duration_seconds_count") + priority)
    after = scene.samples()

    def each(name: str) -> float:
        return (audit_scene.value(after, name) - audit_scene.value(before, name)) / number

    return {
        "seconds": each("audit_duration_seconds_sum"),
        "lists": (scene.lists() - lists) / number,
        "cpu": (
            after["process_cpu_seconds_total", "{}"] - before["process_cpu_seconds_total", "{}"]
        )
        / number,
    }


@contextlib.contextmanager
def _auditing(scene: audit_scene.Scene) -> Iterator[None]:
    """Audits back to back meanwhile; as rarely as they rest in reality there would be few."""
    with concurrent.futures.ThreadPoolExecutor(1) as asker:
        going = [True]

        def ask() -> None:
            for priority in itertools.cycle(range(10, 1000)):
                if not going:
                    return
                _ask_for_audit(scene, priority)
                time.sleep(0.5)

        asking = asker.submit(ask)
        try:
            yield
        finally:
            going.clear()
            asking.result()
    waiting.until(lambda: _is_idle(scene), what="no audit is running", seconds=60, pause=0.2)


def _is_idle(scene: audit_scene.Scene) -> bool:
    """No more lists of pods within a second."""
    before = scene.lists()
    time.sleep(1)
    return scene.lists() == before


def _window(scene: audit_scene.Scene, given: argparse.Namespace) -> list[Answer]:
    """Admissions one after the other, at the rate."""
    context = ssl.create_default_context(cadata=scene.authorities)
    plain = socket.create_connection((ports.LOOPBACK, scene.replica.backend.port))
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    name = f"{names.PRODUCT}.{names.PRODUCT}.svc"
    connection = http.client.HTTPConnection(name)
    connection.sock = context.wrap_socket(plain, server_hostname=name)
    taken = []
    end = time.perf_counter() + given.seconds
    for number in itertools.count():
        body = json.dumps(_review(number))
        began = time.perf_counter()
        if began >= end:
            break
        connection.request("POST", names.MUTATE_PATH, body)
        connection.getresponse().read()
        seconds = time.perf_counter() - began
        taken.append(Answer(at=time.time(), milliseconds=seconds * 1000))
        time.sleep(max(1 / given.rate - seconds, 0))
    connection.close()
    return taken


def _review(number: int) -> audit_scene.Json:
    asked = {
        "uid": f"6e9d9bd4-0000-4000-8000-{number:012}",
        "resource": {"group": "", "version": "v1", "resource": "pods"},
        "namespace": "load-0",
        "operation": "CREATE",
        "object": audit_scene.pod(f"new-{number}"),
        "dryRun": True,
    }
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": asked}


def _tell(
    given: argparse.Namespace, *, alone: dict[str, float], memory: tuple[int, int, int]
) -> None:
    empty, full, end = (f"{size / 2**20:.0f} MiB" for size in memory)
    print(f"pods {given.pods} in {given.namespaces} namespaces")
    print(
        f"one audit: {alone['seconds']:.2f} s, of which {alone['cpu']:.2f} s of CPU;"
        f" {alone['lists']:.0f} lists"
    )
    print(f"memory: {empty} without pods, {full} after the first audit, {end} at the end")


def _tell_latency(quiet: Sequence[Answer], busy: Sequence[Answer]) -> None:
    for name, percent in (("median", 50), ("p99", 99)):
        before, meanwhile = _percentile(quiet, percent), _percentile(busy, percent)
        print(
            f"{name} of an admission: {before:.2f} ms without an audit ({len(quiet)}),"
            f" {meanwhile:.2f} ms during one ({len(busy)}): {meanwhile / before - 1:+.0%}"
        )


def _percentile(answers: Sequence[Answer], percent: int) -> float:
    return statistics.quantiles((one.milliseconds for one in answers), n=100)[percent - 1]


def _tell_lag(before: audit_scene.Samples, after: audit_scene.Samples) -> None:
    bounds = sorted(
        (float(labels.split("'")[3]), labels)
        for name, labels in after
        if name == "sidecar_injector_loop_lag_seconds_bucket"
    )
    bound, labels = next(one for one in bounds if one[0] >= LAG_SECONDS)
    key = ("sidecar_injector_loop_lag_seconds_bucket", labels)
    looks = audit_scene.value(after, "loop_lag_seconds_count") - audit_scene.value(
        before, "loop_lag_seconds_count"
    )
    late = looks - (after[key] - before[key])
    print(f"event loop: {late:.0f} of {looks:.0f} looks came more than {bound * 1000:g} ms late")


if __name__ == "__main__":
    sys.exit(main())
