"""`python -m benchmarks.memory_limit`: a large cluster under the chart's own memory limit.

Two replicas on a real API server, each in a control group with the limit of the chart's Deployment
(root and cgroup version 1 are needed). The cluster has cluster injections and enabled namespaces
with a pod in every one; each replica is asked about a pod of every namespace; the leader audits all
of it; meanwhile one client sends bodies of up to 8 MiB. It fails if a replica dies.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import itertools
import json
import os
import pathlib
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any, Final

from benchmarks import errors as bench_errors
from benchmarks import product, two_clusters
from sidecar_injector import names
from tools.controlplane import (
    binaries,
    cluster,
    errors,
    operators,
    progress,
    release,
    waiting,
    webhook,
)
from tools.node import cgroups

MIB: Final = two_clusters.MIB
NAMESPACE: Final = "load-{}"
SETTINGS: Final = ("settings.auditSeconds=30", "settings.drainSeconds=1")
AUDITS: Final = 2
"""Of the whole cluster, after everything was created."""
BODY_BYTES: Final = (8 * MIB - 1024, 4 * MIB - 1024, 2 * MIB)
"""More than any pod has, less than the API server accepts, and as much as a real pod may have."""
Json = dict[str, Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Limited:
    """A replica in a control group of its own."""

    replica: operators.Replica
    group: pathlib.Path

    def peak(self) -> float:
        """MiB that were resident at most, since the last call of `restart`."""
        status = pathlib.Path(f"/proc/{self.replica.pid}/status").read_text("ascii")
        fields = dict(line.split(":", 1) for line in status.splitlines())
        return int(fields["VmHWM"].split()[0]) / 1024

    def restart(self) -> None:
        """Measure the next peak from here."""
        pathlib.Path(f"/proc/{self.replica.pid}/clear_refs").write_text("5", "ascii")

    def resident(self) -> float:
        """MiB now."""
        return self.replica.rss() / MIB

    def in_group(self) -> float:
        """MiB that the kernel has counted against the limit at most, cached files included."""
        return int((self.group / "memory.max_usage_in_bytes").read_text("ascii")) / MIB


class Table:
    """A row for each thing that happened: what both replicas took."""

    def __init__(self, replicas: list[Limited]) -> None:
        self._replicas = replicas
        print("| | MiB at most | MiB after it |\n|---|---:|---:|", flush=True)

    def row(self, what: str) -> None:
        """What happened since the last row."""
        for limited in self._replicas:
            limited.replica.require_running()
        peaks = " and ".join(f"{limited.peak():.0f}" for limited in self._replicas)
        after = " and ".join(f"{limited.resident():.0f}" for limited in self._replicas)
        print(f"| {what} | {peaks} | {after} |", flush=True)
        for limited in self._replicas:
            limited.restart()


class Bodies:
    """A client that sends large bodies to all replicas in turn, until it is stopped."""

    def __init__(self, replicas: list[Limited], kind: str) -> None:
        self._replicas = replicas
        self._bodies = [_large_body(kind, size) for size in BODY_BYTES]
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._send)
        self.sent = 0
        self.refused: dict[str, int] = {}

    def __enter__(self) -> Bodies:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _send(self) -> None:
        for body, limited in itertools.cycle(itertools.product(self._bodies, self._replicas)):
            if self._over.is_set():
                return
            try:
                with webhook.Connection(limited.replica.backend.port) as connection:
                    connection.post(body)
            except OSError as error:
                answer = str(error)[:60]
                self.refused[answer] = self.refused.get(answer, 0) + 1
            self.sent += 1


def main() -> int:
    """0 if every replica survived, whatever they took."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory_limit", description=__doc__)
    parser.add_argument("--injections", type=int, default=1_000)
    parser.add_argument("--namespaces", type=int, default=5_000)
    parser.add_argument("--body", choices=["none", "text", "objects"], default="objects",
                        help="what the large bodies consist of")  # fmt: skip
    arguments = parser.parse_args()
    try:
        with cluster.ControlPlane(binaries.cached()) as plane:
            release.install(plane, *SETTINGS)
            with _started(plane) as replicas:
                _measure(plane, replicas, arguments)
    except (errors.ControlPlaneError, bench_errors.BenchError) as error:
        sys.stderr.write(f"a replica died, or could not be measured: {error}\n")
        return 1
    return 0


