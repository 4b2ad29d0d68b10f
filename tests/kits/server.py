"""For tests of the HTTP server: a transport in memory, and servers and clients on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import ssl
from collections.abc import AsyncIterator
from typing import Any

import pytest
from cryptography import x509

from sidecar_injector.httpserver import messages
from sidecar_injector.httpserver.connection import Connection
from sidecar_injector.httpserver.listener import Listener
from sidecar_injector.httpserver.pool import Pool
from sidecar_injector.observability.metrics import Metrics
from tests.kits import server_certificates

ON_UVLOOP = pytest.mark.asyncio(loop_factories=["uvloop"])
"""For a test that runs only on the event loop of the operator."""


# A connection in memory.


class Transport(asyncio.Transport):
    """Records what is written and which methods were called."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.reading = True
        self.unsent = 0
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

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        assert high == 0

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = self.aborted = True


class Clock:
    """A clock that moves only if a test moves it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclasses.dataclass
class Wire:
    """One connection of a pool, on a transport in memory."""

    pool: Pool
    clock: Clock
    transport: Transport
    connection: Connection

    def send(self, *parts: bytes) -> Wire:
        for part in parts:
            self.connection.data_received(part)
        return self

    def pass_time(self, seconds: float) -> None:
        for _ in range(round(seconds)):  # As the listener does it.
            self.clock.now += 1
            self.pool.sweep()

    def answers(self) -> list[Reply]:
        return replies(self.transport.written)

    def statuses(self) -> list[int]:
        return [reply.status for reply in self.answers()]


def echo(request: messages.Request) -> messages.Response:
    """Answers with the length and the body of the request, so that a wrong order is visible."""
    return messages.Response(200, b"%d:" % len(request.body) + request.body, messages.TEXT)


def wire(
    routes: messages.Routes | None = None,
    *,
    limits: messages.Limits | None = None,
    metrics: Metrics | None = None,
) -> Wire:
    """A new connection to a new pool. By default `/echo` accepts POST and GET."""
    clock = Clock()
    pool = Pool(
        routes=routes or {"/echo": {"POST": echo, "GET": echo}},
        limits=limits,
        metrics=metrics,
        clock=clock,
    )
    return join(pool, clock)


def join(pool: Pool, clock: Clock) -> Wire:
    """A new connection to a pool."""
    transport = Transport()
    connection = Connection(pool)
    connection.connection_made(transport)
    return Wire(pool, clock, transport, connection)


class Slow:
    """An asynchronous handler of `/slow`. It answers when a test puts an answer into its queue."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.answers: asyncio.Queue[bytes] = asyncio.Queue()
        self.routes = {"/echo": {"POST": echo}, "/slow": {"POST": self.answer}}

    async def answer(self, request: messages.Request) -> messages.Response:
        self.bodies.append(request.body)
        return messages.Response(200, await self.answers.get())


async def turn() -> None:
    """Let the tasks run that are ready."""
    for _ in range(20):
        await asyncio.sleep(0)


# Requests and replies as bytes.


@dataclasses.dataclass(frozen=True)
class Reply:
    """An answer as a client reads it."""

    status: int
    headers: dict[str, str]
    body: bytes


def post(body: bytes = b"", *headers: str, path: str = "/echo") -> bytes:
    """A POST as the API server sends it."""
    lines = [f"POST {path} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def chunked(*parts: bytes, path: str = "/echo") -> bytes:
    """A POST with a body in chunks."""
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    return head + b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (*parts, b""))


def replies(data: bytes, *, bodiless: bool = False) -> list[Reply]:
    """The answers in `data`, which must not contain anything else."""
    answers = []
    while data:
        head, _, data = data.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = {
            name.lower(): value for name, _, value in (line.partition(": ") for line in lines)
        }
        length = 0 if bodiless else int(headers.get("content-length", 0))
        answers.append(Reply(int(first.split(" ")[1]), headers, data[:length]))
        assert len(data) >= length
        data = data[length:]
    return answers


async def read_reply(reader: asyncio.StreamReader) -> Reply:
    """The next answer on a socket."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = replies(head, bodiless=True)[0].headers.get("content-length", "0")
    return replies(head + await reader.readexactly(int(length)))[0]


# A server on loopback.


@contextlib.asynccontextmanager
async def listening(
    *,
    context: ssl.SSLContext | None = None,
    routes: messages.Routes | None = None,
    limits: messages.Limits | None = None,
) -> AsyncIterator[tuple[Listener, Pool]]:
    """A listener on a free port, and its pool."""
    pool = Pool(routes=routes or {"/echo": {"POST": echo, "GET": echo}}, limits=limits)
    server = Listener(pool=pool, port=0, host="127.0.0.1", context=context)
    await server.start()
    try:
        yield server, pool
    finally:
        server.stop()
        await pool.wait_empty(5)


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
    """The answer to one request on a new connection."""
    async with client(port, context) as (reader, writer):
        writer.write(request)
        return await read_reply(reader)


def failures(metrics: Metrics) -> dict[str, float]:
    """How many handshakes failed, by reason."""
    samples = next(iter(metrics.handshake_failures.collect())).samples
    return {
        sample.labels["reason"]: sample.value
        for sample in samples
        if sample.name.endswith("_total") and sample.value
    }


async def serial_seen(port: int, context: ssl.SSLContext) -> int:
    """The serial number of the certificate that a client sees. It sends one request."""
    async with client(port, context) as (reader, writer):
        writer.write(post(b"a"))
        assert (await read_reply(reader)).status == 200
        certificate = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        return x509.load_der_x509_certificate(certificate).serial_number
