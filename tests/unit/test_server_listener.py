"""The ports, with real sockets: many clients, strange clients, and the end."""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import server_kit as kit
import uvloop

from sidecar_injector import observe
from sidecar_injector.server import admin, http, listener, readiness

Run = Callable[[Coroutine[Any, Any, Any]], Any]


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    return lambda main: kit.run_on(request.param, main)


class Gate:
    """A handler that is entered, and answers when it is opened."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.open = asyncio.Event()
        self.routes = {"/echo": {"POST": kit.echo}, "/gate": {"POST": self.answer}}

    async def answer(self, request: http.Request) -> http.Response:
        self.entered.set()
        await self.open.wait()
        return http.Response(200, b"through")


# Clients.


@pytest.mark.parametrize("size", [0, 1, 5_800, 70_000, 2_900_000, 8 << 20])
def test_bodies_of_all_sizes_arrive_whole_over_tls(run: Run, size: int) -> None:
    serving, ca, _ = kit.serving()
    body = b"0123456789abcdef" * (size // 16) + b"x" * (size % 16)

    async def scenario() -> None:
        async with kit.listening(context=serving.context) as (port, shared):
            reply = await kit.ask(port.port, kit.trusting(ca), kit.post(body))
            assert reply.body == b"%d:" % size + body
            assert shared.held == 0

    run(scenario())


@pytest.mark.parametrize("encrypted", [True, False], ids=["tls", "plain"])
def test_a_client_in_the_middle_of_too_large_a_body_sees_the_413(
    run: Run, *, encrypted: bool
) -> None:
    serving, ca, _ = kit.serving()
    context = kit.trusting(ca) if encrypted else None
    raw = kit.post(b"x" * (9 << 20))

    async def scenario() -> None:
        async with kit.listening(context=serving.context if encrypted else None) as (port, _):
            for request in (raw, kit.chunked(*[b"x" * (1 << 20)] * 9)):
                reply = await kit.ask(port.port, context, request)
                assert reply.status == 413
            assert (await kit.ask(port.port, context, kit.post(b"a"))).status == 200

    run(scenario())


def test_a_client_that_sends_byte_by_byte_delays_nobody(run: Run) -> None:
    serving, ca, _ = kit.serving()
    raw = kit.post(b"abc")

    async def scenario() -> None:
        async with (
            kit.listening(context=serving.context) as (port, _),
            kit.client(port.port, kit.trusting(ca)) as (slow_reader, slow_writer),
            kit.client(port.port, kit.trusting(ca)) as (reader, writer),
        ):
            for byte in raw:
                slow_writer.write(bytes([byte]))
                writer.write(kit.post(b"fast"))
                assert (await kit.read_reply(reader)).body == b"4:fast"
            assert (await kit.read_reply(slow_reader)).body == b"3:abc"

    run(scenario())


def test_two_hundred_clients_at_once_are_all_answered(run: Run) -> None:
    serving, ca, metrics = kit.serving()
    trusting = kit.trusting(ca)

    async def scenario() -> None:
        async with kit.listening(context=serving.context) as (port, _):
            asked = [kit.ask(port.port, trusting, kit.post(b"%d" % i)) for i in range(200)]
            replies = await asyncio.gather(*asked)
            assert [reply.body for reply in replies] == [
                b"%d:%d" % (len(str(i)), i) for i in range(200)
            ]

    run(scenario())
    assert (
        metrics.registry.get_sample_value("sidecar_injector_tls_handshake_failures_total") is None
    )


def test_answers_that_nobody_reads_do_not_pile_up(run: Run) -> None:
    """The client sends for ever and never reads: at some point nothing more is taken from it."""
    request = kit.post(b"x" * 60_000)

    async def scenario() -> None:
        async with (
            kit.listening() as (port, _),
            kit.client(port.port) as (reader, writer),
        ):
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            while True:
                writer.write(request)
                try:
                    await asyncio.wait_for(writer.drain(), 0.5)
                except TimeoutError:
                    break
            # The others are served, and what was asked is answered once the client reads.
            assert (await kit.ask(port.port, None, kit.post(b"a"))).status == 200
            writer.transport.resume_reading()  # type: ignore[attr-defined]
            assert (await kit.read_reply(reader)).body[:6] == b"60000:"

    run(scenario())


def test_clients_that_reset_their_connections_harm_nobody(run: Run) -> None:
    async def scenario() -> None:
        async with kit.listening() as (port, shared):
            for sent in (b"", kit.post(b"abc")[:-1], kit.post(b"abc")):
                with socket.create_connection(("127.0.0.1", port.port)) as rude:
                    rude.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    rude.sendall(sent)
            assert (await kit.ask(port.port, None, kit.post(b"a"))).status == 200
            assert await shared.emptied(5)
            assert shared.held == 0

    run(scenario())


def test_the_sweep_runs_by_itself(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "SWEEP_SECONDS", 0.01)
    limits = http.Limits(request_seconds=0.02, linger_seconds=0.02)

    async def scenario() -> None:
        async with (
            kit.listening(limits=limits) as (port, _),
            kit.client(port.port) as (reader, writer),
        ):
            writer.write(kit.post(b"abc")[:-1])
            assert (await kit.read_reply(reader)).status == 408
            assert await reader.read() == b""

    run(scenario())


def test_a_taken_port_is_an_error_at_the_start(run: Run) -> None:
    async def scenario() -> None:
        async with kit.listening() as (port, shared):
            second = listener.Listener(shared=shared, port=port.port, host="127.0.0.1")
            with pytest.raises(OSError, match="in use"):
                await second.start()

    run(scenario())


# The end.


@pytest.mark.parametrize("encrypted", [True, False], ids=["tls", "plain"])
def test_a_drain_under_load_breaks_no_request(*, encrypted: bool) -> None:
    """Clients as Go's: they reuse connections until told otherwise, and never repeat a POST.

    On the loop that the operator runs on. asyncio's own drops connections that it has accepted but
    not yet set up when the port is closed: https://github.com/python/cpython/issues/109564
    """
    serving, ca, _ = kit.serving()
    context = kit.trusting(ca) if encrypted else None
    answered = 0

    async def visit(port: int) -> None:
        nonlocal answered
        while True:
            try:
                connected = kit.client(port, context)
                reader, writer = await connected.__aenter__()
            except OSError:  # The port is closed: in a cluster, the next replica's turn.
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

    async def scenario() -> None:
        async with kit.listening(context=serving.context if encrypted else None) as (port, shared):
            async with asyncio.TaskGroup() as visitors:
                for _ in range(8):
                    visitors.create_task(visit(port.port))
                await port.drain(0.3)
            assert shared.members == set()

    kit.run_on(uvloop.new_event_loop, scenario())
    assert answered > 20


@pytest.mark.parametrize("encrypted", [True, False], ids=["tls", "plain"])
def test_a_drain_waits_for_the_request_in_flight_and_ends_idle_ones(
    run: Run, *, encrypted: bool
) -> None:
    serving, ca, _ = kit.serving()
    context = kit.trusting(ca) if encrypted else None

    async def scenario() -> None:
        gate = Gate()
        async with (
            kit.listening(context=serving.context if encrypted else None, routes=gate.routes) as (
                port,
                _,
            ),
            kit.client(port.port, context) as (reader, writer),
            kit.client(port.port, context) as (idle, idle_writer),
        ):
            idle_writer.write(kit.post(b"a"))
            assert (await kit.read_reply(idle)).status == 200
            writer.write(kit.post(path="/gate"))
            await gate.entered.wait()
            number = port.port
            drain = asyncio.create_task(port.drain(0.01))
            assert await idle.read() == b""
            with pytest.raises(OSError, match=r"[Cc]onnect"):
                await kit.ask(number, context, kit.post(b"a"))
            assert not drain.done()

            gate.open.set()
            reply = await kit.read_reply(reader)
            assert (reply.body, reply.headers["connection"]) == (b"through", "close")
            await drain

    run(scenario())


def test_while_draining_new_connections_are_served_at_first(run: Run) -> None:
    async def scenario() -> None:
        async with kit.listening() as (port, _), kit.client(port.port) as (reader, writer):
            drain = asyncio.create_task(port.drain(0.2))
            await asyncio.sleep(0)
            reply = await kit.ask(port.port, None, kit.post(b"a"))
            assert (reply.status, reply.headers.get("connection")) == (200, None)
            writer.write(kit.post(b"b"))
            assert (await kit.read_reply(reader)).status == 200
            await drain
            assert await reader.read() == b""

    run(scenario())


def test_a_drain_ends_even_if_a_handler_does_not(
    run: Run, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(listener, "FINISH_SECONDS", 0.05)

    async def scenario() -> None:
        gate = Gate()
        async with (
            kit.listening(routes=gate.routes) as (port, shared),
            kit.client(port.port) as (reader, writer),
        ):
            writer.write(kit.post(path="/gate"))
            await gate.entered.wait()
            with caplog.at_level(logging.WARNING):
                await port.drain(0.01)
            assert await shared.emptied(5)
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await kit.read_reply(reader)

    run(scenario())
    assert [record.getMessage() for record in caplog.records] == ["1 connections are cut off"]


# The admin port.


def test_the_admin_port_tells_health_readiness_and_metrics(run: Run) -> None:
    state, metrics, stalled = readiness.Readiness(), observe.Metrics(), list[str]()
    routes = admin.routes(stalled=lambda: stalled, ready=state, metrics=metrics)

    async def scenario() -> None:
        async with kit.listening(routes=routes) as (port, _):

            async def get(path: str) -> kit.Reply:
                line = f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
                return await kit.ask(port.port, None, line.encode())

            health = await get("/healthz")
            assert (health.status, health.body) == (200, b"ok\n")
            stalled.append("the watch of namespaces has not been heard of for 300 s")
            health = await get("/healthz")
            assert (health.status, health.body) == (503, f"{stalled[0]}\n".encode())

            ready = await get("/readyz")
            assert ready.status == 503
            assert ready.body.decode().splitlines() == list(state.reasons())
            for condition in readiness.Condition:
                state.met(condition)
            ready = await get("/readyz")
            assert (ready.status, ready.body) == (200, b"ok\n")

            exposition = await get("/metrics")
            assert exposition.status == 200
            assert exposition.headers["content-type"].startswith("text/plain; version=")
            assert b"sidecar_injector_build_info{" in exposition.body
            assert (await get("/mutate")).status == 404

    run(scenario())
