"""What a pod waits while other clients disturb the replica.

`python -m benchmarks.disturbance KIND PORT SECONDS` is one such client. It is a process of its own,
so that it does not delay the requests that are measured.
"""

from __future__ import annotations

import asyncio
import http
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import uvloop

from benchmarks import errors, event_loop, load, machine, product, results, reviews
from tools.controlplane import operators, release, webhook

TITLE: Final = "Small pods among trouble"
TEXT: Final = """\
The recorded review {rate:g} times a second over {connections} kept-alive connections, from when it
was due to its whole answer, {seconds:g} s for each kind of trouble. Trouble comes from a process of
its own on the client's core. The last row asks as fast as it is answered."""
HEADINGS: Final = (
    "beside", "p50 ms", "p99 ms", "slowest ms", "loop later than 20 ms", "by our work",
)  # fmt: skip
GRACE_SECONDS: Final = 1.0
KEPT: Final = 64
CONNECTIONS: Final = 8
RATE: Final = 200.0
"""A second, over all connections: a busy cluster, and a fraction of what a replica can answer."""
NEWCOMERS: Final = 200
BYTE_SECONDS: Final = 0.001
PAUSE_SECONDS: Final = 1.0
LARGEST: Final = 8 * 1024**2 - 16 * 1024
"""Just below the product's own limit; the API server accepts 3 MiB."""
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def measure(bench: product.Bench) -> results.Result:
    """Each kind in turn, on one replica."""
    bench.report.begin("starting the product")
    seconds = bench.pick(10, 1)
    with product.started(bench.plane, replicas=1) as running:
        (replica,) = running.replicas
        server = product.server(replica)
        rows = []
        for kind in KINDS:
            bench.report.tick(kind)
            rows.append(_row(kind, replica, seconds=seconds))
        review = reviews.recorded()
        target = load.Target(
            name=server.name, url=server.url, body=reviews.RECORDED,
            varied=reviews.same_template(review),
        )  # fmt: skip
        run = load.run(target, seconds=seconds, connections=KEPT)
        name = f"{KEPT} kept-alive connections, {run.rate:,.0f} answers/s"
        rows.append((name, f"{run.p50:.1f}", f"{run.p99:.1f}", f"{run.slowest:.1f}", "", ""))
    text = TEXT.format(rate=RATE, connections=CONNECTIONS, seconds=seconds)
    table = results.Table(headings=HEADINGS, rows=rows)
    return results.Result(title=TITLE, text=text, tables=[table])


def _row(kind: str, replica: operators.Replica, *, seconds: float) -> tuple[str, ...]:
    """How long paced requests wait during this disturbance, and how often the loop was late."""
    port, meter = replica.backend.port, event_loop.Meter(replica)
    command = (sys.executable, "-m", "benchmarks.disturbance", kind, str(port))
    with subprocess.Popen(
        [*machine.on_core(machine.CLIENT_CORE), *command, str(seconds + GRACE_SECONDS)],
        cwd=release.ROOT,
        stderr=subprocess.PIPE,
        text=True,
    ) as client:
        waits = uvloop.run(_paced(port, reviews.recorded(), seconds=seconds))
        _, output = client.communicate()
    if client.returncode != 0:
        lines = output.splitlines() or [str(client.returncode)]
        raise errors.BenchError(f"{kind}: {lines[-1]}")
    values = [results.percentile(waits, share) for share in (0.5, 0.99, 1.0)]
    growth = meter.growth()
    return kind, *(f"{value:.1f}" for value in values), f"{growth.late:.0f}", f"{growth.held:.0f}"


async def _paced(port: int, body: bytes, *, seconds: float) -> list[float]:
    """Milliseconds from when each request was due to its whole answer.

    Raises WrongAnswerError for any status but 200, OSError for a lost connection.
    """
    message, waits = _request(body), list[float]()
    connections = [await webhook.connect(port) for _ in range(CONNECTIONS)]
    begin = time.perf_counter()

    async def client(connection: Connection, due: float) -> None:
        """A late answer delays the next request, which counts as its waiting."""
        reader, writer = connection
        try:
            while due < begin + seconds:
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                writer.write(message)
                await _answer(reader)
                waits.append((time.perf_counter() - due) * 1e3)
                due += CONNECTIONS / RATE
        finally:
            writer.close()

    async with asyncio.TaskGroup() as group:
        for number, connection in enumerate(connections):
            group.create_task(client(connection, begin + number / RATE))
    return waits


def _request(body: bytes) -> bytes:
    """The bytes of a review's POST."""
    head = f"POST /mutate HTTP/1.1\r\nHost: bench\r\nContent-Length: {len(body)}\r\n"
    return f"{head}Content-Type: application/json\r\n\r\n".encode() + body


async def _answer(reader: asyncio.StreamReader) -> None:
    """Raises WrongAnswerError unless the status is 200."""
    status, _ = await webhook.read_answer(reader)
    if status != http.HTTPStatus.OK:
        raise errors.WrongAnswerError(server=product.OURS, seen=status, wanted=200)


async def _nothing(_port: int) -> None:
    """For comparison."""
    await asyncio.Event().wait()


async def _newcomers(port: int) -> None:
    """200 new connections at once with one request each, once a second."""
    message = _request(reviews.recorded())

    async def come() -> None:
        reader, writer = await webhook.connect(port)
        writer.write(message)
        await _answer(reader)
        writer.close()

    while True:
        async with asyncio.TaskGroup() as group:
            for _ in range(NEWCOMERS):
                group.create_task(come())
        await asyncio.sleep(PAUSE_SECONDS)


async def _byte_by_byte(port: int) -> None:
    """One client that sends each byte of its requests in a TLS record of its own."""
    reader, writer = await webhook.connect(port)
    message = _request(reviews.recorded())
    while True:
        for number in range(len(message)):
            writer.write(message[number : number + 1])
            await asyncio.sleep(BYTE_SECONDS)
        await _answer(reader)


async def _large(port: int, size: int) -> None:
    """One client whose pods have so many variables that their size is this."""
    reader, writer = await webhook.connect(port)
    message = _request(reviews.of_size(size))
    while True:
        writer.write(message)
        await _answer(reader)
        await asyncio.sleep(PAUSE_SECONDS / 4)


KINDS: Final[Mapping[str, Callable[[int], Awaitable[None]]]] = {
    "nothing else": _nothing,
    "200 new TLS connections at once, every second": _newcomers,
    "a client that sends byte by byte": _byte_by_byte,
    "pods of 1 MiB": lambda port: _large(port, 1024**2),
    "bodies of 8 MiB": lambda port: _large(port, LARGEST),
}


async def main() -> None:
    """Disturb until the time is over."""
    kind, port, seconds = sys.argv[1:]
    try:
        async with asyncio.timeout(float(seconds)):
            await KINDS[kind](int(port))
    except TimeoutError:
        return


if __name__ == "__main__":
    uvloop.run(main())
