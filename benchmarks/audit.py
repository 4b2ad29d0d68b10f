"""`python -m benchmarks.audit`: what the audit of many pods costs, and what a pod notices of it.

One replica on a real API server. Windows of load in which audits run one after the other alternate
with windows in which none runs, so whatever else this machine does falls on both alike.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import sys
import time
from collections.abc import Sequence
from typing import Final

from benchmarks import audit_scene, audit_windows
from tools.controlplane import binaries, errors, progress, waiting

QUIET, AUDITS, LISTS = "nothing else", "audits", "the same lists by somebody else"
CHANGES: Final = 5
PODS: Final = "/api/v1/namespaces/load-0/pods"


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
    _await_counted(scene, given.pods)
    full = scene.replica.rss()
    alone = _audits(scene, 3)
    report.begin("one pod more")
    noticed = [_noticed(scene, pods=given.pods + number) for number in range(1, CHANGES + 1)]
    report.begin("windows of load")
    kinds = _windows(scene, given, page_seconds=alone["seconds"] / alone["lists"])
    _tell(given, alone=alone, memory=(empty, full, scene.replica.rss()))
    print(f"a pod more is counted after {min(noticed):.1f} to {max(noticed):.1f} s, when idle")
    _tell_kinds(kinds)


def _windows(
    scene: audit_scene.Scene, given: argparse.Namespace, *, page_seconds: float
) -> list[audit_windows.Kind]:
    """One of each kind after the other, so many times."""
    meanwhile: dict[str, audit_windows.Meanwhile] = {
        QUIET: contextlib.nullcontext,
        AUDITS: lambda: audit_windows.auditing(scene),
        LISTS: lambda: audit_windows.listing(scene, page_seconds=page_seconds),
    }
    kinds = [audit_windows.Kind(name=name) for name in meanwhile]
    for _ in range(given.windows):
        for kind in kinds:
            with meanwhile[kind.name]():
                audit_windows.take(scene, kind, seconds=given.seconds, rate=given.rate)
    spans = scene.audits()
    for kind in kinds:
        if kind.name == AUDITS:
            kind.answers = [
                one for one in kind.answers if any(begin <= one.at <= end for begin, end in spans)
            ]
    return kinds


def _await_counted(scene: audit_scene.Scene, pods: int) -> None:
    """Until the marks that creations have left are worked off."""

    def counted() -> bool:
        status = (
            scene.plane.client.get(f"{audit_scene.CLUSTER_INJECTIONS}/proxy").get("status") or {}
        )
        return bool((status.get("pods") or {}).get("selected") == pods)

    waiting.until(counted, what="every pod is counted", seconds=300, pause=0.1)


def _noticed(scene: audit_scene.Scene, *, pods: int) -> float:
    """Seconds from the creation of a pod, the last of so many, to its count."""
    began = time.perf_counter()
    scene.plane.client.request("POST", PODS, audit_scene.pod(f"more-{pods}"))
    _await_counted(scene, pods)
    return time.perf_counter() - began


def _await_audits(scene: audit_scene.Scene, number: float) -> None:
    def done() -> bool:
        return audit_scene.value(scene.samples(), "audit_duration_seconds_count") >= number

    waiting.until(done, what="an audit", seconds=120, pause=0.2)


def _audits(scene: audit_scene.Scene, number: int) -> dict[str, float]:
    """The cost of one, from some of them."""
    lists, before = scene.lists(), scene.samples()
    for priority in range(1, number + 1):
        scene.ask_for_audit(priority)
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


def _tell_kinds(kinds: Sequence[audit_windows.Kind]) -> None:
    base = kinds[0].answers
    for kind in kinds:
        print(f"beside {kind.name}, {len(kind.answers)} admissions:")
        for name, percent in (("median", 50), ("p99", 99)):
            found, usual = _percentile(kind.answers, percent), _percentile(base, percent)
            print(f"  {name} {found:.2f} ms ({found / usual - 1:+.0%})")
        print(
            f"  event loop: {kind.late:.0f} of {kind.looks:.0f} looks came more than"
            f" {float(audit_windows.LATE_BOUND) * 1000:g} ms late;"
            f" {kind.collections:.0f} whole garbage collections"
        )


def _percentile(answers: Sequence[audit_windows.Answer], percent: int) -> float:
    return statistics.quantiles((one.milliseconds for one in answers), n=100)[percent - 1]


if __name__ == "__main__":
    sys.exit(main())
