"""What happens now and then in a large cluster: how long it takes, and if it blocks the loop."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Final

from benchmarks import errors, results, reviews, two_clusters
from sidecar_injector import names
from tools.controlplane import client, metrics, operators, release, waiting, webhook

BLOCKED_SECONDS: Final = "0.02"
"""The bucket's bound: nothing may block the event loop for longer."""
CALM_SECONDS: Final = 5.0
WAIT_SECONDS: Final = 10.0
PAUSE_SECONDS: Final = 0.002
_OURS: Final = "sidecar_injector_"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Growth:
    """What was added to a replica's metrics."""

    wakings: float
    """How often the loop woke up."""
    late: float
    """How often that was later than `BLOCKED_SECONDS`."""
    held: float
    """How often that may have been our own work, and not another process on the core."""
    longest: float
    """Seconds: the upper bound of the bucket of the longest time of that."""
    admissions: float
    admission_seconds: float
    collections: float
    """Of the oldest generation: the garbage collector visits every object."""


class Meter:
    """Reads a replica's metrics now; `growth` is what has been added since."""

    def __init__(self, replica: operators.Replica) -> None:
        self._replica, self._before = replica, replica.metrics()

    def growth(self) -> Growth:
        """The difference."""
        now = self._replica.metrics()

        def added(name: str, *, of: str = _OURS, **labels: str) -> float:
            name = f"{of}{name}"
            return now.value(name, **labels) - self._before.value(name, **labels)

        wakings = added("loop_lag_seconds_count")
        bounds = now.label_values(f"{_OURS}loop_held_seconds_bucket", "le")
        return Growth(
            wakings=wakings,
            late=wakings - added("loop_lag_seconds_bucket", le=BLOCKED_SECONDS),
            held=wakings - added("loop_held_seconds_bucket", le=BLOCKED_SECONDS),
            longest=next(
                (
                    float(bound)
                    for bound in sorted(bounds, key=float)
                    if added("loop_held_seconds_bucket", le=bound) == wakings
                ),
                float("inf"),
            ),
            admissions=added("admission_duration_seconds_count"),
            admission_seconds=added("admission_duration_seconds_sum"),
            collections=added("python_gc_collections_total", of="", generation="2"),
        )


def measure(clusters: two_clusters.TwoClusters) -> tuple[results.Table, list[results.Figure]]:
    """What blocked the loop, and promised figures, in the cluster as it has grown by now."""
    seconds = changes_in_force(clusters, count=int(clusters.bench.pick(100, 10)))
    growths = {
        "at rest": _watched(clusters, lambda: time.sleep(clusters.bench.pick(CALM_SECONDS, 1.0))),
        f"{clusters.most:,} changed injections": _watched(
            clusters, lambda: clusters.change_injections(tag="2")
        ),
        "a new certificate": _watched(clusters, lambda: _rotate(clusters)),
        "all namespaces listed again": _watched(clusters, lambda: _list_again(clusters)),
    }
    rows = [
        (what, f"{growth.wakings:,.0f}", f"{growth.late:.0f}", f"{growth.held:.0f}",
         f"≤ {growth.longest * 1e3:g}")
        for what, growth in growths.items()
    ]  # fmt: skip
    headings = (
        "the event loop during", "looks", "later than 20 ms", "by our work", "longest of that, ms",
    )  # fmt: skip
    late = max(growth.late for growth in growths.values())
    return results.Table(headings=headings, rows=rows), [
        results.Figure(
            name="a changed injection in force on every replica, p99",
            value=results.percentile(seconds, 0.99) * 1e3, unit="ms", most=300,
            note=f"p50 {results.percentile(seconds, 0.5) * 1e3:.0f} ms of {len(seconds)}",
        ),
        _start(clusters.small, "one injection"),
        _start(clusters.large, f"{clusters.most:,} injections and all namespaces"),
        results.Figure(
            name="the event loop held for more than 20 ms by our own work",
            value=max(growth.held for what, growth in growths.items() if what != "at rest"),
            unit="times", most=0, note=f"later than that for whatever reason: {late:.0f} times",
        ),
    ]  # fmt: skip


def changes_in_force(clusters: two_clusters.TwoClusters, *, count: int) -> list[float]:
    """Seconds from the request for each change until both replicas' answers contain it."""
    review = reviews.in_namespace(reviews.recorded(), clusters.namespace)
    path = f"{release.injections(clusters.namespace)}/{two_clusters.name(0)}"
    with contextlib.ExitStack() as stack:
        connections = [
            stack.enter_context(webhook.Connection(replica.backend.port))
            for replica in clusters.large.replicas
        ]
        seconds = []
        for number in range(count):
            clusters.bench.report.tick(f"change {number} of {count}")
            tag = f"change-{number}"
            change = two_clusters.template(0, tag)
            begin = time.perf_counter()
            clusters.plane.client.request("PATCH", path, change, content=client.MERGE_PATCH)
            _wait_answered(connections, review, tag)
            seconds.append(time.perf_counter() - begin)
        return seconds


def _wait_answered(connections: Sequence[webhook.Connection], review: bytes, tag: str) -> None:
    for connection in connections:

        def is_in_patch(connection: webhook.Connection = connection) -> bool:
            patch = base64.b64decode(connection.post(review)["response"].get("patch", ""))
            return f"nginx:{tag}".encode() in patch

        what = f"the image nginx:{tag} in a patch"
        waiting.until(is_in_patch, what=what, seconds=WAIT_SECONDS, pause=PAUSE_SECONDS)


def _watched(clusters: two_clusters.TwoClusters, work: Callable[[], object]) -> Growth:
    """The worst of the replicas."""
    meters = [Meter(replica) for replica in clusters.large.replicas]
    work()
    growths = [meter.growth() for meter in meters]
    return max(growths, key=lambda growth: (growth.held, growth.longest))


def _rotate(clusters: two_clusters.TwoClusters) -> None:
    """A new key and certificate, loaded by every replica."""
    server = clusters.plane.client

    def certificate() -> str:
        return str(server.get(release.SECRET)["data"][names.TLS_CERT])

    before = certificate()
    body = {"metadata": {"annotations": {names.ROTATE_ANNOTATION: "leaf"}}}
    server.request("PATCH", release.SECRET, body, content=client.MERGE_PATCH)
    clusters.plane.wait("a new certificate", lambda: certificate() != before)
    clusters.settle()


def _list_again(clusters: two_clusters.TwoClusters) -> None:
    """A restarted API server has no history for a watch: everything is listed again."""
    clusters.plane.apiserver.kill()
    clusters.plane.apiserver.start()
    clusters.plane.wait_ready()
    clusters.settle()
    lists = count_lists(clusters.plane.client, "namespaces")
    if not lists:
        raise errors.WrongAnswerError(server="kube-apiserver", seen=lists, wanted="new lists")


def count_lists(server: client.Client, resource: str) -> float:
    """How many lists of a resource the API server has answered."""
    text = server.text("GET", "/metrics")[1]
    return metrics.read(text).value("apiserver_request_total", resource=resource, verb="LIST")


def _start(running: operators.Operators, what: str) -> results.Figure:
    """A replica started again, while nothing else works."""
    replica = running.replicas[0]
    replica.terminate()
    begin = time.perf_counter()
    replica.start()
    replica.wait_ready(pause=0.01)
    seconds = time.perf_counter() - begin
    return results.Figure(
        name=f"start to ready with {what}", value=seconds, unit="s", most=3,
        note=f"{replica.cpu_seconds():.1f} s of processor time",
    )  # fmt: skip
