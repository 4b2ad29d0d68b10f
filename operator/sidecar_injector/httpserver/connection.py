"""One client: requests in, answers out, in order; and every way in which that may end.

A connection arrives (TLS shakes hands), is open, then lingers (the last answer is out; what still
comes is thrown away), then closes (the transport flushes and hangs up). It leaves each of these by
an event or by its deadline.
"""

from __future__ import annotations

import asyncio
import collections
import enum
import fcntl
import struct
import termios
from collections.abc import Awaitable
from typing import cast

from sidecar_injector.httpserver import messages, parser, pool


class Phase(enum.Enum):
    """How far a connection's life has gone."""

    ARRIVING = enum.auto()
    OPEN = enum.auto()
    LINGERING = enum.auto()
    CLOSING = enum.auto()


class Connection(asyncio.Protocol):
    """The server's side of one connection, plain or TLS.

    Requests that arrive while an answer is awaited, or while the client does not read, wait in a
    queue and nothing more is read, so a client can make us hold one read's worth of them.
    """

    __slots__ = (
        "_held", "_parser", "_phase", "_pool", "_queue", "_reading", "_served", "_started", "_task",
        "_transport", "_writable", "deadline",
    )  # fmt: skip

    _parser: parser.Parser
    _transport: asyncio.Transport

    def __init__(self, shared: pool.Pool) -> None:
        # The listener ends the handshake before that, but asyncio does not tell us.
        self.deadline = shared.now + 2 * shared.limits.handshake_seconds
        self._pool = shared
        self._phase = Phase.ARRIVING
        self._queue: collections.deque[messages.Request | messages.Response] = collections.deque()
        self._task: asyncio.Task[None] | None = None
        self._reading = self._writable = True
        self._started = False
        self._served = self._held = 0
        shared.join(self)

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        evicted = self._phase is Phase.CLOSING
        self.deadline = self._pool.now + self._pool.limits.idle_seconds
        peer = transport.get_extra_info("peername")
        self._parser = parser.Parser(limits=self._pool.limits, peer=peer)
        if evicted:
            # asyncio has no way to end a connection that is still shaking hands.
            self._transport.abort()
            return
        self._phase = Phase.OPEN
        self._pool.join(self)

    def data_received(self, data: bytes) -> None:
        if self._phase is not Phase.OPEN:
            return
        reader = self._parser
        self._queue.extend(reader.feed(data))
        if reader.refusal is not None:
            self._end_with(reader.refusal)
        elif reader.unfinished or self._started:
            self._account()
        self._advance()

    def pause_writing(self) -> None:
        self._writable = False

    def resume_writing(self) -> None:
        self._writable = True
        self._advance()

    def connection_lost(self, exc: Exception | None) -> None:
        self._phase = Phase.CLOSING
        self._queue.clear()
        self._hold(0)
        self._parser.close()
        self._pool.leave(self)

    # What the pool calls.

    @property
    def idle(self) -> bool:
        """Whether no request has begun whose answer is still owed; what trickles in is none."""
        return self._task is None and not self._queue and not (self._served and self._started)

    def expire(self) -> None:
        """Its time is up: say so if a request is half here, hang up otherwise."""
        if self._phase is Phase.ARRIVING or self._phase is Phase.CLOSING or not self._writable:
            self.abort()
        elif self._task is not None:  # The handler's time is its own affair.
            self.deadline = self._pool.now + self._pool.limits.idle_seconds
        elif self._phase is Phase.LINGERING:
            self._close()
        elif self._parser.unfinished:
            seconds = self._pool.limits.request_seconds
            self._end_with(messages.text(408, f"the request was not complete within {seconds:g} s"))
            self._advance()
        else:
            self._close()

    def retire(self) -> None:
        """Hang up if idle; otherwise the next answer is the last, as the pool is closing.

        A client that has never asked has hardly connected for nothing: its request is on its way.
        So is one that the kernel has and we, being busy, have not read yet.
        """
        if self._phase is not Phase.OPEN or self._task or self._queue or self._parser.unfinished:
            return
        if self._served and not self._unread():
            self._close()
        else:
            self.deadline = self._pool.now + self._pool.limits.linger_seconds

    def abort(self) -> None:
        """Hang up now."""
        if self._phase is Phase.ARRIVING:
            self._phase = Phase.CLOSING
            self._pool.leave(self)
        else:
            self._transport.abort()

    # Requests in.

    def _account(self) -> None:
        """Keep time and memory of a request that is only partly here."""
        reader, limits = self._parser, self._pool.limits
        if reader.unfinished and not self._started:
            self.deadline = self._pool.now + limits.request_seconds
        self._started = reader.unfinished
        self._hold(reader.held)
        if self._pool.held > limits.held_bytes:
            self._end_with(messages.busy("too many unfinished requests"))
        elif reader.held >= limits.unbroken_bytes:
            self._transport.pause_reading()
            asyncio.get_running_loop().call_soon(self._read_on)

    def _read_on(self) -> None:
        if self._reading and not self._transport.is_closing():
            self._transport.resume_reading()

    def _hold(self, held: int) -> None:
        self._pool.held += held - self._held
        self._held = held

    def _end_with(self, refusal: messages.Response) -> None:
        """Read no further; the refusal is answered after what came before it."""
        self._phase = Phase.LINGERING
        self._parser.expecting = None
        self._hold(0)
        self._queue.append(self._pool.refuse(refusal))

    # Answers out.

    def _advance(self) -> None:
        """Answer in order, until an answer must be awaited or the client has to read first."""
        queue, shared = self._queue, self._pool
        while queue and self._task is None and self._writable:
            request = queue.popleft()
            if isinstance(request, messages.Response):
                self._last_words(request)
                break
            answer = shared.answer(request)
            if isinstance(answer, messages.Response):
                self._send(request, answer)
            else:
                loop = asyncio.get_running_loop()
                self._task = loop.create_task(self._settle(request, answer))
        if bool(queue) is self._reading and self._phase is not Phase.CLOSING:
            self._pause_or_resume()
        if self._parser.expecting is not None and not queue and self._task is None:
            self._invite(self._parser.expecting)

    async def _settle(
        self, request: messages.Request, awaitable: Awaitable[messages.Response]
    ) -> None:
        answer = await self._pool.settle(request, awaitable)
        self._task = None
        if not self._transport.is_closing():
            self._send(request, answer)
            self._advance()

    def _send(self, request: messages.Request, response: messages.Response) -> None:
        shared = self._pool
        self._served += 1
        if self._served == 1:
            shared.used(self)
        last = (
            shared.closing or not request.keep_alive or self._served == shared.limits.max_requests
        )
        bodiless = request.method == "HEAD"
        self._transport.write(
            messages.encode(response, date=shared.date, close=last, bodiless=bodiless)
        )
        if last:
            self._close()
        elif not self._started:
            self.deadline = shared.now + shared.limits.idle_seconds

    def _last_words(self, refusal: messages.Response) -> None:
        self._transport.write(messages.encode(refusal, date=self._pool.date, close=True))
        self.deadline = self._pool.now + self._pool.limits.linger_seconds

    def _invite(self, request: messages.Request) -> None:
        """Ask for the body that the client holds back, unless the answer is clear without it."""
        self._parser.expecting = None
        handler = self._pool.handler(request)
        if isinstance(handler, messages.Response):
            self._phase = Phase.LINGERING
            self._last_words(handler)
        else:
            self._transport.write(messages.CONTINUE)

    def _pause_or_resume(self) -> None:
        if self._reading:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()
        self._reading = not self._reading

    def _unread(self) -> bool:
        """Whether the kernel holds bytes that the event loop has not fetched yet."""
        # By its number: the socket that uvloop shows refuses to be asked itself.
        shown = self._transport.get_extra_info("socket")
        if shown is None or shown.fileno() < 0:
            return False
        return any(fcntl.ioctl(shown.fileno(), termios.FIONREAD, bytes(struct.calcsize("i"))))

    def _close(self) -> None:
        self._phase = Phase.CLOSING
        self._queue.clear()
        self._transport.close()
        self.deadline = self._pool.now + self._pool.limits.linger_seconds
