"""The drain of a listener: no request is broken, and it ends."""

from __future__ import annotations

import asyncio
import logging
import os
import socket

import pytest

from sidecar_injector.httpserver import listener, messages
from tests.kits import server as kit
from tests.kits import server_certificates as certificates


class Gate:
    """A handler that says when it is called, and answers when a test opens it."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.open = asyncio.Event()
        self.routes = {"/echo": {"POST": kit.echo}, "/gate": {"POST": self.answer}}

    async def answer(self, request: messages.Request) -> messages.Response:
        self.entered.set()
        await self.open.wait()
        return messages.Response(200, b"through")


@pytest.mark.parametrize("encrypted", [True, False], ids=["tls", "plain"])
@kit.ON_UVLOOP
async def test_a_drain_under_load_breaks_no_request(*, encrypted: bool) -> None:
    """With clients like Go's: they reuse connections until the answer says close, and never repeat
    a POST.

    On the event loop of the operator. The one of asyncio drops connections that it has accepted but
    not yet set up when the port is closed: https://github.com/python/cpython/issues/109564
    """
    serving, ca, _ = certificates.serving()
    context = certificates.trusting(ca) if encrypted else None
    answered = 0

    async def visit(port: int) -> None:
        nonlocal answered
        while True:
            try:
                connected = kit.client(port, context)
                reader, writer = await connected.__aenter__()
            except OSError:  # The port is closed; in a cluster another replica answers.
                return
            try:
                last = False
                while not last:
                    writer.write(kit.post(b"a" * 5_800))
                    reply = await kit.read_reply(reader)
                    assert reply.status == 200
                    answered += 1
                    last = reply.headers.get("connection") == "close"
            finally:
                await connected.__aexit__(None, None, None)

    async with kit.listening(context=serving.context if encrypted else None) as (server, pool):
        async with asyncio.TaskGroup() as visitors:
            for _ in range(8):
                visitors.create_task(visit(server.port))
            await server.drain(0.3)
        assert pool.connections == set()
    assert answered > 20


@pytest.mark.parametrize("encrypted", [True, False], ids=["tls", "plain"])
async def test_a_drain_waits_for_the_request_in_flight_and_ends_idle_ones(
    *, encrypted: bool
) -> None:
    serving, ca, _ = certificates.serving()
    context = certificates.trusting(ca) if encrypted else None
    gate = Gate()
    async with (
        kit.listening(context=serving.context if encrypted else None, routes=gate.routes) as (
            server,
            _,
        ),
        kit.client(server.port, context) as (reader, writer),
        kit.client(server.port, context) as (idle, idle_writer),
    ):
        idle_writer.write(kit.post(b"a"))
        assert (await kit.read_reply(idle)).status == 200
        writer.write(kit.post(path="/gate"))
        await gate.entered.wait()
        number = server.port
        drain = asyncio.create_task(server.drain(0.01))
        assert await idle.read() == b""
        with pytest.raises(OSError, match=r"[Cc]onnect"):
            await kit.ask(number, context, kit.post(b"a"))
        assert not drain.done()

        gate.open.set()
        reply = await kit.read_reply(reader)
        assert (reply.body, reply.headers["connection"]) == (b"through", "close")
        await drain


@kit.ON_UVLOOP
async def test_a_drain_waits_for_a_client_during_its_handshake() -> None:
    serving, ca, _ = certificates.serving()
    trusting = certificates.trusting(ca)
    async with (
        kit.listening(context=serving.context) as (server, _),
        kit.client(server.port, trusting) as (other, other_writer),
    ):
        raw = socket.create_connection(("127.0.0.1", server.port))
        other_writer.write(kit.post(b"a"))
        assert (await kit.read_reply(other)).status == 200
        assert (await kit.ask(server.port, trusting, kit.post(b"a"))).status == 200
        drain = asyncio.create_task(server.drain(0.01))
        assert await other.read() == b""  # The port is closed now; `raw` was accepted before.

        reader, writer = await asyncio.open_connection(
            sock=raw, ssl=trusting, server_hostname=certificates.SERVER_NAME
        )
        assert not drain.done()
        writer.write(kit.post(b"late"))
        assert (await kit.read_reply(reader)).body == b"4:late"
        await drain
        writer.transport.abort()


async def test_while_draining_new_connections_are_served_at_first() -> None:
    async with kit.listening() as (server, _), kit.client(server.port) as (reader, writer):
        drain = asyncio.create_task(server.drain(0.2))
        await asyncio.sleep(0)
        reply = await kit.ask(server.port, None, kit.post(b"a"))
        assert (reply.status, reply.headers.get("connection")) == (200, None)
        writer.write(kit.post(b"b"))
        assert (await kit.read_reply(reader)).status == 200
        await drain
        assert await reader.read() == b""


async def test_a_drain_ends_even_if_a_handler_does_not(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(listener, "FINISH_SECONDS", 0.05)
    gate = Gate()
    async with (
        kit.listening(routes=gate.routes) as (server, pool),
        kit.client(server.port) as (reader, writer),
    ):
        writer.write(kit.post(path="/gate"))
        await gate.entered.wait()
        with caplog.at_level(logging.WARNING):
            await server.drain(0.01)
        assert await pool.wait_empty(5)
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await kit.read_reply(reader)
    assert [record.getMessage() for record in caplog.records] == ["1 connections are cut off"]


async def test_a_request_that_the_kernel_has_and_the_loop_has_not_read_is_answered() -> None:
    async with kit.listening() as (server, pool), kit.client(server.port) as (reader, writer):
        writer.write(kit.post(b"first"))
        assert (await kit.read_reply(reader)).status == 200
        # Without the event loop, which does not run before the end.
        os.write(writer.get_extra_info("socket").fileno(), kit.post(b"second"))
        pool.close_when_idle()
        reply = await kit.read_reply(reader)
        assert (reply.status, reply.headers["connection"]) == (200, "close")
