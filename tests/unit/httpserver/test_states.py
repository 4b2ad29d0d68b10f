"""The state machine of a connection: its table, and random orders of events."""

from __future__ import annotations

import asyncio

import hypothesis
from hypothesis import strategies

from sidecar_injector.httpserver import messages
from sidecar_injector.httpserver.connection import REQUEST_COST, TRANSITIONS, Event, State
from tests.kits import server as kit

LIMITS = messages.Limits(
    body_bytes=100, head_bytes=300, turn_bytes=50, held_bytes=REQUEST_COST + 70
)
PIECES = (
    kit.post(b"a"),
    kit.post(b"b", path="/slow"),
    kit.post(b"c", "Connection: close"),
    kit.post(b"d", "Expect: 100-continue")[:-1],
    kit.post(b"e", "Expect: 100-continue", path="/nowhere")[:-1],
    kit.post(b"x" * 80)[:-20],
    b"x" * 20,
    kit.post(b"x" * 101),
    b"rubbish\r\n\r\n",
)
ACTIONS = ("answer", "pause writing", "resume writing", "second", "minute", "close when idle")


def test_every_state_can_be_reached_and_left_until_the_connection_is_closed() -> None:
    assert set(TRANSITIONS) == set(State)
    reached = {State.IDLE}
    for _ in State:
        reached |= {after for state in reached for after in TRANSITIONS[state].values()}
    assert reached == set(State)
    assert all(TRANSITIONS[state][Event.LOST] is State.CLOSED for state in State)


async def act(wire: kit.Wire, slow: kit.Slow, action: bytes | str) -> None:
    """Do one thing to a connection, as the transport, the pool or the handler would."""
    match action:
        case bytes():
            if wire.transport.reading:
                wire.send(action)
        case "answer":
            slow.answers.put_nowait(b"late")
        case "pause writing":
            wire.transport.unsent = 20
            wire.connection.pause_writing()
        case "resume writing":
            wire.transport.unsent = 0
            wire.connection.resume_writing()
        case "second":
            wire.pass_time(1)
        case "minute":
            wire.pass_time(60)
        case "close when idle":
            wire.pool.close_when_idle()
    await kit.turn()


@hypothesis.given(strategies.lists(strategies.sampled_from(PIECES + ACTIONS), max_size=12))
def test_no_order_of_events_breaks_a_connection(actions: list[bytes | str]) -> None:
    async def scenario() -> kit.Wire:
        slow = kit.Slow()
        wire = kit.wire(slow.routes, limits=LIMITS)
        for action in actions + len(actions) * ["answer"] + 8 * ["minute"]:
            if not wire.transport.closed:
                await act(wire, slow, action)
        return wire

    wire = asyncio.run(scenario())
    assert wire.transport.closed
    closing = [reply.headers.get("connection") == "close" for reply in wire.answers()]
    assert True not in closing[:-1], "nothing follows the last answer"
    wire.connection.connection_lost(None)
    assert (wire.pool.held, wire.pool.awaited) == (0, 0)
    assert wire.pool.connections == set()
