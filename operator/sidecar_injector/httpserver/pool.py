"""What the connections of one port share: routes, limits, a coarse clock, and their end."""

from __future__ import annotations

import asyncio
import email.utils
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from sidecar_injector.httpserver import messages
from sidecar_injector.observability.metrics import Metrics

REFUSALS: Final = (400, 404, 405, 408, 413, 414, 417, 431, 500, 501, 503)
_log = logging.getLogger(__name__)


class Member(Protocol):
    """A connection, as its pool sees it."""

    deadline: float
    """By the pool's clock: when `expire` is due."""

    @property
    def idle(self) -> bool:
        """Whether it has neither a request nor an answer under way."""

    def expire(self) -> None:
        """Its time is up, whatever it waited for."""

    def retire(self) -> None:
        """End now if nothing is under way, otherwise with the next answer."""

    def abort(self) -> None:
        """End now, whatever is under way."""


class Pool:
    """One port's connections and what they have in common.

    The clock moves only in `sweep`, which the listener calls once a second: a connection then pays
    an attribute for its deadline instead of a timer for each request. `metrics`, if given, get the
    requests being awaited and every answer of 400 or more that the server gives by itself.
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
        self.members: set[Member] = set()
        self._unused: dict[Member, None] = {}
        """Those that have never got an answer, oldest first."""
        self.held = 0
        """Bytes of unfinished bodies, all connections together."""
        self.answering = 0
        """Requests whose handler is being awaited."""
        self.closing = False
        """Every answer from now on is the last of its connection."""
        self._routes = routes
        self._refused = {}
        self._evicted = metrics.connections_evicted if metrics else None
        if metrics is not None:
            self._refused = {code: metrics.http_errors.labels(code) for code in REFUSALS}
            metrics.inflight_requests.set_function(lambda: self.answering)
        self._clock = clock
        self._emptied = asyncio.Event()
        self.sweep()

    def sweep(self) -> None:
        """Move the clock and end what has waited too long."""
        self.now = self._clock()
        self.date = email.utils.formatdate(usegmt=True).encode()
        for member in [member for member in self.members if member.deadline <= self.now]:
            member.expire()

    def join(self, member: Member) -> None:
        """A connection has been made, or has come as far as its TLS.

        One too many costs the oldest that was never used: those are who opens connections for
        nothing, while the API server asks as soon as it can. If all have been used it costs the
        one that has been idle for longest, and if none is idle the new one.
        """
        limit = self.limits.connections
        if member not in self.members and 0 < limit <= len(self.members):
            victim = self._least_missed() or member
            if self._evicted is not None:
                self._evicted.inc()
            victim.abort()
            self.leave(victim)  # Its end is told later, and others may come before that.
            if victim is member:
                return
        self.members.add(member)
        self._unused.setdefault(member)
        self._emptied.clear()

    def used(self, member: Member) -> None:
        """A connection has got its first answer."""
        self._unused.pop(member, None)

    def _least_missed(self) -> Member | None:
        for member in self._unused:
            if member.idle:
                return member
        idle = (member for member in self.members if member.idle)
        return min(idle, key=lambda member: member.deadline, default=None)

    def leave(self, member: Member) -> None:
        """A connection is gone."""
        self.members.discard(member)
        self._unused.pop(member, None)
        if not self.members:
            self._emptied.set()

    async def emptied(self, seconds: float) -> bool:
        """Wait until there is no connection, at most so long; tells whether it came to that."""
        if self.members:
            try:
                await asyncio.wait_for(self._emptied.wait(), seconds)
            except TimeoutError:
                return False
        return True

    def handler(self, request: messages.Request) -> messages.Handler | messages.Response:
        """Who answers this request, or the 404 or 405 that does."""
        methods = self._routes.get(request.path)
        if methods is None:
            return self.refuse(messages.text(404, f"nothing is served at {request.path}"))
        handler = methods.get(request.method)
        if handler is None and request.method == "HEAD":
            handler = methods.get("GET")
        if handler is not None:
            return handler
        allowed = sorted({*methods, "HEAD"} if "GET" in methods else methods)
        line = f"{request.path} takes {' and '.join(allowed)}, not {request.method}"
        return self.refuse(messages.text(405, line, ("Allow", ", ".join(allowed))))

    def answer(self, request: messages.Request) -> messages.Answer:
        """The answer to a request, or what to await for it by `settle`. Raises nothing."""
        handler = self.handler(request)
        if isinstance(handler, messages.Response):
            return handler
        try:
            return handler(request)
        except Exception:  # noqa: BLE001 - the boundary of a request: the next must be answered
            return self._bug(request)

    async def settle(
        self, request: messages.Request, awaitable: Awaitable[messages.Response]
    ) -> messages.Response:
        """The awaited answer. Raises nothing but cancellation."""
        self.answering += 1
        try:
            return await awaitable
        except Exception:  # noqa: BLE001 - as in `answer`
            return self._bug(request)
        finally:
            self.answering -= 1

    def refuse(self, response: messages.Response) -> messages.Response:
        """Count an answer that the server gives by itself."""
        counter = self._refused.get(response.status)
        if counter is not None:
            counter.inc()
        return response

    def retire(self) -> None:
        """End every connection: idle ones now, the others with their answer."""
        self.closing = True
        for member in list(self.members):
            member.retire()

    def abort(self) -> None:
        """End every connection now."""
        for member in list(self.members):
            member.abort()

    def _bug(self, request: messages.Request) -> messages.Response:
        _log.exception("The handler of %s %s failed", request.method, request.path)
        return self.refuse(messages.text(500, "the handler failed; the log says how"))
