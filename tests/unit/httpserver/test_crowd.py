"""More connections than the limit: the API server keeps its own."""

from __future__ import annotations

import asyncio
import socket
import ssl

import pytest

from sidecar_injector.httpserver import handshakes, messages, tls
from sidecar_injector.observability.metrics import Metrics
from tests.kits import server as kit
from tests.kits import server_certificates as certificates


class Crowd:
    """Connections in memory. Their pool has a limit of three."""

    def __init__(self, routes: messages.Routes | None = None) -> None:
        self.metrics = Metrics()
        first = kit.wire(routes, limits=messages.Limits(connections=3), metrics=self.metrics)
        self.pool, self.clock = first.pool, first.clock
        self.wires = [first]

    def connect(self) -> kit.Wire:
        self.wires.append(kit.join(self.pool, self.clock))
        return self.wires[-1]

    def aborted(self) -> list[int]:
        """The numbers of the connections that were cut."""
        for wire in self.wires:
            if wire.transport.aborted:
                wire.connection.connection_lost(None)
        return [number for number, wire in enumerate(self.wires) if wire.transport.aborted]

    def evictions(self) -> float | None:
        name = "sidecar_injector_connections_evicted_total"
        return self.metrics.registry.get_sample_value(name)


def test_over_the_limit_the_oldest_that_was_never_used_is_evicted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    crowd = Crowd()
    crowd.wires[0].send(kit.post())
    for _ in range(4):
        crowd.connect()
    assert crowd.aborted() == [1, 2]
    assert crowd.evictions() == 2
    assert len(crowd.pool.connections) == 3
    assert len(caplog.records) == 2


def test_a_connection_with_half_a_request_was_never_used() -> None:
    crowd = Crowd()
    crowd.wires[0].send(kit.post(b"abc")[:-1])
    for _ in range(3):
        crowd.connect().send(kit.post())
    assert crowd.aborted() == [0]


def test_if_all_were_used_the_one_that_is_idle_for_longest_is_evicted() -> None:
    crowd = Crowd()
    for _ in range(2):
        crowd.connect()
    for wire in (crowd.wires[1], crowd.wires[0], crowd.wires[2]):
        wire.send(kit.post())
        wire.pass_time(1)
    crowd.connect()
    assert crowd.aborted() == [1]


async def test_a_connection_that_waits_for_an_answer_is_never_evicted() -> None:
    slow = kit.Slow()
    crowd = Crowd(slow.routes)
    for _ in range(2):
        crowd.connect()
    for wire in crowd.wires:
        wire.send(kit.post(path="/slow"))
    crowd.connect()
    assert crowd.aborted() == [3]
    assert len(crowd.pool.connections) == 3
    for _ in range(3):
        slow.answers.put_nowait(b"done")
    await kit.turn()
    assert [wire.statuses() for wire in crowd.wires[:3]] == [[200]] * 3


def test_without_a_limit_no_connection_is_evicted() -> None:
    crowd = Crowd()
    crowd.pool.limits = messages.Limits()
    for _ in range(100):
        crowd.connect()
    assert crowd.aborted() == []


@kit.ON_UVLOOP
async def test_idle_strangers_do_not_keep_the_api_server_out() -> None:
    serving, ca, _ = certificates.serving()
    trusting = certificates.trusting(ca)
    limits = messages.Limits(connections=10)
    async with (
        kit.listening(context=serving.context, limits=limits) as (server, pool),
        kit.client(server.port, trusting) as (reader, writer),
    ):
        writer.write(kit.post(b"before"))
        assert (await kit.read_reply(reader)).status == 200
        strangers = [
            await asyncio.open_connection(
                "127.0.0.1", server.port, ssl=trusting, server_hostname=certificates.SERVER_NAME
            )
            for _ in range(30)
        ]
        assert len(pool.connections) <= 10
        assert (await kit.ask(server.port, trusting, kit.post(b"new"))).status == 200
        writer.write(kit.post(b"still here"))
        assert (await kit.read_reply(reader)).status == 200
        for _, stranger in strangers:
            stranger.transport.abort()


