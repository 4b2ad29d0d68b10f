"""Large bodies and many handshakes at once: the event loop serves others in between."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import itertools
import socket
import ssl

import pytest

from sidecar_injector.httpserver import handshakes, listener, messages, pool
from tests.kits import server as kit
from tests.kits import server_certificates as certificates


async def test_of_several_requests_at_once_one_is_answered_in_a_turn() -> None:
    wire = kit.wire().send(5 * kit.post(b"a"))
    assert wire.statuses() == [200]
    await kit.turn()
    assert wire.statuses() == 5 * [200]


async def test_clients_with_several_requests_at_once_share_few_answers_in_a_turn() -> None:
    first = kit.wire()
    wires = [first, *(kit.join(first.pool, first.clock) for _ in range(19))]
    for wire in wires:
        wire.send(3 * kit.post(b"a"))
    answered = [sum(len(wire.statuses()) for wire in wires)]
    while answered[-1] < 60:
        await asyncio.sleep(0)
        answered.append(sum(len(wire.statuses()) for wire in wires))
    assert answered[0] == 20
    assert max(b - a for a, b in itertools.pairwise(answered)) <= pool.TURNS_AT_ONCE


async def test_the_kernel_keeps_little_of_a_client() -> None:
    async with (
        kit.listening() as (server, connections),
        kit.client(server.port) as (reader, writer),
    ):
        writer.write(kit.post(b"a"))
        await kit.read_reply(reader)
        (connection,) = connections.connections
        accepted = connection._transport.get_extra_info("socket")
        for option, most in (
            (socket.SO_RCVBUF, listener.RECEIVE_BYTES),
            (socket.SO_SNDBUF, listener.SEND_BYTES),
        ):
            assert accepted.getsockopt(socket.SOL_SOCKET, option) <= 2 * most


async def test_a_large_body_is_read_in_parts_with_others_in_between() -> None:
    limits = messages.Limits(turn_bytes=1000)
    wire = kit.wire(limits=limits)
    message = kit.post(b"x" * 5000)
    wire.send(message[:900])
    assert wire.transport.reading
    wire.send(message[900:2000])
    assert not wire.transport.reading
    await asyncio.sleep(0)
    assert wire.transport.reading
    wire.send(message[2000:])
    assert wire.transport.reading
    assert wire.statuses() == [200]


async def test_a_client_that_disconnects_in_between_is_not_read_further() -> None:
    wire = kit.wire(limits=messages.Limits(turn_bytes=1000))
    wire.send(kit.post(b"x" * 5000)[:2000])
    wire.transport.abort()
    await asyncio.sleep(0)
    assert not wire.transport.reading


async def test_a_client_that_has_to_read_first_is_not_read_further() -> None:
    wire = kit.wire(limits=messages.Limits(turn_bytes=1000))
    wire.connection.pause_writing()
    wire.send(kit.post(b"first"), kit.post(b"x" * 5000)[:2000])
    assert wire.statuses() == []
    await asyncio.sleep(0)
    assert not wire.transport.reading
    wire.connection.resume_writing()
    await kit.turn()
    assert wire.transport.reading
    assert wire.statuses() == [200]


def completes_handshake(port: int, context: ssl.SSLContext) -> bool:
    """Whether a client can finish its handshake and gets an answer."""
    with socket.create_connection(("127.0.0.1", port)) as raw:
        try:
            with context.wrap_socket(raw, server_hostname=certificates.SERVER_NAME) as client:
                client.sendall(kit.post(b"a"))
                return bool(client.recv(1))
        except OSError:
            return False


@kit.ON_UVLOOP
async def test_a_silent_client_is_cut_even_if_it_was_evicted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    serving, _, _ = certificates.serving()
    limits = messages.Limits(handshake_seconds=0.2, connections=2)
    async with kit.listening(context=serving.context, limits=limits) as (server, connections):
        address = ("127.0.0.1", server.port)
        silent = [socket.create_connection(address, timeout=5) for _ in range(5)]
        received = [await asyncio.to_thread(client.recv, 1) for client in silent]
        assert received == len(silent) * [b""]
        assert not connections.connections
        for client in silent:
            client.close()
    gc.collect()  # A task logs an exception that nobody has read when it is deleted.
    assert not caplog.records


@kit.ON_UVLOOP
async def test_few_handshakes_begin_together_and_silent_clients_do_not_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(handshakes, "INTERVAL", 3600.0)
    serving, ca, _ = certificates.serving()
    limits, most = messages.Limits(handshake_seconds=0.5), handshakes.AT_ONCE
    async with kit.listening(context=serving.context, limits=limits) as (server, _):
        silent = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(2 * most)]
        context = certificates.trusting(ca)
        with concurrent.futures.ThreadPoolExecutor(most + 2) as clients:
            loop = asyncio.get_running_loop()
            calls = [
                loop.run_in_executor(clients, completes_handshake, server.port, context)
                for _ in range(most + 2)
            ]
            assert sorted(await asyncio.gather(*calls)) == [False, False] + most * [True]
        assert [await asyncio.to_thread(client.recv, 1) for client in silent] == len(silent) * [b""]
        for client in silent:
            client.close()