@contextlib.contextmanager
def _started(plane: cluster.ControlPlane) -> Iterator[list[Limited]]:
    """The replicas that the chart wants, each under the chart's limit."""
    hierarchy = cgroups.required(versions=(1,)).folders["memory"]
    with operators.Operators(plane, replicas=0) as running, contextlib.ExitStack() as stack:
        container = running.workload.manifest["spec"]["template"]["spec"]["containers"][0]
        limit = container["resources"]["limits"]["memory"]
        replicas = []
        for number in range(running.workload.replicas):
            group = stack.enter_context(_group(hierarchy, f"memory-limit-{os.getpid()}-{number}"))
            (group / "memory.limit_in_bytes").write_text(limit.removesuffix("i"), "ascii")
            # A child starts in the group of its parent.
            (group / "cgroup.procs").write_text(str(os.getpid()), "ascii")
            try:
                replicas.append(Limited(replica=running.add(), group=group))
            finally:
                (hierarchy / "cgroup.procs").write_text(str(os.getpid()), "ascii")
        running.wait_ready()
        print(f"limit {limit}", flush=True)
        try:
            yield replicas
        finally:
            for limited in replicas:
                limited.replica.kill()


@contextlib.contextmanager
def _group(hierarchy: pathlib.Path, name: str) -> Iterator[pathlib.Path]:
    folder = hierarchy / name
    folder.mkdir()
    try:
        yield folder
    finally:
        waiting.until(lambda: _is_removed(folder), what=f"{folder} is empty", seconds=30)


def _is_removed(folder: pathlib.Path) -> bool:
    with contextlib.suppress(OSError):
        folder.rmdir()
    return not folder.exists()


def _measure(
    plane: cluster.ControlPlane, replicas: list[Limited], arguments: argparse.Namespace
) -> None:
    report = progress.Progress(sys.stderr)
    table = Table(replicas)
    waiting.until(lambda: _audits(replicas) >= 1, what="an audit", seconds=60)
    table.row("started, at rest")
    calls = [
        ("POST", release.CLUSTER_INJECTIONS, _injection(n)) for n in range(arguments.injections)
    ]
    two_clusters.write(plane.client, calls, what="injections", report=report)
    table.row(f"{arguments.injections:,} cluster injections")
    _create_namespaces(plane, arguments.namespaces, report)
    table.row(f"{arguments.namespaces:,} namespaces")

    bodies = None if arguments.body == "none" else Bodies(replicas, arguments.body)
    started_at = time.monotonic()
    with bodies or contextlib.nullcontext():
        calls = [("POST", release.pods(NAMESPACE.format(n)), _pod("web"))
                 for n in range(arguments.namespaces)]  # fmt: skip
        two_clusters.write(plane.client, calls, what="pods", report=report)
        table.row("a pod in every namespace")
        for limited in replicas:
            _admit(limited, arguments.namespaces, report)
        table.row("each replica admits a pod of every namespace")
        wanted = _audits(replicas) + AUDITS
        waiting.until(lambda: _audits(replicas) >= wanted, what="audits", seconds=1200, pause=1)
        table.row(f"{AUDITS} audits")
        change = {"spec": {"priority": 7}}
        plane.client.request(
            "PATCH", f"{release.CLUSTER_INJECTIONS}/{_name(0)}", change,
            content="application/merge-patch+json",
        )  # fmt: skip
        for limited in replicas:
            _admit(limited, arguments.namespaces, report)
        table.row("an injection changes, and each admits a pod of every namespace again")
    seconds = time.monotonic() - started_at
    counted = _counted(plane)
    groups = " and ".join(f"{limited.in_group():.0f} MiB" for limited in replicas)
    print(f"\ncounted against the limit at most, cached files included: {groups}")
    print(f"pods counted by the audit: {counted:,} of {arguments.namespaces:,}")
    if bodies:
        print(f"large bodies sent in {seconds:.0f} s: {bodies.sent}; refused: {bodies.refused}")