@kit.ON_UVLOOP
async def test_a_replica_that_asks_for_client_certificates_can_still_probe_itself() -> None:
    serving, ca, _ = certificates.serving(client_ca=True)
    async with kit.listening(context=serving.context) as (server, _):
        serial = await tls.self_probe(
            port=server.port, server_name=certificates.SERVER_NAME, ca_pem=ca.cert_pem
        )
        assert serial == serving.serial


# Clients before the end of their handshake.


def client_hello() -> bytes:
    """What a client sends first."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname="x")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


async def connect(port: int, sent: bytes = b"") -> socket.socket:
    """A client that connects, sends this and nothing else."""
    client = socket.socket()
    client.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(client, ("127.0.0.1", port))
    await loop.sock_sendall(client, sent)
    return client


HELLO = client_hello()


@pytest.mark.parametrize(
    ("sent", "clients"),
    [
        pytest.param(b"", 2000, id="silent"),
        pytest.param(b"", 20_000, id="many silent", marks=pytest.mark.long),
        pytest.param(HELLO[:-1], 2000, id="nearly a ClientHello"),
    ],
)
@kit.ON_UVLOOP
async def test_clients_without_a_handshake_shut_nobody_out(
    sent: bytes, clients: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the places of the port's connections are taken by them, its places would be: 3."""
    monkeypatch.setattr(handshakes, "MOST_SILENT", 64)
    serving, ca, _ = certificates.serving()
    trusting = certificates.trusting(ca)
    async with kit.listening(context=serving.context, limits=messages.Limits(connections=3)) as (
        server,
        pool,
    ):
        for number in range(clients):
            (await connect(server.port, sent)).close() if number % 10 else None
            if number % 500 == 0:
                left = [await connect(server.port, sent) for _ in range(handshakes.MOST_SILENT)]
                assert (await kit.ask(server.port, trusting, kit.post(b"new"))).status == 200
                for client in left:
                    client.close()
        assert len(pool.connections) <= 3


@kit.ON_UVLOOP
async def test_the_oldest_silent_client_is_cut_if_there_are_too_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(handshakes, "MOST_SILENT", 8)
    serving, _, _ = certificates.serving()
    async with kit.listening(context=serving.context) as (server, _):
        silent = [await connect(server.port) for _ in range(handshakes.MOST_SILENT)]
        (first, second, *_) = silent
        silent.append(await connect(server.port))
        assert await asyncio.get_running_loop().sock_recv(first, 1) == b""
        with pytest.raises(BlockingIOError):
            second.recv(1)
        for client in silent:
            client.close()


@kit.ON_UVLOOP
async def test_clients_that_never_finish_their_handshake_push_out_each_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(handshakes, "MOST_SHAKING", 8)
    serving, ca, _ = certificates.serving()
    trusting = certificates.trusting(ca)
    async with kit.listening(context=serving.context) as (server, pool):
        unfinished = [await connect(server.port, HELLO) for _ in range(50)]
        assert (await kit.ask(server.port, trusting, kit.post(b"new"))).status == 200
        loop = asyncio.get_running_loop()
        ended = 0
        for client in unfinished[:-8]:
            while received := await loop.sock_recv(client, 1 << 14):
                assert received
            ended += 1
        assert ended == 42
        assert len(pool.connections) <= 1
        for client in unfinished:
            client.close()


def test_a_newcomer_has_greeted_with_a_whole_client_hello_or_with_something_else() -> None:
    newcomer = handshakes.Newcomer(socket.socket(), deadline=0)
    for size in range(len(HELLO)):
        newcomer.hello = HELLO[:size]
        assert not newcomer.has_greeted
    for greeting in (HELLO, HELLO + b"more", b"G", b"\x16\x03\x01\xff\xff" + bytes(5000)):
        newcomer.hello = greeting
        assert newcomer.has_greeted
    newcomer.socket.close()
