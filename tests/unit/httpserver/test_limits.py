"""The limits of a connection in time and memory, and the ways in which it ends."""

from __future__ import annotations

import tracemalloc

import hypothesis
import pytest
from hypothesis import strategies

from sidecar_injector.httpserver import connection, messages
from sidecar_injector.observability.metrics import Metrics
from tests.kits import server as kit

CLOSE = "Connection: close"


# Time.


def test_a_request_that_stays_unfinished_is_408_then_closed() -> None:
    wire = kit.wire().send(kit.post(b"abc")[:-1])
    wire.pass_time(29)
    assert wire.statuses() == []
    wire.pass_time(1)
    assert wire.statuses() == [408]
    assert not wire.transport.closed
    wire.pass_time(2)
    assert wire.transport.closed
    assert not wire.transport.aborted


def test_bytes_that_trickle_do_not_extend_the_time() -> None:
    wire = kit.wire()
    for byte in kit.post(b"abc")[:31]:
        wire.send(bytes([byte]))
        wire.pass_time(1)
    assert wire.statuses() == [408]


def test_an_idle_connection_outlives_the_api_servers_90_seconds() -> None:
    wire = kit.wire().send(kit.post())
    wire.pass_time(121)
    assert not wire.transport.closed
    wire.send(kit.post())
    wire.pass_time(179)
    assert not wire.transport.closed
    wire.pass_time(1)
    assert wire.transport.closed
    assert wire.statuses() == [200, 200]


def test_after_a_slow_request_the_connection_is_idle_and_stays_open() -> None:
    raw = kit.post(b"abc")
    wire = kit.wire().send(raw[:-1])
    wire.pass_time(20)
    wire.send(raw[-1:])
    wire.pass_time(121)
    assert not wire.transport.closed


async def test_a_connection_stays_open_while_its_handler_takes_long() -> None:
    slow = kit.Slow()
    wire = kit.wire(slow.routes).send(kit.post(path="/slow"))
    wire.pass_time(1000)
    assert not wire.transport.closed
    slow.answers.put_nowait(b"late")
    await kit.turn()
    assert wire.statuses() == [200]


def test_a_client_that_never_reads_is_cut() -> None:
    wire = kit.wire()
    wire.connection.pause_writing()
    wire.send(kit.post())
    wire.pass_time(180)
    assert wire.transport.aborted


def test_a_client_that_does_not_hang_up_is_cut() -> None:
    wire = kit.wire().send(kit.post(b"", CLOSE))
    assert wire.transport.closed
    wire.pass_time(2)
    assert wire.transport.aborted


# Memory.


def test_unfinished_bodies_are_limited_over_all_connections() -> None:
    metrics = Metrics()
    first = kit.wire(limits=messages.Limits(held_bytes=100), metrics=metrics)
    raw = kit.post(b"x" * 90)
    first.send(raw[:-10])
    assert first.pool.held == 80

    second = kit.join(first.pool, first.clock).send(raw[:-10])
    assert second.statuses() == [503]
    assert first.pool.held == 80

    first.send(raw[-10:])
    assert first.statuses() == [200]
    assert first.pool.held == 0
    assert metrics.registry.get_sample_value(
        "sidecar_injector_http_errors_total", {"code": "503"}
    ) == 1  # fmt: skip


def test_the_bytes_of_a_lost_connection_do_not_count() -> None:
    wire = kit.wire().send(kit.post(b"x" * 90)[:-10])
    wire.connection.connection_lost(None)
    assert wire.pool.held == 0


