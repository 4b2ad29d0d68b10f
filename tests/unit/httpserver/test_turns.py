"""Large bodies and many handshakes at once: the event loop serves others in between."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import socket
import ssl

import pytest

from sidecar_injector.httpserver import listener, messages
from tests.kits import server as kit
from tests.kits import server_certificates as certificates


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
    async with kit.listening(context=serving.context, limits=limits) as (server, pool):
        address = ("127.0.0.1", server.port)
        silent = [socket.create_connection(address, timeout=5) for _ in range(5)]
        received = [await asyncio.to_thread(client.recv, 1) for client in silent]
        assert received == len(silent) * [b""]
        assert not pool.connections
        for client in silent:
            client.close()
    gc.collect()  # A task logs an exception that nobody has read when it is deleted.
    assert not caplog.records


@kit.ON_UVLOOP
async def test_few_handshakes_begin_together_and_silent_clients_do_not_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(listener, "HANDSHAKE_INTERVAL", 3600.0)
    serving, ca, _ = certificates.serving()
    limits, most = messages.Limits(handshake_seconds=0.5), listener.HANDSHAKES_AT_ONCE
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