def _create_namespaces(plane: cluster.ControlPlane, number: int, report: progress.Progress) -> None:
    calls = [("POST", two_clusters.NAMESPACES, _namespace(n)) for n in range(number)]
    two_clusters.write(plane.client, calls, what="namespaces", report=report)
    for n in range(number):
        plane.wait_for_service_account(NAMESPACE.format(n))


def _admit(limited: Limited, namespaces: int, report: progress.Progress) -> None:
    """One review for each namespace; each is answered with a patch."""
    with webhook.Connection(limited.replica.backend.port) as connection:
        for number in range(namespaces):
            review = webhook.review(_pod("web"), namespace=NAMESPACE.format(number), number=number)
            response = connection.post(json.dumps(review).encode())["response"]
            if "patch" not in response:
                raise bench_errors.BenchError(f"{limited.replica.name}: no patch: {response}")
            report.tick(f"{limited.replica.name}: {number} of {namespaces} namespaces")


def _audits(replicas: list[Limited]) -> float:
    """Audits of everything that have ended."""
    name = "sidecar_injector_audit_duration_seconds_count"
    return sum(limited.replica.metrics().value(name) for limited in replicas)


def _counted(plane: cluster.ControlPlane) -> int:
    injection = plane.client.get(f"{release.CLUSTER_INJECTIONS}/{_name(0)}")
    return int(((injection.get("status") or {}).get("pods") or {}).get("selected", 0))


def _name(number: int) -> str:
    return f"proxy-{number}"


def _injection(number: int) -> Json:
    """Number 0 selects the pods; each third looks at other labels of the namespace."""
    app = "web" if number == 0 else f"app-{number}"
    injection = product.injection(_name(number), app=app, sidecar=f"sidecar-{number}")
    selectors: tuple[Json, ...] = (
        {},
        {"matchLabels": {"team": f"team-{number % 100}"}},
        {"matchExpressions": [{"key": "tier", "operator": "In", "values": ["gold", "iron"]}]},
    )
    spec = {**injection["spec"], "namespaceSelector": selectors[number % 3]}
    if number == 1:
        # So the names of all ServiceAccounts are needed.
        spec["template"]["spec"]["serviceAccountName"] = "robot"
    return {**injection, "kind": names.CLUSTER_KIND, "spec": spec}


def _namespace(number: int) -> Json:
    labels = {
        **release.ENABLED, "team": f"team-{number % 100}", "tier": ("gold", "iron")[number % 2],
    }  # fmt: skip
    annotations = {"example.com/contact": f"team-{number % 100}@example.com", "note": "x" * 200}
    metadata = {"name": NAMESPACE.format(number), "labels": labels, "annotations": annotations}
    return {"metadata": metadata}


def _pod(name: str) -> Json:
    return release.pod(name=name, labels={"app": "web", "pod-template-hash": "5d4f8c7b9"})


def _large_body(kind: str, size: int) -> bytes:
    """A review of a pod, of about so many bytes."""
    pod = _pod("large")
    pod["spec"]["containers"][0]["env"] = ["FILL"]
    text = json.dumps(webhook.review(pod, namespace=NAMESPACE.format(0))).encode()
    room = size - len(text)
    item = b"{}," if kind == "objects" else b'{"name":"A","value":"%b"},' % (b"x" * 100_000)
    return text.replace(b'"FILL"', item * (room // len(item)) + b"{}")


if __name__ == "__main__":
    sys.exit(main())
