"""What happens now and then in a large cluster: how long it takes, and if it holds the loop."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import functools
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from benchmarks import (
    errors,
    figures,
    grounds,
    machine,
    population,
    post,
    product,
    reviews,
    scrape,
    stage,
)
from sidecar_injector import names
from tools.controlplane import client, cluster, operators, waiting

SECRET: Final = f"/api/v1/namespaces/{names.PRODUCT}/secrets/{names.secret_name(names.PRODUCT)}"
CALM_SECONDS: Final = 5.0
WAIT_SECONDS: Final = 10.0
PAUSE_SECONDS: Final = 0.002


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Moments:
    """A table of what held the loop, and promised figures."""

    table: stage.Table
    figures: Sequence[figures.Figure]


def measure(here: grounds.Grounds) -> Moments:
    """In the cluster as it has grown by now."""
    force = changes_in_force(here, count=int(here.scene.pick(100, 10)))
    held = {
        "at rest": _watched(here, lambda: _rest(here)),
        f"{here.most:,} changed injections": _watched(here, lambda: _change_all(here)),
        "a new certificate": _watched(here, lambda: _rotate(here)),
        "all namespaces listed again": _watched(here, lambda: _list_again(here)),
    }
    rows = [
        (
            what,
            f"{seen.wakings:,.0f}",
            f"{seen.late:.0f}",
            f"{seen.held:.0f}",
            f"≤ {seen.longest * 1e3:g}",
        )
        for what, seen in held.items()
    ]
    headings = (
        "the event loop during",
        "looks",
        "later than 20 ms",
        "by our work",
        "longest of that, ms",
    )
    blocked = max(seen.held for what, seen in held.items() if what != "at rest")
    late = max(seen.late for seen in held.values())
    return Moments(
        table=stage.Table(headings=headings, rows=rows),
        figures=[
            figures.Figure(
                name="a changed injection in force on every replica, p99",
                value=figures.percentile(force, 0.99) * 1e3,
                unit="ms",
                most=300,
                note=f"p50 {figures.percentile(force, 0.5) * 1e3:.0f} ms of {len(force)}",
            ),
            *(_start(running, what) for what, running in _installations(here)),
            figures.Figure(
                name="the event loop held for more than 20 ms by our own work",
                value=blocked,
                unit="times",
                most=0,
                note=f"later than that for whatever reason: {late:.0f} times",
            ),
        ],
    )


def changes_in_force(here: grounds.Grounds, *, count: int) -> list[float]:
    """Seconds from sending each change to both replicas' answers showing it."""
    review = reviews.in_namespace(reviews.recorded(), here.space)
    path = f"{product.INJECTIONS.format(here.space)}/{population.name(0)}"
    with contextlib.ExitStack() as stack:
        connections = [
            stack.enter_context(post.Connection(replica.backend.port))
            for replica in here.grown.replicas
        ]
        seconds = []
        for number in range(count):
            here.scene.report.tick(f"change {number} of {count}")
            tag = f"change-{number}"
            change = {"spec": {"template": population.template(0, tag)}}
            begin = time.perf_counter()
            here.plane.client.request("PATCH", path, change, content=client.MERGE_PATCH)
            for connection in connections:
                _until_shown(connection, review, tag)
            seconds.append(time.perf_counter() - begin)
        return seconds


def _until_shown(connection: post.Connection, review: bytes, tag: str) -> None:
    def shown() -> bool:
        answer = connection.post(names.MUTATE_PATH, review)
        return f"nginx:{tag}".encode() in base64.b64decode(answer["response"].get("patch", ""))

    what = f"the image nginx:{tag} in a patch"
    waiting.until(shown, what=what, seconds=WAIT_SECONDS, pause=PAUSE_SECONDS)


def _watched(here: grounds.Grounds, work: Callable[[], object]) -> scrape.Seen:
    """The worst of the replicas."""
    meters = [scrape.Meter(replica) for replica in here.grown.replicas]
    work()
    return max((meter.since() for meter in meters), key=lambda seen: (seen.held, seen.longest))


def _rest(here: grounds.Grounds) -> None:
    """Nothing happens, for as long as the noise of the machine needs to show."""
    time.sleep(here.scene.pick(CALM_SECONDS, 1.0))


def _change_all(here: grounds.Grounds) -> None:
    here.filled.change(here.space, here.most, tag="2")


def _rotate(here: grounds.Grounds) -> None:
    """A new key and certificate, loaded by every replica."""
    before = _serial(here.plane)
    asked = {"metadata": {"annotations": {names.ROTATE_ANNOTATION: "leaf"}}}
    here.plane.client.request("PATCH", SECRET, asked, content=client.MERGE_PATCH)
    here.plane.wait("a new certificate", lambda: _serial(here.plane) != before)
    here.filled.settle()


def _serial(plane: cluster.ControlPlane) -> str:
    return str(plane.client.get(SECRET)["data"][names.TLS_CERT])


def _list_again(here: grounds.Grounds) -> None:
    """A restarted API server has forgotten what a watch has seen: everything is listed anew."""
    here.plane.apiserver.kill()
    here.plane.apiserver.start()
    here.plane.wait_ready()
    here.filled.settle()
    status, text = here.plane.client.text("GET", "/metrics")
    lists = [line for line in text.splitlines() if _counts_lists(line)]
    if status != 200 or not lists:
        raise errors.WrongAnswerError(server="kube-apiserver", seen=status, wanted="new lists")


def _counts_lists(line: str) -> bool:
    return (
        line.startswith("apiserver_request_total{")
        and 'resource="namespaces"' in line
        and 'verb="LIST"' in line
    )


def _installations(here: grounds.Grounds) -> list[tuple[str, operators.Operators]]:
    return [
        ("one injection", here.alone),
        (f"{here.most:,} injections and all namespaces", here.grown),
    ]


def _start(running: operators.Operators, what: str) -> figures.Figure:
    """A replica started again, beside nothing else that works."""
    replica = running.replicas[0]
    replica.terminate()
    begin = time.perf_counter()
    replica.start()
    probe = functools.partial(_ready, replica)
    waiting.until(probe, what=f"{replica.name} is ready", pause=0.01)
    seconds = time.perf_counter() - begin
    spent = machine.cpu_seconds(replica.process.pid)
    return figures.Figure(
        name=f"start to ready with {what}", value=seconds, unit="s", most=3,
        note=f"{spent:.1f} s of processor time",
    )  # fmt: skip


def _ready(replica: operators.Replica) -> Any:
    replica.process.require_running()
    return replica.ready()
