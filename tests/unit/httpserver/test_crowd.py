"""More connections than the limit: the API server keeps its own."""

from __future__ import annotations

import asyncio

from sidecar_injector.httpserver import connection, messages, tls
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


def test_over_the_limit_the_oldest_that_was_never_used_is_evicted() -> None:
    crowd = Crowd()
    crowd.wires[0].send(kit.post())
    for _ in range(4):
        crowd.connect()
    assert crowd.aborted() == [1, 2]
    assert crowd.evictions() == 2
    assert len(crowd.pool.connections) == 3


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


def test_a_connection_can_be_evicted_during_its_handshake() -> None:
    crowd = Crowd()
    handshaking = connection.Connection(crowd.pool)
    crowd.wires[0].send(kit.post())
    for _ in range(2):
        crowd.connect()
    assert handshaking not in crowd.pool.connections
    transport = kit.Transport()
    handshaking.connection_made(transport)
    assert transport.aborted
    assert handshaking not in crowd.pool.connections


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
