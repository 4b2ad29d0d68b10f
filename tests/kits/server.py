"""What the tests of the server share: a transport in memory, and ports and clients on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, TypeVar

from cryptography import x509

from sidecar_injector.httpserver import connection, listener, messages, pool
from sidecar_injector.observability.metrics import Metrics
from tests.kits import server_certificates

T = TypeVar("T")


# A connection in memory.


class Transport(asyncio.Transport):
    """Keeps what is written, says what has been asked of it."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.reading = True
        self.closed = self.aborted = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("192.0.2.1", 40000) if name == "peername" else default

    def write(self, data: Any) -> None:
        assert not self.closed, "written after close"
        self.written += data

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = self.aborted = True


class Clock:
    """A clock that stands still until it is told otherwise."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclasses.dataclass
class Wire:
    """One connection of a pool, on a transport in memory."""

    shared: pool.Pool
    clock: Clock
    transport: Transport
    server: connection.Connection

    def send(self, *parts: bytes) -> Wire:
        for part in parts:
            self.server.data_received(part)
        return self

    def pass_time(self, seconds: float) -> None:
        self.clock.now += seconds
        self.shared.sweep()

    def answers(self) -> list[Reply]:
        return replies(self.transport.written)

    def statuses(self) -> list[int]:
        return [reply.status for reply in self.answers()]


def echo(request: messages.Request) -> messages.Response:
    """Says what it was asked, so that a mix-up shows."""
    return messages.Response(200, b"%d:" % len(request.body) + request.body, messages.TEXT)


def wire(
    routes: messages.Routes | None = None,
    *,
    limits: messages.Limits | None = None,
    metrics: Metrics | None = None,
) -> Wire:
    """A fresh connection to a pool of its own; by default `/echo` takes POST and GET."""
    clock = Clock()
    shared = pool.Pool(
        routes=routes or {"/echo": {"POST": echo, "GET": echo}},
        limits=limits,
        metrics=metrics,
        clock=clock,
    )
    transport = Transport()
    server = connection.Connection(shared)
    server.connection_made(transport)
    return Wire(shared, clock, transport, server)


class Slow:
    """An asynchronous handler that answers when it is told to."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self.answers: asyncio.Queue[bytes] = asyncio.Queue()
        self.routes = {"/echo": {"POST": echo}, "/slow": {"POST": self.answer}}

    async def answer(self, request: messages.Request) -> messages.Response:
        self.asked.append(request.body)
        return messages.Response(200, await self.answers.get())


async def turn() -> None:
    """Let what is ready run."""
    for _ in range(5):
        await asyncio.sleep(0)


# Requests and replies as bytes.


@dataclasses.dataclass(frozen=True)
class Reply:
    """What a client reads."""

    status: int
    headers: dict[str, str]
    body: bytes


def post(body: bytes = b"", *headers: str, path: str = "/echo") -> bytes:
    """A POST as the API server sends it."""
    lines = [f"POST {path} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def chunked(*parts: bytes, path: str = "/echo") -> bytes:
    """A POST whose length is not known beforehand."""
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    return head + b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (*parts, b""))


def replies(data: bytes, *, bodiless: bool = False) -> list[Reply]:
    """Every answer in `data`, which must hold nothing else."""
    found = []
    while data:
        head, _, data = data.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in lines)}
        length = 0 if bodiless else int(headers.get("content-length", 0))
        found.append(Reply(int(first.split(" ")[1]), headers, data[:length]))
        assert len(data) >= length
        data = data[length:]
    return found


async def read_reply(reader: asyncio.StreamReader) -> Reply:
    """The next answer on a socket."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = replies(head, bodiless=True)[0].headers.get("content-length", "0")
    return replies(head + await reader.readexactly(int(length)))[0]


# A port on loopback.


@contextlib.asynccontextmanager
async def listening(
    *,
    context: ssl.SSLContext | None = None,
    routes: messages.Routes | None = None,
    limits: messages.Limits | None = None,
) -> AsyncIterator[tuple[listener.Listener, pool.Pool]]:
    """A listener on a free port, and its pool."""
    shared = pool.Pool(routes=routes or {"/echo": {"POST": echo, "GET": echo}}, limits=limits)
    port = listener.Listener(shared=shared, port=0, host="127.0.0.1", context=context)
    await port.start()
    try:
        yield port, shared
    finally:
        port.stop()
        await shared.wait_empty(5)


@contextlib.asynccontextmanager
async def client(
    port: int, context: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection to a port on loopback."""
    name = server_certificates.SERVER_NAME if context else None
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=context, server_hostname=name
    )
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def ask(port: int, context: ssl.SSLContext | None, request: bytes) -> Reply:
    """One request on a connection of its own."""
    async with client(port, context) as (reader, writer):
        writer.write(request)
        return await read_reply(reader)


def failures(metrics: Metrics) -> dict[str, float]:
    """The reasons that have been counted."""
    samples = next(iter(metrics.handshake_failures.collect())).samples
    return {
        sample.labels["reason"]: sample.value
        for sample in samples
        if sample.name.endswith("_total") and sample.value
    }


async def shown_to(port: int, context: ssl.SSLContext) -> int:
    """The serial number of the certificate that a client sees, after one request."""
    async with client(port, context) as (reader, writer):
        writer.write(post(b"a"))
        assert (await read_reply(reader)).status == 200
        der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        return x509.load_der_x509_certificate(der).serial_number


def run_on(factory: Callable[[], asyncio.AbstractEventLoop], main: Coroutine[Any, Any, T]) -> T:
    """Run on a loop of this kind; an exception that nobody caught fails the test."""
    complaints: list[dict[str, Any]] = []
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.get_loop().set_exception_handler(lambda _, context: complaints.append(context))
        result = runner.run(main)
    assert complaints == []
    return result
