"""What the connections of one port share: routes, limits, a coarse clock, and their end."""

from __future__ import annotations

import asyncio
import email.utils
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

from sidecar_injector.httpserver import messages
from sidecar_injector.observability import logs
from sidecar_injector.observability.metrics import Metrics

if TYPE_CHECKING:
    from sidecar_injector.httpserver.connection import Connection

ERRORS: Final = (400, 404, 405, 408, 413, 414, 417, 431, 500, 501, 503, 505)
READ_BYTES: Final = 8 << 10
"""What is read of a client at once: a usual review. OpenSSL keeps as much room for each client."""
TURNS_AT_ONCE: Final = 4
"""Clients that send several requests at once get so many answers in a turn of the event loop: all
of them together, so they do not delay the clients that send one."""
MOST_SECONDS: Final = 2.0
"""What a sweep counts at most: while the event loop is held, no client can do anything."""
_log = logging.getLogger(__name__)


class Pool:
    """The connections of one port and what they share.

    The clock moves only in `sweep`, which the listener calls once a second. So a connection sets an
    attribute for its deadline instead of a timer for each request. `metrics`, if given, count the
    requests that are awaited and the errors that the server answers by itself.
    """

    def __init__(
        self,
        *,
        routes: messages.Routes,
        limits: messages.Limits | None = None,
        metrics: Metrics | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.limits = limits or messages.Limits()
        self.connections: set[Connection] = set()
        self._unused: dict[Connection, None] = {}
        """Connections without an answer so far, oldest first."""
        self.buffer = memoryview(bytearray(READ_BYTES))
        """For all connections: what is read into it is copied before the next read."""
        self.held = 0
        """Bytes of memory that all connections together make us keep."""
        self._turns: deque[Connection] = deque()
        """Connections with several requests at once, in the order of their turns."""
        self.awaited = 0
        """Requests whose handler is awaited."""
        self.closing = False
        """Every answer from now on is the last of its connection."""
        self._routes = routes
        self._error_counters = {}
        self._eviction_counter = metrics.connections_evicted if metrics else None
        if metrics is not None:
            self._error_counters = {code: metrics.http_errors.labels(code) for code in ERRORS}
            metrics.inflight_requests.set_function(lambda: self.awaited)
        self._clock = clock
        self._last_sweep = self.now = clock()
        self._empty = asyncio.Event()
        self.sweep()

    def sweep(self) -> None:
        """Move the clock, and call `expire` on connections whose deadline has passed."""
        time = self._clock()
        self.now += min(time - self._last_sweep, MOST_SECONDS)
        self._last_sweep = time
        self.date = email.utils.formatdate(usegmt=True).encode()
        for client in list(self.connections):
            if client.deadline <= self.now:
                client.expire()

    def hold(self, client: Connection, held: int) -> None:
        """Count the memory that a connection takes now.

        If all together take too much, the largest give theirs back: a small request is answered
        while others send megabytes.
        """
        self.held += held - client.held
        client.held = held
        while self.held > self.limits.held_bytes:
            largest = max(self.connections, key=lambda each: each.releasable, default=None)
            if largest is None or largest.releasable <= 0:
                return
            _log.warning("clients make this replica keep too much: the largest of them give way")
            largest.release()

    def add_turn(self, client: Connection) -> None:
        """Call `take_turn` of a connection later, when the event loop has served others."""
        self._turns.append(client)
        if len(self._turns) == 1:
            asyncio.get_running_loop().call_soon(self._take_turns)

    def _take_turns(self) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(min(TURNS_AT_ONCE, len(self._turns))):
            loop.call_soon(self._turns.popleft().take_turn)
        if self._turns:
            loop.call_soon(self._take_turns)

    def join(self, client: Connection) -> None:
        """Add a connection, after its handshake.

        If there are too many, the oldest that was never used is evicted: a stranger opens
        connections and leaves them, while the API server sends a request at once. If all were used,
        the one that has been idle for longest is evicted; if none is idle, the new one.
        """
        limit = self.limits.connections
        if 0 < limit <= len(self.connections):
            evicted = self._eviction_candidate() or client
            self.count_eviction()
            evicted.abort()
            self.leave(evicted)  # Its `connection_lost` comes later, perhaps after others.
            if evicted is client:
                return
        self.connections.add(client)
        self._unused.setdefault(client)
        self._empty.clear()

    def used(self, client: Connection) -> None:
        """A connection has sent its first answer."""
        self._unused.pop(client, None)

    def _eviction_candidate(self) -> Connection | None:
        for client in self._unused:
            if client.idle:
                return client
        idle = (client for client in self.connections if client.idle)
        return min(idle, key=lambda client: client.deadline, default=None)

    def leave(self, client: Connection) -> None:
        """Remove a connection, which may have left before."""
        self.connections.discard(client)
        self._unused.pop(client, None)
        if not self.connections:
            self._empty.set()

    async def wait_empty(self, seconds: float) -> bool:
        """Wait until there is no connection; False if `seconds` were not enough."""
        if self.connections:
            try:
                await asyncio.wait_for(self._empty.wait(), seconds)
            except TimeoutError:
                return False
        return True

    def handler(self, request: messages.Request) -> messages.Handler | messages.Response:
        """The handler of a request, or 404 or 405."""
        methods = self._routes.get(request.path)
        if methods is None:
            return self.count_error(messages.text(404, f"nothing is served at {request.path}"))
        handler = methods.get(request.method)
        if handler is None and request.method == "HEAD":
            handler = methods.get("GET")
        if handler is not None:
            return handler
        allowed = sorted({*methods, "HEAD"} if "GET" in methods else methods)
        line = f"{request.path} takes {' and '.join(allowed)}, not {request.method}"
        return self.count_error(messages.text(405, line, ("Allow", ", ".join(allowed))))

    def answer(self, request: messages.Request) -> messages.Answer:
        """The answer to a request, or an awaitable for `settle`. A bug in the handler is a 500."""
        handler = self.handler(request)
        if isinstance(handler, messages.Response):
            return handler
        try:
            return handler(request)
        except Exception as error:  # noqa: BLE001 - the boundary of a request: the next is answered
            return self._bug(request, error)

    async def settle(
        self, request: messages.Request, awaitable: Awaitable[messages.Response]
    ) -> messages.Response:
        """Await the answer of a handler. A bug in the handler is a 500."""
        self.awaited += 1
        try:
            return await awaitable
        except Exception as error:  # noqa: BLE001 - as in `answer`
            return self._bug(request, error)
        finally:
            self.awaited -= 1

    def count_error(self, response: messages.Response) -> messages.Response:
        """Count an error that the server answers by itself; returns the response."""
        counter = self._error_counters.get(response.status)
        if counter is not None:
            counter.inc()
        return response

    def count_eviction(self) -> None:
        """Count a client that is cut as there are too many, or as it does not read its answers."""
        _log.warning("there are too many clients at once: those that do nothing are cut")
        if self._eviction_counter is not None:
            self._eviction_counter.inc()

    def close_when_idle(self) -> None:
        """Close every connection: idle ones now, the others after their next answer."""
        self.closing = True
        for client in list(self.connections):
            client.close_when_idle()

    def abort(self) -> None:
        """Cut every connection now."""
        for client in list(self.connections):
            client.abort()

    def _bug(self, request: messages.Request, error: Exception) -> messages.Response:
        place = request.method, request.path
        _log.exception("The handler of %s %s failed", *place, exc_info=logs.unquoted(error))
        return self.count_error(messages.text(500, "the handler failed; the log says how"))
