"""One connection on a transport in memory: order, refusals, failing handlers, 100-continue."""

from __future__ import annotations

import asyncio
import itertools
import logging

import hypothesis
import pytest
from hypothesis import strategies

from sidecar_injector.httpserver import messages
from tests.kits import server as kit

CLOSE = "Connection: close"


# Routes and answers.


def test_a_request_is_answered_with_type_length_and_date() -> None:
    (reply,) = kit.wire().send(kit.post(b"abc")).answers()
    assert (reply.status, reply.body) == (200, b"3:abc")
    assert reply.headers["content-type"] == messages.TEXT
    assert reply.headers["date"].endswith("GMT")
    assert "connection" not in reply.headers


@pytest.mark.parametrize(
    ("request_line", "status", "allow"),
    [
        ("POST /nowhere", 404, None),
        ("POST /echo/", 404, None),
        ("OPTIONS *", 404, None),
        ("PUT /echo", 405, "GET, HEAD, POST"),
        ("HEAD /post-only", 405, "POST"),
        ("POST /echo?a=b", 200, None),
    ],
)
def test_paths_and_methods(request_line: str, status: int, allow: str | None) -> None:
    wire = kit.wire(
        {"/echo": {"POST": kit.echo, "GET": kit.echo}, "/post-only": {"POST": kit.echo}}
    )
    wire.send(f"{request_line} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    (reply,) = kit.replies(wire.transport.written, bodiless=request_line.startswith("HEAD"))
    assert (reply.status, reply.headers.get("allow")) == (status, allow)
    assert not wire.transport.closed


def test_a_refusal_is_one_line_of_text() -> None:
    (reply,) = kit.wire().send(kit.post(path="/nowhere")).answers()
    assert reply.headers["content-type"] == messages.TEXT
    assert reply.body == b"nothing is served at /nowhere\n"


def test_an_answer_to_head_has_the_length_but_not_the_body() -> None:
    wire = kit.wire().send(b"HEAD /echo HTTP/1.1\r\nHost: x\r\n\r\n")
    (reply,) = kit.replies(wire.transport.written, bodiless=True)
    assert (reply.status, reply.headers["content-length"]) == (200, "2")
    assert wire.transport.written.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("ready", [True, False])
def test_a_route_with_a_condition_answers_503_without_it(*, ready: bool) -> None:
    wire = kit.wire({"/echo": {"POST": messages.when(lambda: ready, kit.echo)}}).send(
        kit.post(b"a")
    )
    (reply,) = wire.answers()
    assert reply.status == (200 if ready else 503)
    assert reply.headers.get("retry-after") == (None if ready else "1")
    assert not wire.transport.closed


# Order.

STREAM = b"".join(
    (kit.post(b"one"), kit.chunked(b"t", b"wo"), kit.post(path="/slow"), kit.post(b"x" * 70))
)


@hypothesis.given(cuts=strategies.lists(strategies.integers(0, len(STREAM)), max_size=8))
def test_pipelined_requests_are_answered_in_order_wherever_they_are_cut(cuts: list[int]) -> None:
    async def scenario() -> list[bytes]:
        slow = kit.Slow()
        wire = kit.wire(slow.routes)
        slow.answers.put_nowait(b"slow")
        edges = [0, *sorted(cuts), len(STREAM)]
        for start, end in itertools.pairwise(edges):
            wire.send(STREAM[start:end])
        await kit.turn()
        return [reply.body for reply in wire.answers()]

    assert asyncio.run(scenario()) == [b"3:one", b"3:two", b"slow", b"70:" + b"x" * 70]


async def test_while_an_answer_is_awaited_nothing_overtakes_it_and_reading_stops() -> None:
    slow = kit.Slow()
    wire = kit.wire(slow.routes).send(kit.post(b"1", path="/slow"), kit.post(b"2"))
    await kit.turn()
    assert slow.bodies == [b"1"]
    assert wire.statuses() == []
    assert not wire.transport.reading
    assert wire.pool.awaited == 1

    slow.answers.put_nowait(b"first")
    await kit.turn()
    assert [reply.body for reply in wire.answers()] == [b"first", b"1:2"]
    assert wire.transport.reading
    assert wire.pool.awaited == 0


async def test_a_client_that_does_not_read_its_answers_gets_no_more() -> None:
    wire = kit.wire()
    wire.connection.pause_writing()
    wire.send(kit.post(b"1") + kit.post(b"2"))
    assert wire.statuses() == []
    assert not wire.transport.reading

    wire.connection.resume_writing()
    await kit.turn()
    assert [reply.body for reply in wire.answers()] == [b"1:1", b"1:2"]
    assert wire.transport.reading


def test_a_refusal_waits_until_the_client_reads() -> None:
    wire = kit.wire()
    wire.connection.pause_writing()
    wire.send(b"rubbish\r\n\r\n")
    assert wire.statuses() == []
    wire.connection.resume_writing()
    assert wire.statuses() == [400]


def test_a_refusal_comes_after_the_answers_before_it_and_reading_is_over() -> None:
    wire = kit.wire().send(kit.post(b"1") + b"rubbish\r\n\r\n", kit.post(b"2"))
    assert wire.statuses() == [200, 400]
    assert wire.answers()[1].headers["connection"] == "close"


# Handlers that fail.


def broken(request: messages.Request) -> messages.Response:
    raise LookupError("a bug")


async def broken_later(request: messages.Request) -> messages.Response:
    raise LookupError("a bug")


@pytest.mark.parametrize("handler", [broken, broken_later])
async def test_a_bug_in_a_handler_is_a_500_and_the_next_request_is_answered(
    handler: messages.Handler, caplog: pytest.LogCaptureFixture
) -> None:
    wire = kit.wire({"/bug": {"POST": handler}, "/echo": {"POST": kit.echo}})
    with caplog.at_level(logging.ERROR):
        wire.send(kit.post(path="/bug"), kit.post(b"a"))
        await kit.turn()
    assert wire.statuses() == [500, 200]
    assert not wire.transport.closed
    assert b"LookupError" not in wire.transport.written
    (record,) = caplog.records
    assert record.getMessage() == "The handler of POST /bug failed"
    assert record.exc_info


async def test_an_answer_for_a_client_that_has_left_is_dropped() -> None:
    slow = kit.Slow()
    wire = kit.wire(slow.routes).send(kit.post(path="/slow"), kit.post(b"next"))
    await kit.turn()
    wire.transport.close()
    wire.connection.connection_lost(None)
    slow.answers.put_nowait(b"late")
    await kit.turn()
    assert wire.transport.written == b""
    assert wire.pool.connections == set()
    assert wire.pool.awaited == 0


async def test_while_a_refusal_waits_for_its_turn_nothing_is_read() -> None:
    slow = kit.Slow()
    wire = kit.wire(slow.routes).send(kit.post(path="/slow"), b"GET / HTTP/1.1\r\n\r\n")
    await kit.turn()
    assert not wire.transport.reading
    slow.answers.put_nowait(b"first")
    await kit.turn()
    assert wire.statuses() == [200, 400]
    assert wire.transport.reading, "what the client has sent meanwhile is thrown away"


# Expect: 100-continue.

EXPECTING = kit.post(b"abc", "Expect: 100-continue")


def test_a_client_that_waits_gets_100_continue() -> None:
    wire = kit.wire().send(EXPECTING[:-3])
    assert wire.transport.written == messages.CONTINUE
    wire.send(b"abc")
    assert wire.statuses() == [100, 200]


def test_a_client_that_does_not_wait_gets_no_100_continue() -> None:
    assert kit.wire().send(EXPECTING).statuses() == [200]


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (kit.post(b"abc", "Expect: 100-continue", path="/nowhere")[:-3], 404),
        (kit.post(b"x" * 101, "Expect: 100-continue")[:-101], 413),
    ],
)
def test_a_client_whose_body_would_be_refused_gets_no_100_continue(raw: bytes, status: int) -> None:
    wire = kit.wire(limits=messages.Limits(body_bytes=100)).send(raw)
    assert wire.statuses() == [status]
    assert wire.answers()[0].headers["connection"] == "close"
    wire.pass_time(wire.pool.limits.linger_seconds)
    assert wire.transport.closed


async def test_100_continue_waits_for_the_answers_before_it() -> None:
    slow = kit.Slow()
    wire = kit.wire(slow.routes).send(kit.post(path="/slow") + EXPECTING[:-3])
    await kit.turn()
    assert wire.transport.written == b""
    slow.answers.put_nowait(b"first")
    await kit.turn()
    assert wire.statuses() == [200, 100]
