"""The port: opens it, keeps the pool's clock, and closes it without breaking a request."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from typing import Any, Final

from sidecar_injector.server import connection, pool

_log = logging.getLogger(__name__)

SWEEP_SECONDS: Final = 1.0
SHUTDOWN_SECONDS: Final = 2.0
"""For the client's half of a TLS goodbye, which many never say."""
FINISH_SECONDS: Final = 10.0
"""For requests in flight at the end: twice the webhooks' timeout."""
BACKLOG: Final = 1024
ACCEPTED_AT_ONCE: Final = 4
"""Clients let in together: each handshake takes more than half a millisecond, and asyncio's own
server lets in all that come, which pods on other connections then wait for."""
BREATHER_SECONDS: Final = 0.005
"""After so many, until the next."""
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

    def _tls(self) -> dict[str, Any]:
        if self._context is None:
            return {}
        return {
            "ssl": self._context,
            "ssl_handshake_timeout": self._pool.limits.handshake_seconds,
            "ssl_shutdown_timeout": SHUTDOWN_SECONDS,
        }

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
            pause = PAUSE_SECONDS
        else:
            pause = BREATHER_SECONDS
        loop.remove_reader(self._socket)
        loop.call_later(pause, self._listen)

    async def _take_in(self, client: socket.socket) -> None:
        client.setblocking(False)  # noqa: FBT003
        with contextlib.suppress(OSError):  # A handshake that fails is the client's affair.
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: connection.Connection(self._pool), client, **self._tls()
            )

    def _close_port(self) -> None:
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
        self._socket = None

    def _tick(self) -> None:
        self._pool.sweep()
        self._timer = asyncio.get_running_loop().call_later(SWEEP_SECONDS, self._tick)


def _bind(host: str | None, port: int) -> socket.socket:
    if host is not None:
        return socket.create_server((host, port), backlog=BACKLOG)
    if socket.has_dualstack_ipv6():
        return socket.create_server(
            ("", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=BACKLOG
        )
    return socket.create_server(("", port), backlog=BACKLOG)
