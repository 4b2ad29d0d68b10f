"""What the tests of the server share: certificates, a transport in memory, a client on a socket."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import datetime
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from sidecar_injector import observe
from sidecar_injector.server import connection, http, listener, pool, tls

T = TypeVar("T")
SERVER_NAME = "sidecar-injector.sidecar-injector.svc"


# Certificates.


@dataclasses.dataclass(frozen=True)
class Pair:
    """A certificate and its key, with the key object that signs for it."""

    cert: x509.Certificate
    key: Any

    @property
    def cert_pem(self) -> bytes:
        return self.cert.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )


def certify(*, name: str = "CA", by: Pair | None = None, rsa_key: bool = False) -> Pair:
    """A CA that signs itself, or a leaf for SERVER_NAME by the given CA."""
    key: Any
    if rsa_key:
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    else:
        key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    signer = by.key if by else key
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by.cert.subject if by else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=by is None, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
    )
    if by is not None:
        names = x509.SubjectAlternativeName([x509.DNSName(SERVER_NAME)])
        builder = builder.add_extension(names, critical=False)
    return Pair(cert=builder.sign(signer, hashes.SHA256()), key=key)


def trusting(ca: Pair, *, version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    """A client that trusts this CA and nobody else."""
    context = ssl.create_default_context(cadata=ca.cert_pem.decode())
    if version is not None:
        context.minimum_version = context.maximum_version = version
    return context


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


def echo(request: http.Request) -> http.Response:
    """Says what it was asked, so that a mix-up shows."""
    return http.Response(200, b"%d:" % len(request.body) + request.body, http.TEXT)


def wire(
    routes: http.Routes | None = None,
    *,
    limits: http.Limits | None = None,
    metrics: observe.Metrics | None = None,
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
    routes: http.Routes | None = None,
    limits: http.Limits | None = None,
) -> AsyncIterator[tuple[listener.Listener, pool.Pool]]:
    """A listener on a free port, and its pool."""
    shared = pool.Pool(routes=routes or {"/echo": {"POST": echo, "GET": echo}}, limits=limits)
    port = listener.Listener(shared=shared, port=0, host="127.0.0.1", context=context)
    await port.start()
    try:
        yield port, shared
    finally:
        port.stop()
        await shared.emptied(5)


@contextlib.asynccontextmanager
async def client(
    port: int, context: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection to a port on loopback."""
    name = SERVER_NAME if context else None
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


def serving(ca: Pair | None = None) -> tuple[tls.ServingContext, Pair, observe.Metrics]:
    """A context that serves a leaf of the given or a new CA."""
    ca = ca or certify()
    metrics = observe.Metrics()
    context = tls.ServingContext(metrics=metrics, scratch_folder="/nowhere")
    leaf = certify(name="leaf", by=ca)
    context.load(cert_pem=leaf.cert_pem, key_pem=leaf.key_pem)
    return context, ca, metrics


def run_on(factory: Callable[[], asyncio.AbstractEventLoop], main: Coroutine[Any, Any, T]) -> T:
    """Run on a loop of this kind; an exception that nobody caught fails the test."""
    complaints: list[dict[str, Any]] = []
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.get_loop().set_exception_handler(lambda _, context: complaints.append(context))
        result = runner.run(main)
    assert complaints == []
    return result
