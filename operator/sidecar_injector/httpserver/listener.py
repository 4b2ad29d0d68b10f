"""The port: opens it, keeps the pool's clock, and closes it without breaking a request."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from typing import Any, Final

from sidecar_injector.httpserver import connection, pool

_log = logging.getLogger(__name__)

SWEEP_SECONDS: Final = 1.0
SHUTDOWN_SECONDS: Final = 2.0
"""For the client's half of a TLS goodbye, which many never say."""
FINISH_SECONDS: Final = 10.0
"""For requests in flight at the end: twice the webhooks' timeout."""
BACKLOG: Final = 1024
ACCEPTED_AT_ONCE: Final = 16
"""Clients taken from the kernel before the event loop goes on with its round."""
HANDSHAKES_TOGETHER: Final = 4
"""TLS clients let in together: each takes us nearly a millisecond in all, and where two hundred
have said their first word, pods on other connections would wait for the handshakes of all."""
BREATHER_SECONDS: Final = 0.005
"""How long one of them counts, from the beginning of its handshake."""
PAUSE_SECONDS: Final = 0.1
"""Before the next try where no client can be let in, as there are too many open files."""


class Listener:
    """One port and the connections of its pool; TLS if a context is given."""

    def __init__(
        self,
        *,
        shared: pool.Pool,
        port: int,
        host: str | None = None,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self._pool = shared
        self._port = port
        self._host = host
        self._context = context
        self._socket: socket.socket | None = None
        self._arriving: set[asyncio.Task[None]] = set()
        self._handshakes = asyncio.Semaphore(HANDSHAKES_TOGETHER)
        self._timer: asyncio.TimerHandle | None = None

    @property
    def port(self) -> int:
        """The port in use; it differs from the one asked for if that was 0."""
        assert self._socket is not None, "the listener has not been started"
        port: int = self._socket.getsockname()[1]
        return port

    async def start(self) -> None:
        """Open the port, on every address unless a host was given. Raises OSError if taken."""
        self._socket = _bind(self._host, self._port)
        self._socket.setblocking(False)  # noqa: FBT003 - its only signature
        self._listen()
        self._tick()

    async def drain(self, seconds: float) -> None:
        """End without breaking a request, in at most twice `seconds` and `FINISH_SECONDS`.

        Goes on serving for `seconds`, while the endpoint is withdrawn everywhere; then says
        `Connection: close` in its answers for as long, so that clients leave of their own accord;
        then closes the port and idle connections and waits for requests in flight.
        """
        try:
            await asyncio.sleep(seconds)
            self._pool.closing = True
            await self._pool.emptied(seconds)
            # Clients that the kernel has let in believe that they are connected, and closing the
            # port resets them: they are taken in first, with nothing between that and the closing.
            self._accept(most=BACKLOG)
            self._close_port()
            self._pool.retire()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FINISH_SECONDS):
                    await asyncio.gather(*self._arriving)
                    await self._pool.emptied(FINISH_SECONDS)
        finally:
            if self._pool.members:
                _log.warning("%d connections are cut off", len(self._pool.members))
            self.stop()

    def stop(self) -> None:
        """End now: close the port and cut every connection."""
        self._close_port()
        for arriving in self._arriving:
            arriving.cancel()
        self._pool.abort()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _listen(self) -> None:
        if self._socket is not None:
            asyncio.get_running_loop().add_reader(self._socket, self._accept)

    def _accept(self, most: int = ACCEPTED_AT_ONCE) -> None:
        assert self._socket is not None
        loop = asyncio.get_running_loop()
        try:
            for _ in range(most):
                arriving = loop.create_task(self._take_in(self._socket.accept()[0]))
                self._arriving.add(arriving)
                arriving.add_done_callback(self._arriving.discard)
        except (BlockingIOError, ConnectionAbortedError):
            return  # There are no more, or this one has left.
        except OSError as error:
            _log.warning("cannot let a client in: %s", error)
            loop.remove_reader(self._socket)
            loop.call_later(PAUSE_SECONDS, self._listen)

    async def _take_in(self, client: socket.socket) -> None:
        client.setblocking(False)  # noqa: FBT003
        newcomer = connection.Connection(self._pool)
        try:
            tls = await self._prepared(client) if self._context else {}
        except TimeoutError:
            self._pool.leave(newcomer)
            client.close()
            return
        except asyncio.CancelledError:
            client.close()
            raise
        with contextlib.suppress(OSError):  # A handshake that fails is the client's affair.
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: newcomer, client, **tls
            )

    async def _prepared(self, client: socket.socket) -> dict[str, Any]:
        """How to shake hands with a client, once it has begun and it is its turn.

        Raises TimeoutError if it has said nothing when its time is over.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + self._pool.limits.handshake_seconds
        async with asyncio.timeout_at(end):
            await _first_word(client)
            await self._handshakes.acquire()
            loop.call_later(BREATHER_SECONDS, self._handshakes.release)
        return {
            "ssl": self._context,
            "ssl_handshake_timeout": max(end - loop.time(), BREATHER_SECONDS),
            "ssl_shutdown_timeout": SHUTDOWN_SECONDS,
        }

    def _close_port(self) -> None:
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
        self._socket = None

    def _tick(self) -> None:
        self._pool.sweep()
        self._timer = asyncio.get_running_loop().call_later(SWEEP_SECONDS, self._tick)


async def _first_word(client: socket.socket) -> None:
    """Wait until there is something to read, or the client has left."""
    loop, heard = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(client, heard.set)
    try:
        await heard.wait()
    finally:
        loop.remove_reader(client)


def _bind(host: str | None, port: int) -> socket.socket:
    if host is not None:
        return socket.create_server((host, port), backlog=BACKLOG)
    if socket.has_dualstack_ipv6():
        return socket.create_server(
            ("", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=BACKLOG
        )
    return socket.create_server(("", port), backlog=BACKLOG)
