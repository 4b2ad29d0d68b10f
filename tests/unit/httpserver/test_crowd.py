"""More connections than there is room for: the API server is not the one who pays."""

from __future__ import annotations

import asyncio

import uvloop

from sidecar_injector.httpserver import connection, messages, tls
from sidecar_injector.observability.metrics import Metrics
from tests.kits import server as kit
from tests.kits import server_certificates as certificates


class Crowd:
    """Connections in memory that share a pool with room for three."""

    def __init__(self, routes: messages.Routes | None = None) -> None:
        self.metrics = Metrics()
        first = kit.wire(routes, limits=messages.Limits(connections=3), metrics=self.metrics)
        self.shared, self.clock = first.shared, first.clock
        self.wires = [first]

    def come(self) -> kit.Wire:
        transport = kit.Transport()
        server = connection.Connection(self.shared)
        server.connection_made(transport)
        self.wires.append(kit.Wire(self.shared, self.clock, transport, server))
        return self.wires[-1]

    def cut(self) -> list[int]:
        """The numbers of those that were hung up on, in the order in which they came."""
        for one in self.wires:
            if one.transport.aborted:
                one.server.connection_lost(None)
        return [number for number, one in enumerate(self.wires) if one.transport.aborted]

    def evicted(self) -> float | None:
        name = "sidecar_injector_connections_evicted_total"
        return self.metrics.registry.get_sample_value(name)


def test_one_too_many_costs_the_oldest_that_was_never_used() -> None:
    crowd = Crowd()
    crowd.wires[0].send(kit.post())
    for _ in range(4):
        crowd.come()
    assert crowd.cut() == [1, 2]
    assert crowd.evicted() == 2
    assert len(crowd.shared.connections) == 3


def test_half_a_request_is_no_use_of_a_connection() -> None:
    crowd = Crowd()
    crowd.wires[0].send(kit.post(b"abc")[:-1])
    for _ in range(3):
        crowd.come().send(kit.post())
    assert crowd.cut() == [0]


def test_where_all_have_been_used_it_costs_the_one_that_is_idle_for_longest() -> None:
    crowd = Crowd()
    for _ in range(2):
        crowd.come()
    for one in (crowd.wires[1], crowd.wires[0], crowd.wires[2]):
        one.send(kit.post())
        one.pass_time(1)
    crowd.come()
    assert crowd.cut() == [1]


async def test_who_waits_for_an_answer_is_never_hung_up_on() -> None:
    slow = kit.Slow()
    crowd = Crowd(slow.routes)
    for _ in range(2):
        crowd.come()
    for one in crowd.wires:
        one.send(kit.post(path="/slow"))
    crowd.come()
    assert crowd.cut() == [3]
    assert len(crowd.shared.connections) == 3
    for _ in range(3):
        slow.answers.put_nowait(b"done")
    await kit.turn()
    assert [one.statuses() for one in crowd.wires[:3]] == [[200]] * 3


def test_without_a_limit_everybody_may_come() -> None:
    crowd = Crowd()
    crowd.shared.limits = messages.Limits()
    for _ in range(100):
        crowd.come()
    assert crowd.cut() == []


def test_whoever_is_still_shaking_hands_can_be_evicted_too() -> None:
    crowd = Crowd()
    arriving = connection.Connection(crowd.shared)
    crowd.wires[0].send(kit.post())
    for _ in range(2):
        crowd.come()
    assert arriving not in crowd.shared.connections
    transport = kit.Transport()
    arriving.connection_made(transport)
    assert transport.aborted
    assert arriving not in crowd.shared.connections


def test_idle_strangers_do_not_keep_the_api_server_out() -> None:
    serving, ca, _ = certificates.serving()
    trusting = certificates.trusting(ca)

    async def scenario() -> None:
        limits = messages.Limits(connections=10)
        async with (
            kit.listening(context=serving.context, limits=limits) as (port, shared),
            kit.client(port.port, trusting) as (reader, writer),
        ):
            writer.write(kit.post(b"before"))
            assert (await kit.read_reply(reader)).status == 200
            strangers = [
                await asyncio.open_connection(
                    "127.0.0.1", port.port, ssl=trusting, server_hostname=certificates.SERVER_NAME
                )
                for _ in range(30)
            ]
            assert len(shared.connections) <= 10
            assert (await kit.ask(port.port, trusting, kit.post(b"new"))).status == 200
            writer.write(kit.post(b"still here"))
            assert (await kit.read_reply(reader)).status == 200
            for _, stranger in strangers:
                stranger.transport.abort()

    kit.run_on(uvloop.new_event_loop, scenario())


def test_a_replica_that_asks_for_client_certificates_can_still_probe_itself() -> None:
    ca = certificates.certify()
    leaf = certificates.certify(name="leaf", by=ca)
    serving = tls.ServingContext(
        metrics=Metrics(), scratch_folder="/nowhere", client_ca=ca.cert_pem
    )
    serving.load(cert_pem=leaf.cert_pem, key_pem=leaf.key_pem)

    async def scenario() -> None:
        async with kit.listening(context=serving.context) as (port, _):
            serial = await tls.self_probe(
                port=port.port, server_name=certificates.SERVER_NAME, ca_pem=ca.cert_pem
            )
            assert serial == leaf.cert.serial_number

    kit.run_on(uvloop.new_event_loop, scenario())
