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
    """The transport is gone."""


# As constants, because an attribute of an enum takes several times as long to read.
IDLE, RECEIVING, ANSWERING, REFUSING, LINGERING, CLOSING, CLOSED = State
BEGUN, REQUESTED, ANSWERED, REFUSED, REFUSAL_SENT, ENDED, LOST = Event

TRANSITIONS: Final = {
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
SLICE_BYTES: Final = 256
"""What is parsed together of bytes that may contain several requests: ten of the smallest ones."""
REQUEST_COST: Final = 16 << 10
"""Bytes of memory that a parsed request takes beside its body, at most."""


class Connection(asyncio.BufferedProtocol):
    """The server's side of one connection, on a socket or on a `TLSTransport`.

    One request is answered in a turn of the event loop. Bytes that arrive while an answer is due
    are not parsed, and nothing more is read.
    """

    __slots__ = (
        "_can_write", "_has_turn", "_parser", "_pool", "_queue", "_reading", "_refusal", "_served",
        "_state", "_task", "_transport", "_unparsed", "_waiting_body", "deadline", "held",
    )  # fmt: skip

    _transport: asyncio.Transport

    def __init__(self, pool: Pool) -> None:
        self.deadline = pool.now + pool.limits.idle_seconds
        """When the pool calls `expire`, by its clock."""
        self.held = 0
        """Bytes of memory that count in the budget of the pool."""
        self._pool = pool
        self._parser = parser.Parser(pool.limits)
        self._state = IDLE
        self._unparsed = b""
        self._queue: collections.deque[messages.Request] = collections.deque()
        """Parsed requests whose answer is due."""
        self._task: asyncio.Task[None] | None = None
        self._waiting_body = 0
        """The size of the body for which `_task` runs."""
        self._has_turn = False
        """Whether the pool is going to call `take_turn`."""
        self._refusal: messages.Response | None = None
        self._reading = self._can_write = True
        self._served = 0

    # Calls of the transport.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        # So `pause_writing` is called for whatever the kernel does not take at once.
        self._transport.set_write_buffer_limits(high=0)
        self._pool.join(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._pool.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.data_received(bytes(self._pool.buffer[:nbytes]))

    def data_received(self, data: bytes) -> None:
        """As a protocol without a buffer has it: `TLSTransport` calls it."""
        if self._state not in ACCEPTS_REQUESTS:
            return
        self._unparsed += data
        self._advance()
        is_large = self._parser.unfinished and len(data) >= self._pool.limits.turn_bytes
        if is_large and self._reading:
            self._transport.pause_reading()
            asyncio.get_running_loop().call_soon(self._read_on)

    def pause_writing(self) -> None:
        self._can_write = False

    def resume_writing(self) -> None:
        self._can_write = True
        self._advance()

    def connection_lost(self, exc: Exception | None) -> None:
        self._state = TRANSITIONS[self._state][LOST]
        self._drop_requests()
        self._parser.close()
        self._pool.leave(self)

    # Calls of the pool.

    def take_turn(self) -> None:
        """Answer the next of several requests that came together."""
        self._has_turn = False
        if self._state is not CLOSED:
            self._advance()

    @property
    def idle(self) -> bool:
        """Whether no answer is due.

        On a connection that has had an answer, a request that has only begun counts as due. On one
        that has not, it does not: a stranger could protect its connection with one byte.
        """
        if self._state is RECEIVING:
            return not self._served
        return self._state not in {ANSWERING, REFUSING}

    @property
    def releasable(self) -> int:
        """Bytes of `held` that `release` gives back."""
        return self.held - self._waiting_body

    def release(self) -> None:
        """Give back memory: the pool has none left, and this connection has most of it."""
        if self._can_write and self._state in ACCEPTS_REQUESTS:
            self._queue.clear()
            self._refuse(self._pool.count_error(messages.busy("this replica has no memory left")))
            self._advance()
        else:
            self._pool.count_eviction()
            self.abort()

    def expire(self) -> None:
        """The deadline has passed."""
        if self._state in {CLOSING, CLOSED} or not self._can_write:
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
        self._drop_requests()
        if self._state is not CLOSED:
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
        self._unparsed = b""
        self._parser.discard()

    def _close(self) -> None:
        self._enter(ENDED, seconds=self._pool.limits.linger_seconds)
        self._drop_requests()
        self._transport.close()

    def _drop_requests(self) -> None:
        self._unparsed = b""
        self._queue.clear()
        self._parser.discard()
        self._pool.hold(self, self._waiting_body)

    # Requests in.

    def _parse(self) -> None:
        """Parse what has arrived, or a part of it that contains few requests."""
        reader, data = self._parser, self._unparsed
        # The JSON of an API server has no line end but the last. Only what follows it could have
        # another request.
        if data.find(b"\n", data.find(b"\r\n\r\n") + 4, -1) < 0:
            self._unparsed = b""
            requests = reader.feed(data)
        else:
            requests, end = [], 0
            while end < len(data) and not requests and reader.refusal is None:
                requests = reader.feed(data[end : end + SLICE_BYTES])
                end += SLICE_BYTES
            self._unparsed = data[end:]
        if requests:
            self._queue.extend(requests)
            self._state = TRANSITIONS[self._state][REQUESTED]
        if reader.refusal is not None:
            self._refuse(self._pool.count_error(reader.refusal))

    def _account(self) -> None:
        """Count what this connection makes us keep."""
        held = len(self._unparsed)
        if self._parser.unfinished:
            held += REQUEST_COST + self._parser.held
        if self._queue:
            held += len(self._queue) * REQUEST_COST + sum(len(each.body) for each in self._queue)
        if not self._can_write and self._state is not CLOSED:
            held += self._transport.get_write_buffer_size()
        self._pool.hold(self, held + self._waiting_body)

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
        """Answer a request, unless an answer must be awaited or the client has to read first."""
        if self._can_write and self._task is None:
            if self._unparsed and not self._queue:
                self._parse()
            if self._queue:
                self._answer(self._queue.popleft())
        must_wait = bool(self._queue or self._unparsed)
        if self._task is None:
            if not must_wait:
                self._after_last_answer()
            elif self._can_write and not self._has_turn:
                self._has_turn = True
                self._pool.add_turn(self)
        must_wait = must_wait or self._state is REFUSING
        if must_wait is self._reading and self._state not in {CLOSING, CLOSED}:
            self._pause_or_resume_reading()
        if must_wait or self.held or self._parser.unfinished or self._task or not self._can_write:
            self._account()

    def _answer(self, request: messages.Request) -> None:
        answer = self._pool.answer(request)
        if isinstance(answer, messages.Response):
            self._send(request, answer)
        else:
            self._waiting_body = REQUEST_COST + len(request.body)
            task = self._send_later(request, answer)
            self._task = asyncio.get_running_loop().create_task(task)

    def _after_last_answer(self) -> None:
        """No answer is due any more: continue with what the client has begun."""
        limits, unfinished = self._pool.limits, self._parser.unfinished
        if self._state is ANSWERING:
            self._enter(ANSWERED, seconds=limits.idle_seconds)
        if self._state is IDLE and unfinished:
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
        try:
            response = await self._pool.settle(request, answer)
        finally:
            self._task = None
            self._waiting_body = 0
            self._account()
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
