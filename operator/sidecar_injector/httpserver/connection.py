"""One client: its requests are answered in order, and a state machine says how it may end.

The state says what is due and how long it may take. Flow control is apart from it: whether the
client reads (`_can_write`), and whether we do (`_reading`).
"""

from __future__ import annotations

import asyncio
import collections
import enum
import fcntl
import struct
import termios
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Final, cast

from sidecar_injector.httpserver import messages, parser

if TYPE_CHECKING:
    from sidecar_injector.httpserver.pool import Pool


class State(enum.IntEnum):  # With integers, because the hash of other members is slow.
    """What a connection does now."""

    HANDSHAKE = enum.auto()
    """TLS is negotiated; there is no transport yet."""
    IDLE = enum.auto()
    """No request has begun."""
    RECEIVING = enum.auto()
    """A request has begun and is not complete; no answer is due."""
    ANSWERING = enum.auto()
    """An answer is due. It waits for its handler, or for the client to read earlier answers."""
    REFUSING = enum.auto()
    """Like ANSWERING, and a refusal comes last. Nothing more is read."""
    LINGERING = enum.auto()
    """The refusal is sent; what still arrives is thrown away."""
    CLOSING = enum.auto()
    """The transport sends what is left and closes."""
    CLOSED = enum.auto()
    """The transport is gone."""


class Event(enum.IntEnum):
    """What may happen to a connection."""

    CONNECTED = enum.auto()
    """The transport is there."""
    BEGUN = enum.auto()
    """The first part of a request has arrived."""
    REQUESTED = enum.auto()
    """At least one request is complete."""
    ANSWERED = enum.auto()
    """Every complete request is answered."""
    REFUSED = enum.auto()
    """A request cannot be read on."""
    REFUSAL_SENT = enum.auto()
    ENDED = enum.auto()
    """The last answer is sent, or the time is over: we close."""
    LOST = enum.auto()
    """The transport is gone, or will never come."""


# As constants, because an attribute of an enum takes several times as long to read.
HANDSHAKE, IDLE, RECEIVING, ANSWERING, REFUSING, LINGERING, CLOSING, CLOSED = State
CONNECTED, BEGUN, REQUESTED, ANSWERED, REFUSED, REFUSAL_SENT, ENDED, LOST = Event

TRANSITIONS: Final = {
    HANDSHAKE: {CONNECTED: IDLE, LOST: CLOSED},
    IDLE: {
        BEGUN: RECEIVING, REQUESTED: ANSWERING, REFUSED: REFUSING, ENDED: CLOSING, LOST: CLOSED,
    },
    RECEIVING: {REQUESTED: ANSWERING, REFUSED: REFUSING, LOST: CLOSED},
    ANSWERING: {
        REQUESTED: ANSWERING, ANSWERED: IDLE, REFUSED: REFUSING, ENDED: CLOSING, LOST: CLOSED,
    },
    REFUSING: {REFUSAL_SENT: LINGERING, ENDED: CLOSING, LOST: CLOSED},
    LINGERING: {ENDED: CLOSING, LOST: CLOSED},
    CLOSING: {LOST: CLOSED},
    CLOSED: {LOST: CLOSED},
}  # fmt: skip
"""The next state after an event. Any other event in a state is a bug of ours: KeyError."""
ACCEPTS_REQUESTS: Final = frozenset({IDLE, RECEIVING, ANSWERING})
"""The states in which bytes of the client are parsed."""