@pytest.mark.parametrize("pieces", [1, 2])
async def test_an_idle_connection_does_not_keep_its_last_body(pieces: int) -> None:
    wire = kit.wire({"/echo": {"POST": lambda _: messages.Response(200)}})
    tracemalloc.start()
    try:
        raw = kit.post(b"x" * (4 << 20))
        step = -(-len(raw) // pieces)
        wire.send(*(raw[start : start + step] for start in range(0, len(raw), step)))
        del raw
        assert wire.statuses() == [200]
        assert tracemalloc.get_traced_memory()[0] < 1 << 20
    finally:
        tracemalloc.stop()


def test_a_body_in_a_thousand_pieces_arrives_whole() -> None:
    body = bytes(range(256)) * 400
    raw = kit.post(body)
    wire = kit.wire().send(*(raw[i : i + 100] for i in range(0, len(raw), 100)))
    assert wire.answers()[0].body == b"102400:" + body


# Ends.


@pytest.mark.parametrize(
    "raw", [kit.post(b"a", CLOSE), kit.post(b"a").replace(b"HTTP/1.1", b"HTTP/1.0")]
)
def test_a_client_that_asks_to_close_is_closed_after_its_answer(raw: bytes) -> None:
    wire = kit.wire().send(raw + b"and more")
    assert wire.statuses() == [200]
    assert wire.answers()[0].headers["connection"] == "close"
    assert wire.transport.closed


def test_a_connection_ends_with_an_answer_after_its_limit_of_requests() -> None:
    wire = kit.wire(limits=messages.Limits(max_requests=2)).send(kit.post(b"1"), kit.post(b"2"))
    assert [reply.headers.get("connection") for reply in wire.answers()] == [None, "close"]
    assert wire.transport.closed


def test_while_closing_every_answer_is_the_last() -> None:
    wire = kit.wire().send(kit.post(b"1"))
    wire.pool.closing = True
    assert not wire.transport.closed
    wire.send(kit.post(b"2"))
    assert [reply.headers.get("connection") for reply in wire.answers()] == [None, "close"]
    assert wire.transport.closed


def test_an_idle_connection_is_closed_at_once_when_the_pool_closes() -> None:
    wire = kit.wire().send(kit.post())
    wire.pool.close_when_idle()
    assert wire.transport.closed
    assert not wire.transport.aborted


def test_a_client_without_a_request_so_far_gets_a_moment_when_the_pool_closes() -> None:
    wire = kit.wire()
    wire.pool.close_when_idle()
    wire.pass_time(1)
    assert not wire.transport.closed
    wire.send(kit.post())
    assert wire.answers()[0].headers["connection"] == "close"

    silent = kit.wire()
    silent.pool.close_when_idle()
    silent.pass_time(2)
    assert silent.transport.closed


def test_a_request_that_has_begun_is_answered_when_the_pool_closes() -> None:
    raw = kit.post(b"abc")
    wire = kit.wire().send(raw[:20])
    wire.pool.close_when_idle()
    assert not wire.transport.closed
    wire.send(raw[20:])
    assert wire.statuses() == [200]
    assert wire.transport.closed


def test_a_client_counts_during_its_handshake_until_its_time_is_over() -> None:
    wire = kit.wire()
    handshaking = connection.Connection(wire.pool)
    wire.pool.close_when_idle()
    assert handshaking in wire.pool.connections
    wire.pass_time(10)
    assert handshaking not in wire.pool.connections


async def test_an_answer_that_is_due_is_sent_when_the_pool_closes() -> None:
    slow = kit.Slow()
    wire = kit.wire(slow.routes).send(kit.post(path="/slow"))
    wire.pool.close_when_idle()
    await kit.turn()
    assert not wire.transport.closed
    slow.answers.put_nowait(b"done")
    await kit.turn()
    assert wire.statuses() == [200]
    assert wire.transport.closed


def test_what_comes_after_a_refusal_is_read_and_thrown_away() -> None:
    """Otherwise the kernel resets the connection, and the client may not see the refusal."""
    wire = kit.wire(limits=messages.Limits(body_bytes=10)).send(kit.post(b"x" * 11))
    assert wire.statuses() == [413]
    wire.send(b"x" * 1000, kit.post(b"1"))
    assert wire.statuses() == [413]
    assert wire.transport.reading
    assert not wire.transport.closed


def test_refusals_are_counted_by_status() -> None:
    metrics = Metrics()
    for raw in (b"rubbish\r\n\r\n", kit.post(path="/nowhere"), kit.post(b"a")):
        kit.wire(metrics=metrics).send(raw)
    seen = {
        code: metrics.registry.get_sample_value(
            "sidecar_injector_http_errors_total", {"code": code}
        )
        for code in ("400", "404", "405")
    }
    assert seen == {"400": 1, "404": 1, "405": 0}


@hypothesis.given(data=strategies.lists(strategies.binary(max_size=200), max_size=5))
def test_no_bytes_make_a_connection_raise(data: list[bytes]) -> None:
    wire = kit.wire().send(*data)
    wire.pass_time(300)
    wire.pass_time(300)
    assert wire.transport.closed
