"""The listener with real sockets: many clients, rude clients, and the admin port."""

from __future__ import annotations

import asyncio
import os
import socket
import struct

import pytest

from sidecar_injector.httpserver import listener, messages, pool
from sidecar_injector.observability.metrics import Metrics
from sidecar_injector.webhook import admin, readiness
from tests.kits import server as kit
from tests.kits import server_certificates as certificates

# Clients.


@pytest.mark.parametrize("size", [0, 1, 5_800, 70_000, 2_900_000, 8 << 20])
async def test_bodies_of_all_sizes_arrive_whole_over_tls(size: int) -> None:
    serving, ca, _ = certificates.serving()
    body = b"0123456789abcdef" * (size // 16) + b"x" * (size % 16)
    async with kit.listening(context=serving.context) as (server, pool):
        reply = await kit.ask(server.port, certificates.trusting(ca), kit.post(body))
        assert reply.body == b"%d:" % size + body
        assert pool.held == 0


@pytest.mark.parametrize("encrypted", [True, False], ids=["tls", "plain"])
async def test_a_client_in_the_middle_of_too_large_a_body_sees_the_413(*, encrypted: bool) -> None:
    serving, ca, _ = certificates.serving()
    context = certificates.trusting(ca) if encrypted else None
    raw = kit.post(b"x" * (9 << 20))
    async with kit.listening(context=serving.context if encrypted else None) as (server, _):
        for request in (raw, kit.chunked(*[b"x" * (1 << 20)] * 9)):
            reply = await kit.ask(server.port, context, request)
            assert reply.status == 413
        assert (await kit.ask(server.port, context, kit.post(b"a"))).status == 200


async def test_a_client_that_sends_byte_by_byte_does_not_delay_others() -> None:
    serving, ca, _ = certificates.serving()
    raw = kit.post(b"abc")
    async with (
        kit.listening(context=serving.context) as (server, _),
        kit.client(server.port, certificates.trusting(ca)) as (slow_reader, slow_writer),
        kit.client(server.port, certificates.trusting(ca)) as (reader, writer),
    ):
        for byte in raw:
            slow_writer.write(bytes([byte]))
            writer.write(kit.post(b"fast"))
            assert (await kit.read_reply(reader)).body == b"4:fast"
        assert (await kit.read_reply(slow_reader)).body == b"3:abc"


@kit.ON_UVLOOP
@pytest.mark.parametrize("encrypted", [True, False], ids=["tls", "plain"])
async def test_a_descriptor_that_the_event_loop_has_lost_costs_no_client(
    *, encrypted: bool
) -> None:
    """uvloop keeps the transport of a connection whose descriptor something else has closed."""
    serving, ca, _ = certificates.serving()
    context = certificates.trusting(ca) if encrypted else None
    loop = asyncio.get_running_loop()
    async with kit.listening(context=serving.context if encrypted else None) as (server, _):
        ours, theirs = socket.socketpair()
        lost, _ = await loop.create_connection(asyncio.Protocol, sock=ours)
        number = lost.get_extra_info("socket").fileno()
        clients = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(3)]
        os.close(number)
        for client in clients:
            client.setblocking(False)
            reader, writer = await asyncio.open_connection(
                sock=client,
                ssl=context,
                server_hostname=certificates.SERVER_NAME if context else None,
            )
            writer.write(kit.post(b"a"))
            assert (await kit.read_reply(reader)).body == b"1:a"
            writer.close()
        theirs.close()
        lost.abort()


async def test_two_hundred_clients_at_once_are_all_answered() -> None:
    serving, ca, _ = certificates.serving()
    trusting = certificates.trusting(ca)
    async with kit.listening(context=serving.context) as (server, _):
        requests = [kit.post(b"%d" % number) for number in range(200)]
        answers = [kit.ask(server.port, trusting, request) for request in requests]
        assert [reply.body for reply in await asyncio.gather(*answers)] == [
            b"%d:%d" % (len(str(number)), number) for number in range(200)
        ]
    assert serving.distrusted == 0


async def test_answers_that_the_client_does_not_read_do_not_pile_up() -> None:
    """The client sends without end and never reads: at some point nothing more is read from it."""
    request = kit.post(b"x" * 60_000)
    async with (
        kit.listening() as (server, _),
        kit.client(server.port) as (reader, writer),
    ):
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        while True:
            writer.write(request)
            try:
                await asyncio.wait_for(writer.drain(), 0.5)
            except TimeoutError:
                break
        # Others are served, and the client gets its answers as soon as it reads.
        assert (await kit.ask(server.port, None, kit.post(b"a"))).status == 200
        writer.transport.resume_reading()  # type: ignore[attr-defined]
        assert (await kit.read_reply(reader)).body[:6] == b"60000:"