class Connection(asyncio.Protocol):
    """The server's side of one connection, plain or TLS.

    Requests that arrive while an answer is due wait in a queue and nothing more is read, so a
    client can make us hold one read's worth of them.
    """

    __slots__ = (
        "_can_write", "_held", "_parser", "_pool", "_queue", "_reading", "_refusal", "_served",
        "_state", "_task", "_transport", "deadline",
    )  # fmt: skip

    _parser: parser.Parser
    _transport: asyncio.Transport

    def __init__(self, pool: Pool) -> None:
        # Later than the deadline of the listener, which ends the handshake by itself.
        self.deadline = pool.now + 2 * pool.limits.handshake_seconds
        """When the pool calls `expire`, by its clock."""
        self._pool = pool
        self._state = HANDSHAKE
        self._queue: collections.deque[messages.Request] = collections.deque()
        self._task: asyncio.Task[None] | None = None
        self._refusal: messages.Response | None = None
        self._reading = self._can_write = True
        self._served = 0
        self._held = 0
        pool.join(self)

    # Calls of the transport.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._parser = parser.Parser(self._pool.limits)
        if self._state is CLOSED:
            # It was evicted during its handshake, which asyncio has no way to end.
            self._transport.abort()
            return
        self._enter(CONNECTED, seconds=self._pool.limits.idle_seconds)
        self._pool.join(self)

    def data_received(self, data: bytes) -> None:
        if self._state not in ACCEPTS_REQUESTS:
            return
        reader = self._parser
        requests = reader.feed(data)
        if requests:
            self._queue.extend(requests)
            self._state = TRANSITIONS[self._state][REQUESTED]
        if reader.refusal is not None:
            self._refuse(self._pool.count_error(reader.refusal))
        elif reader.unfinished or self._held:
            self._account()
        self._advance()

    def pause_writing(self) -> None:
        self._can_write = False

    def resume_writing(self) -> None:
        self._can_write = True
        self._advance()

    def connection_lost(self, exc: Exception | None) -> None:
        self._state = TRANSITIONS[self._state][LOST]
        self._queue.clear()
        self._hold(0)
        self._parser.close()
        self._pool.leave(self)

    # Calls of the pool.

    @property
    def idle(self) -> bool:
        """Whether no answer is due.

        On a connection that has had an answer, a request that has only begun counts as due. On one
        that has not, it does not: a stranger could protect its connection with one byte.
        """
        if self._state is RECEIVING:
            return not self._served
        return self._state not in {ANSWERING, REFUSING}

    def expire(self) -> None:
        """The deadline has passed."""
        if self._state in {HANDSHAKE, CLOSING, CLOSED} or not self._can_write:
            self.abort()
        elif self._state is RECEIVING:
            seconds = self._pool.limits.request_seconds
            timeout = messages.text(408, f"the request was not complete within {seconds:g} s")
            self._refuse(self._pool.count_error(timeout))
            self._advance()
        elif self._state in {ANSWERING, REFUSING}:
            # There is no limit for the time of a handler.
            self.deadline = self._pool.now + self._pool.limits.idle_seconds
        else:
            self._close()

    def close_when_idle(self) -> None:
        """Close now if idle; otherwise the next answer is the last, because the pool is closing.

        A client that has just connected is about to send a request, so it gets a moment. So does
        one whose request the kernel has received and we have not read yet.
        """
        if self._state is not IDLE:
            return
        if self._served and not self._has_unread_bytes():
            self._close()
        else:
            self.deadline = self._pool.now + self._pool.limits.linger_seconds

    def abort(self) -> None:
        """Cut the connection now."""
        if self._state is HANDSHAKE:
            self._state = TRANSITIONS[self._state][LOST]
            self._pool.leave(self)
        elif self._state is not CLOSED:
            self._transport.abort()

    # The state.

    def _enter(self, event: Event, *, seconds: float) -> None:
        """Change the state; the new one may last so long."""
        self._state = TRANSITIONS[self._state][event]
        self.deadline = self._pool.now + seconds

    def _refuse(self, refusal: messages.Response) -> None:
        """Read no further; the refusal is sent after the answers that are due."""
        self._state = TRANSITIONS[self._state][REFUSED]
        self._refusal = refusal
        self._hold(0)

    def _close(self) -> None:
        self._enter(ENDED, seconds=self._pool.limits.linger_seconds)
        self._queue.clear()
        self._transport.close()

    # Requests in.

    def _account(self) -> None:
        """Limit the time and the memory of a request that is only partly here."""
        reader, limits = self._parser, self._pool.limits
        if self._state is IDLE and reader.unfinished:
            self._enter(BEGUN, seconds=limits.request_seconds)
        self._hold(reader.held)
        if self._pool.held > limits.held_bytes:
            busy = messages.busy("too many unfinished requests")
            self._refuse(self._pool.count_error(busy))
        elif reader.held >= limits.turn_bytes:
            self._transport.pause_reading()
            asyncio.get_running_loop().call_soon(self._read_on)

    def _hold(self, held: int) -> None:
        self._pool.held += held - self._held
        self._held = held

    def _read_on(self) -> None:
        if self._reading and not self._transport.is_closing():
            self._transport.resume_reading()

    def _pause_or_resume_reading(self) -> None:
        if self._reading:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()
        self._reading = not self._reading

    def _has_unread_bytes(self) -> bool:
        """Whether the kernel holds bytes that the event loop has not fetched yet."""
        # By ioctl on the file descriptor: the socket object of uvloop does not allow to peek.
        client = self._transport.get_extra_info("socket")
        if client is None or client.fileno() < 0:
            return False
        return any(fcntl.ioctl(client.fileno(), termios.FIONREAD, bytes(struct.calcsize("i"))))

    # Answers out.

    def _advance(self) -> None:
        """Answer in order, until an answer must be awaited or the client has to read first."""
        queue = self._queue
        while queue and self._task is None and self._can_write:
            request = queue.popleft()
            answer = self._pool.answer(request)
            if isinstance(answer, messages.Response):
                self._send(request, answer)
            else:
                task = self._send_later(request, answer)
                self._task = asyncio.get_running_loop().create_task(task)
        if not queue and self._task is None:
            self._after_last_answer()
        must_wait = bool(queue) or self._state is REFUSING
        if must_wait is self._reading and self._state is not CLOSING:
            self._pause_or_resume_reading()

    def _after_last_answer(self) -> None:
        """No answer is due any more: continue with what the client has begun."""
        limits = self._pool.limits
        if self._state is ANSWERING:
            self._enter(ANSWERED, seconds=limits.idle_seconds)
            if self._parser.unfinished:
                self._enter(BEGUN, seconds=limits.request_seconds)
        if self._state is RECEIVING and self._parser.expect_continue is not None:
            self._send_100_continue(self._parser.expect_continue)
        if self._state is REFUSING and self._can_write:
            assert self._refusal is not None
            self._transport.write(messages.encode(self._refusal, date=self._pool.date, close=True))
            self._enter(REFUSAL_SENT, seconds=limits.linger_seconds)

    async def _send_later(
        self, request: messages.Request, answer: Awaitable[messages.Response]
    ) -> None:
        response = await self._pool.settle(request, answer)
        self._task = None
        if not self._transport.is_closing():
            self._send(request, response)
            self._advance()

    def _send(self, request: messages.Request, response: messages.Response) -> None:
        pool = self._pool
        self._served += 1
        if self._served == 1:
            pool.used(self)
        last = pool.closing or not request.keep_alive or self._served == pool.limits.max_requests
        bodiless = request.method == "HEAD"
        self._transport.write(
            messages.encode(response, date=pool.date, close=last, bodiless=bodiless)
        )
        if last:
            self._close()

    def _send_100_continue(self, request: messages.Request) -> None:
        """Ask for the body that the client holds back, unless the answer is clear without it."""
        self._parser.expect_continue = None
        handler = self._pool.handler(request)
        if isinstance(handler, messages.Response):
            self._refuse(handler)
        else:
            self._transport.write(messages.CONTINUE)
