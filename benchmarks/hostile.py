"""What small pods wait for, and what a replica takes, while somebody attacks it."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import http
import math
import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, Final

import uvloop

from benchmarks import (
    errors,
    event_loop,
    hostile_attacks,
    machine,
    product,
    results,
    reviews,
    two_clusters,
)
from sidecar_injector import names
from tools.controlplane import client, operators, ports, release, webhook

TITLE: Final = "Small pods under attack"
TEXT: Final = """\
One hostile client at a time, each on a new replica. The recorded review is sent {rate:g} times a
second over kept-alive connections for {seconds:g} s from the beginning of the attack. The time
is from when a review was due to its whole answer. Without an answer of `200` within
{patience:g} s it is lost, as for the API server, and counts as {patience:g} s. Newcomers send the
same review five times a second, each over a new connection; `/healthz` is read twice a second. The
loop is held for as long as its thread works while one of these waits, in processor time, or for
less if the replica's own metric says so. Memory is the most that was ever resident. The attacker
is a process of its own on the client's core. Sizes are the largest that the CRDs accept."""
HEADINGS: Final = (
    "attack", "p50 ms", "p99 ms", "loop held ms", "lost", "newcomers refused", "/healthz lost",
    "peak MiB",
)  # fmt: skip
REVIEW_SECONDS, NEWCOMER_SECONDS, PROBE_SECONDS = 0.02, 0.2, 0.5
"""Between two of a kind."""
PATIENCE_SECONDS: Final = 5.0
"""The webhooks' timeout."""
LOST: Final = PATIENCE_SECONDS * 1e3
VALIDATING: Final = release.CONFIGURATIONS.replace("mutating", "validating")
Json = dict[str, Any]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What was measured during one attack. Times are milliseconds; LOST is one without an end."""

    name: str
    reviews: Sequence[float]
    newcomers: Sequence[float]
    probes: Sequence[float]
    held: float
    peak: float
    """MiB; infinite if the replica has died."""

    @property
    def p99(self) -> float:
        """Of the reviews."""
        return results.percentile(self.reviews, 0.99)

    @property
    def row(self) -> tuple[str, ...]:
        """Of the table."""
        lost = (
            f"{waits.count(LOST)} of {len(waits)}"
            for waits in map(list, (self.reviews, self.newcomers, self.probes))
        )
        p50 = results.percentile(self.reviews, 0.5)
        peak = "died" if math.isinf(self.peak) else f"{self.peak:.0f}"
        return self.name, f"{p50:.1f}", f"{self.p99:.1f}", f"{self.held:,.0f}", *lost, peak


def measure(bench: product.Bench) -> results.Result:
    """Each attack in turn."""
    sizes = {attack.name: accepted(attack, bench) for attack in hostile_attacks.ATTACKS}
    outcomes = [
        attacked(attack, size=sizes[attack.name], bench=bench) for attack in hostile_attacks.ATTACKS
    ]
    text = TEXT.format(rate=1 / REVIEW_SECONDS, seconds=duration(bench), patience=PATIENCE_SECONDS)
    table = results.Table(headings=HEADINGS, rows=[outcome.row for outcome in outcomes])
    return results.Result(title=TITLE, text=text, tables=[table], figures=promised(outcomes))


def duration(bench: product.Bench) -> float:
    """Seconds of each attack."""
    return bench.pick(10, 3)


def promised(outcomes: Sequence[Outcome]) -> list[results.Figure]:
    """The worst of all attacks."""

    def worst(name: str, value: Callable[[Outcome], float], most: float, unit: str = "") -> Any:
        outcome = max(outcomes, key=value)
        return results.Figure(
            name=f"under attack, {name}", value=value(outcome), unit=unit, most=most,
            note=f"worst: {outcome.name}",
        )  # fmt: skip

    return [
        worst("p99 of small pods", lambda outcome: outcome.p99, 50, "ms"),
        worst("answers lost", lambda outcome: list(outcome.reviews).count(LOST), 0),
        worst("the loop held", lambda outcome: outcome.held, 20, "ms"),
        worst("newcomers refused", lambda outcome: list(outcome.newcomers).count(LOST), 0),
        worst("/healthz lost", lambda outcome: list(outcome.probes).count(LOST), 0),
        worst("memory", lambda outcome: outcome.peak, 256, "MiB"),
    ]


# The cluster and the replica.


def path_of(injection: Json) -> str:
    """The path of its collection."""
    if injection["kind"] == names.CLUSTER_KIND:
        return release.CLUSTER_INJECTIONS
    return release.injections(product.NAMESPACE)


def accepted(attack: hostile_attacks.Attack, bench: product.Bench) -> int:
    """The first size whose injection the CRDs accept. Raises BenchError if there is none."""
    if attack.injection is None:
        return 0
    message = ""
    for size in attack.sizes:
        injection = attack.injection(size)
        path = f"{path_of(injection)}?dryRun=All"
        status, text = bench.plane.client.text("POST", path, injection)
        if status == http.HTTPStatus.CREATED:
            return size
        message = client.message(text)
    raise errors.BenchError(f"no size is accepted for {attack.name!r}: {message[:300]}")


def set_validated(server: client.Client, *, selector: Json) -> None:
    """Which injections the API server sends to `/validate`.

    Without a replica it tries for five seconds, for each of them.
    """
    path, change = f"{VALIDATING}/{names.PRODUCT}", "/webhooks/0/objectSelector"
    body: Any = [{"op": "add", "path": change, "value": selector}]
    server.request("PATCH", path, body, content="application/json-patch+json")


@contextlib.contextmanager
def installed(
    attack: hostile_attacks.Attack, count: int, *, size: int, bench: product.Bench
) -> Iterator[None]:
    """With so many copies of its injection. No replica runs yet, which could refuse them."""
    injections = [attack.injection(size) for _ in range(count)] if attack.injection else []
    paths = []
    for number, injection in enumerate(injections):
        injection["metadata"]["name"] += f"-{number}"
        paths.append(f"{path_of(injection)}/{injection['metadata']['name']}")
    server, report = bench.plane.client, bench.report
    create = [("POST", path_of(injection), injection) for injection in injections]
    set_validated(server, selector={"matchLabels": {"validated": "yes"}})
    two_clusters.write(server, create, what="injections", report=report)
    set_validated(server, selector={})
    yield
    delete = [("DELETE", path, None) for path in paths]
    two_clusters.write(server, delete, what="deletions", report=report)
    # An attacker that was ended between its calls has left it.
    server.text("DELETE", f"{release.injections(product.NAMESPACE)}/{hostile_attacks.APPLIED}")


def attacked(attack: hostile_attacks.Attack, *, size: int, bench: product.Bench) -> Outcome:
    """One row, of a replica that is new and at rest."""
    count = min(attack.installed, int(bench.pick(1_000, 100)))
    name = attack.name.replace("{size:,}", f"{size:,}").replace("{installed:,}", f"{count:,}")
    bench.report.begin(f"attack: {name}")
    with (
        installed(attack, count, size=size, bench=bench),
        product.started(bench.plane, replicas=1) as running,
    ):
        (replica,) = running.replicas
        two_clusters.settle(replica)
        machine.pin(replica.pid, machine.SERVER_CORE)
        meter, client = event_loop.Meter(replica), Client(replica)
        with attacker(attack, replica, size=size, bench=bench):
            waits = uvloop.run(client.run(seconds=duration(bench)))
            held = client.held
            with contextlib.suppress(OSError):  # It does not answer even now, or has died.
                held = min(held, meter.growth().longest * 1e3)
        return Outcome(
            name=name, reviews=waits[0], newcomers=waits[1], probes=waits[2], held=held,
            peak=peak(replica),
        )  # fmt: skip


@contextlib.contextmanager
def attacker(
    attack: hostile_attacks.Attack, replica: operators.Replica, *, size: int, bench: product.Bench
) -> Iterator[None]:
    """The process that attacks; it is ended, and ends by itself if it is not."""
    backend, server = replica.backend, bench.plane.client
    seconds = duration(bench) + 6 * PATIENCE_SECONDS
    numbers = map(str, (size, backend.port, backend.admin_port, seconds))
    command = (sys.executable, "-m", "benchmarks.hostile_attacks", attack.name, *numbers)
    environment = {
        "HOSTILE_SERVER": server.server,
        "HOSTILE_AUTHORITY": str(server.certificate_authority),
        "HOSTILE_TOKEN": server.token,
    }
    with subprocess.Popen(
        [*machine.on_core(machine.CLIENT_CORE), *command],
        cwd=release.ROOT, stdout=subprocess.PIPE, env={**os.environ, **environment},
    ) as process:  # fmt: skip
        try:
            assert process.stdout is not None
            if not process.stdout.readline():
                raise errors.BenchError(f"{attack.name}: the attacker did not begin")
            yield
            if process.poll() is not None:
                raise errors.BenchError(f"{attack.name}: the attacker ended too early")
        finally:
            process.kill()


def peak(replica: operators.Replica) -> float:
    """The most MiB that were ever resident."""
    if not replica.running:
        return math.inf
    status = pathlib.Path(f"/proc/{replica.pid}/status").read_text("ascii")
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


class Client:
    """Reviews at a steady rate, newcomers, and the kubelet."""

    def __init__(self, replica: operators.Replica) -> None:
        self._backend = replica.backend
        # The event loop is in the process's first thread:
        # https://www.kernel.org/doc/html/latest/scheduler/sched-stats.html
        self._spent = pathlib.Path(f"/proc/{replica.pid}/task/{replica.pid}/schedstat")
        self._review = hostile_attacks.message(names.MUTATE_PATH, reviews.recorded())
        self._idle: list[webhook.StreamPair] = []
        self.held = 0.0
        """Milliseconds of processor time that the loop's thread worked while something waited."""

    async def run(self, *, seconds: float) -> list[list[float]]:
        """Milliseconds of reviews, newcomers and probes, when the last has ended."""
        kinds: Sequence[tuple[float, Callable[[], Awaitable[None]]]] = (
            (REVIEW_SECONDS, self._post),
            (NEWCOMER_SECONDS, lambda: self._post(new=True)),
            (PROBE_SECONDS, self._probe),
        )
        begin = time.perf_counter()
        waits = [
            asyncio.gather(
                *(
                    self._timed(attempt, due=begin + number * every)
                    for number in range(round(seconds / every))
                )
            )
            for every, attempt in kinds
        ]
        every_wait = [await each for each in waits]
        for _, writer in self._idle:
            writer.transport.abort()
        return every_wait

    async def _timed(self, attempt: Callable[[], Awaitable[None]], *, due: float) -> float:
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        spent = self._loop_milliseconds()
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await attempt()
            return min((time.perf_counter() - due) * 1e3, LOST)
        except (OSError, EOFError, ValueError):  # TimeoutError is an OSError.
            return LOST
        finally:
            self.held = max(self.held, self._loop_milliseconds() - spent)

    def _loop_milliseconds(self) -> float:
        try:
            return int(self._spent.read_text("ascii").split()[0]) / 1e6
        except OSError:
            return 0.0  # The replica has died.

    async def _post(self, *, new: bool = False) -> None:
        """As the API server's transport: over an idle connection if there is one."""
        if self._idle and not new:
            reader, writer = self._idle.pop()
        else:
            reader, writer = await webhook.connect(self._backend.port)
        try:
            await _exchange(reader, writer, self._review)
        except BaseException:
            writer.transport.abort()
            raise
        if new:
            writer.transport.abort()
        else:
            self._idle.append((reader, writer))

    async def _probe(self) -> None:
        """As the kubelet."""
        reader, writer = await asyncio.open_connection(ports.LOOPBACK, self._backend.admin_port)
        with contextlib.closing(writer.transport):
            await _exchange(reader, writer, hostile_attacks.message("/healthz", method="GET"))


async def _exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, message: bytes
) -> None:
    """Raises ValueError unless the status is 200."""
    writer.write(message)
    status, _ = await webhook.read_answer(reader)
    if status != http.HTTPStatus.OK:
        raise ValueError(status)
