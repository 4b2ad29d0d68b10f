"""A connection that has ended takes no memory, without waiting for the garbage collector.

The collector frees whatever has gathered in one go, and the event loop waits meanwhile.
"""

from __future__ import annotations

import asyncio
import gc
import ssl
from collections.abc import Awaitable, Callable, Iterator

import pytest

from sidecar_injector.httpserver import connection, handshakes, parser, tls_transport
from tests.kits import server as kit
from tests.kits import server_certificates as certificates

Behaviour = Callable[[int, ssl.SSLContext], Awaitable[None]]
KINDS = (
    connection.Connection, handshakes.Newcomer, parser.Parser, tls_transport.TLSTransport
)  # fmt: skip


@pytest.fixture
def no_collections() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def alive() -> list[object]:
    return [thing for thing in gc.get_objects() if isinstance(thing, KINDS)]


async def silent(port: int, _: ssl.SSLContext) -> None:
    """No byte."""
    _reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.transport.abort()


async def no_tls(port: int, _: ssl.SSLContext) -> None:
    """Something that is no ClientHello."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"hello")
    await reader.read()
    writer.transport.abort()


async def half_a_handshake(port: int, context: ssl.SSLContext) -> None:
    """A ClientHello, and no more."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = context.wrap_bio(incoming, outgoing, server_hostname=certificates.SERVER_NAME)
    with pytest.raises(ssl.SSLWantReadError):
        session.do_handshake()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(outgoing.read())
    await reader.read(1)
    writer.transport.abort()


async def handshake(port: int, context: ssl.SSLContext) -> None:
    """A handshake, and no request."""
    async with kit.client(port, context) as (_, writer):
        writer.transport.abort()


async def requests(port: int, context: ssl.SSLContext) -> None:
    """Two requests, then the client closes."""
    async with kit.client(port, context) as (reader, writer):
        for _ in range(2):
            writer.write(kit.post(b"hi"))
            assert (await kit.read_reply(reader)).status == 200


async def refused(port: int, context: ssl.SSLContext) -> None:
    """What is no HTTP; the server closes."""
    async with kit.client(port, context) as (reader, writer):
        writer.write(b"what is this?\r\n\r\n")
        assert b" 400 " in await reader.read()


@pytest.mark.parametrize("behave", [silent, no_tls, half_a_handshake, handshake, requests, refused])
@pytest.mark.usefixtures("no_collections")
async def test_a_connection_is_freed_when_it_ends(behave: Behaviour) -> None:
    serving, ca, _ = certificates.serving()
    async with kit.listening(context=serving.context) as (server, _):
        for _ in range(3):
            await behave(server.port, certificates.trusting(ca))
        async with asyncio.timeout(10):
            while alive():  # noqa: ASYNC110 - nothing tells that an object is freed
                await asyncio.sleep(0.01)


@pytest.mark.usefixtures("no_collections")
async def test_a_connection_without_tls_is_freed_when_it_ends() -> None:
    async with kit.listening() as (server, _):
        async with kit.client(server.port) as (reader, writer):
            writer.write(kit.post(b"hi"))
            assert (await kit.read_reply(reader)).status == 200
        async with asyncio.timeout(10):
            while alive():  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.01)