async def test_clients_that_reset_their_connections_do_not_disturb_others() -> None:
    async with kit.listening() as (server, pool):
        for sent in (b"", kit.post(b"abc")[:-1], kit.post(b"abc")):
            with socket.create_connection(("127.0.0.1", server.port)) as rude:
                rude.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                rude.sendall(sent)
        assert (await kit.ask(server.port, None, kit.post(b"a"))).status == 200
        assert await pool.wait_empty(5)
        assert pool.held == 0


async def test_the_sweep_runs_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "SWEEP_SECONDS", 0.01)
    limits = messages.Limits(request_seconds=0.02, linger_seconds=0.02)
    async with (
        kit.listening(limits=limits) as (server, _),
        kit.client(server.port) as (reader, writer),
    ):
        writer.write(kit.post(b"abc")[:-1])
        assert (await kit.read_reply(reader)).status == 408
        assert await reader.read() == b""


async def test_a_sweep_that_fails_does_not_end_the_deadlines(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(listener, "SWEEP_SECONDS", 0.01)
    failed: list[object] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: failed.append(context["exception"]))
    original = pool.Pool.sweep

    def sweep(self: pool.Pool) -> None:
        original(self)
        if len(failed) < 2 and self.connections:
            raise LookupError("a bug")

    monkeypatch.setattr(pool.Pool, "sweep", sweep)
    limits = messages.Limits(request_seconds=0.5, linger_seconds=0.02)
    async with (
        kit.listening(limits=limits) as (server, _),
        kit.client(server.port) as (reader, writer),
    ):
        writer.write(kit.post(b"abc")[:-1])
        assert (await kit.read_reply(reader)).status == 408
    assert len(failed) == 2


async def test_a_taken_port_is_an_error_at_the_start() -> None:
    async with kit.listening() as (server, connections):
        second = listener.Listener(pool=connections, port=server.port, host="127.0.0.1")
        with pytest.raises(OSError, match="in use"):
            await second.start()


# The admin port.


async def test_the_admin_port_tells_health_readiness_and_metrics() -> None:
    state, metrics = readiness.Readiness(), Metrics()
    routes = admin.routes(ready=state, metrics=metrics)
    async with kit.listening(routes=routes, limits=admin.LIMITS) as (server, _):

        async def get(path: str) -> kit.Reply:
            line = f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
            return await kit.ask(server.port, None, line.encode())

        health = await get("/healthz")
        assert (health.status, health.body) == (200, b"ok\n")

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


@pytest.mark.parametrize("body", [kit.post(b"x", path="/healthz"), kit.chunked(b"x")])
async def test_the_admin_port_accepts_no_body(body: bytes) -> None:
    routes = admin.routes(ready=readiness.Readiness(), metrics=Metrics())
    async with kit.listening(routes=routes, limits=admin.LIMITS) as (server, _):
        assert (await kit.ask(server.port, None, body)).status == 413


async def test_clients_of_the_admin_port_do_not_keep_others_out() -> None:
    routes = admin.routes(ready=readiness.Readiness(), metrics=Metrics())
    request = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    async with kit.listening(routes=routes, limits=admin.LIMITS) as (server, connections):
        idle = [
            await asyncio.open_connection("127.0.0.1", server.port)
            for _ in range(2 * admin.LIMITS.connections)
        ]
        assert (await kit.ask(server.port, None, request)).status == 200
        assert len(connections.connections) <= admin.LIMITS.connections
        for _, writer in idle:
            writer.transport.abort()


def test_the_text_of_metrics_is_made_once_a_second_and_seldom_if_it_takes_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    metrics, clock, made, seconds = Metrics(), kit.Clock(), 0, 0.0

    def make() -> bytes:
        nonlocal made
        made += 1
        clock.now += seconds
        return b"%d" % made

    monkeypatch.setattr(metrics, "exposition", make)
    exposition = admin.Exposition(metrics, clock)
    assert [exposition.text() for _ in range(1500)] == 1500 * [b"1"]
    clock.now += 1
    seconds = 0.5
    assert exposition.text() == b"2"
    clock.now += 49
    assert exposition.text() == b"2", "half a second of work is done once in 50 s at most"
    clock.now += 1
    assert exposition.text() == b"3"
