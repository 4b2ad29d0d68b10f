"""The limits of a connection in time and memory, and the ways in which it ends."""

from __future__ import annotations

import asyncio
import tracemalloc

import hypothesis
import pytest
from hypothesis import strategies

from sidecar_injector.httpserver import connection, messages, parser
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


def errors(metrics: Metrics, code: str) -> float | None:
    name = "sidecar_injector_http_errors_total"
    return metrics.registry.get_sample_value(name, {"code": code})


def test_if_the_budget_is_exceeded_the_largest_gives_way(
    caplog: pytest.LogCaptureFixture,
) -> None:
    metrics = Metrics()
    limits = messages.Limits(held_bytes=2 * connection.REQUEST_COST + 150)
    first = kit.wire(limits=limits, metrics=metrics).send(kit.post(b"x" * 90)[:-10])
    assert first.pool.held == connection.REQUEST_COST + 80

    second = kit.join(first.pool, first.clock).send(kit.post(b"x" * 70)[:-10])
    assert first.pool.held == 2 * connection.REQUEST_COST + 140
    second.send(b"x" * 5)
    assert (first.statuses(), second.statuses()) == ([], [])
    second.send(b"x" * 4)
    third = kit.join(first.pool, first.clock).send(kit.post(b"small"))
    assert third.statuses() == [200], "a request that is complete at once takes nothing"
    third.send(kit.post(b"small")[:-1])
    assert (first.statuses(), second.statuses()) == ([503], [])
    assert first.answers()[0].headers["retry-after"] == "1"
    third.send(b"l")
    second.send(b"x")
    assert (second.statuses(), third.statuses()) == ([200], [200, 200])
    assert first.pool.held == 0
    assert errors(metrics, "503") == 1
    (record,) = caplog.records
    assert "the largest of them give way" in record.getMessage()


async def test_a_whole_body_counts_until_it_is_answered() -> None:
    slow = kit.Slow()
    wire = kit.wire(slow.routes).send(kit.post(b"x" * 1000, path="/slow"))
    await kit.turn()
    assert wire.pool.held == connection.REQUEST_COST + 1000
    wire.transport.close()
    wire.connection.connection_lost(None)
    assert wire.pool.held == connection.REQUEST_COST + 1000, "the handler still has it"
    slow.answers.put_nowait(b"late")
    await kit.turn()
    assert wire.pool.held == 0


async def test_requests_that_wait_and_bytes_that_are_not_parsed_count() -> None:
    slow = kit.Slow()
    wire = kit.wire(slow.routes).send(
        kit.post(b"1", path="/slow"), (pipelined := 100 * kit.post(b"2"))
    )
    await kit.turn()
    assert wire.pool.held == connection.REQUEST_COST + 1 + len(pipelined)
    assert not wire.transport.reading
    slow.answers.put_nowait(b"first")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert 0 < wire.pool.held < len(pipelined) + 16 * 2**14
    for _ in range(20):
        await kit.turn()
    assert wire.statuses() == 101 * [200]
    assert wire.pool.held == 0


def test_an_answer_counts_until_the_client_has_read_it_and_the_next_one_waits() -> None:
    limits, metrics = messages.Limits(held_bytes=5000), Metrics()
    wire = kit.wire(limits=limits, metrics=metrics)
    wire.transport.unsent = 3000
    wire.connection.pause_writing()
    wire.send(kit.post(b"a"))
    assert wire.pool.held == 3000 + len(kit.post(b"a"))
    assert not wire.transport.reading
    other = kit.join(wire.pool, wire.clock)
    other.transport.unsent = 2500
    other.connection.pause_writing()
    other.send(kit.post(b"b"))
    assert wire.transport.aborted
    assert not other.transport.aborted
    name = "sidecar_injector_connections_evicted_total"
    assert metrics.registry.get_sample_value(name) == 1
    assert wire.pool.held < limits.held_bytes


def test_of_many_small_requests_few_are_parsed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    batches: list[int] = []
    original = parser.Parser.feed

    def feed(self: parser.Parser, data: bytes) -> list[messages.Request]:
        requests = original(self, data)
        batches.append(len(requests))
        return requests

    monkeypatch.setattr(parser.Parser, "feed", feed)

    async def scenario() -> kit.Wire:
        wire = kit.wire().send(500 * b"GET /echo HTTP/1.1\r\nHost:\r\n\r\n")
        for _ in range(100):
            await kit.turn()
        return wire

    assert asyncio.run(scenario()).statuses() == 500 * [200]
    assert max(batches) <= 16


def test_an_ordinary_request_is_parsed_in_one_piece_and_counts_nowhere() -> None:
    wire = kit.wire().send(kit.post(b"{" + b"x" * 15_000 + b"}"))
    assert wire.statuses() == [200]
    assert (wire.pool.held, wire.connection.held) == (0, 0)


def test_a_request_with_too_many_headers_is_refused() -> None:
    headers = [f"h{number}: " for number in range(100)]
    assert kit.wire().send(kit.post(b"", *headers[:98])).statuses() == [200]
    assert kit.wire().send(kit.post(b"", *headers)).statuses() == [431]
    unfinished = kit.post(b"", *headers, *headers)[:-4]
    assert kit.wire().send(unfinished).statuses() == [431]


async def test_forty_clients_that_pipeline_and_never_read_stay_within_the_budget() -> None:
    limits = messages.Limits(held_bytes=1 << 20)
    first = kit.wire(limits=limits)
    wires = [first, *(kit.join(first.pool, first.clock) for _ in range(39))]
    for wire in wires:
        wire.send(kit.post(b"first"))
        wire.transport.unsent = 30_000
        wire.connection.pause_writing()
        for _ in range(80):  # 1.3 MB
            if wire.transport.reading and not wire.transport.closed:
                wire.send(kit.post(b"x" * 100) * 90)
            assert first.pool.held <= limits.held_bytes
    await kit.turn()
    assert any(wire.transport.aborted for wire in wires)
    assert first.pool.held == sum(wire.connection.held for wire in wires)


# Time that we take ourselves.


def test_a_hold_of_ours_does_not_count_as_the_clients_time() -> None:
    wire = kit.wire().send(kit.post(b"abc")[:-1])
    wire.clock.now += 3600
    wire.pool.sweep()
    assert wire.statuses() == []
    wire.send(b"c")
    assert wire.statuses() == [200]


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
