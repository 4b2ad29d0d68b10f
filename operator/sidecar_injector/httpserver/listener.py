"""Opens a port, accepts clients at a pace, and closes the port without breaking a request."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from typing import Any, Final

from sidecar_injector.httpserver.connection import Connection
from sidecar_injector.httpserver.pool import Pool

_log = logging.getLogger(__name__)

SWEEP_SECONDS: Final = 1.0
SHUTDOWN_SECONDS: Final = 2.0
"""For the client's `close_notify` at the end of TLS, which many clients never send."""
FINISH_SECONDS: Final = 10.0
"""For requests in flight at the end: twice the webhooks' timeout."""
BACKLOG: Final = 1024
ACCEPTED_AT_ONCE: Final = 16
"""Clients that are accepted before the event loop serves others."""
HANDSHAKES_AT_ONCE: Final = 4
"""TLS handshakes that begin together. Each needs nearly a millisecond of processor time, so pods on
other connections would wait if two hundred clients began theirs at once."""
HANDSHAKE_INTERVAL: Final = 0.005
"""Seconds after which the next handshake may begin in the place of one."""
ACCEPT_RETRY_SECONDS: Final = 0.1
"""Before the next try if a client cannot be accepted, because too many files are open."""


class Listener:
    """One port and the connections of its pool. It speaks TLS if it has a context."""

    def __init__(
        self,
        *,
        pool: Pool,
        port: int,
        host: str | None = None,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self._pool = pool
        self._port = port
        self._host = host
        self._context = context
        self._socket: socket.socket | None = None
        self._accepting: set[asyncio.Task[None]] = set()
        self._handshakes = asyncio.Semaphore(HANDSHAKES_AT_ONCE)
        self._timer: asyncio.TimerHandle | None = None

    @property
    def port(self) -> int:
        """The port in use. It differs from the configured one if that is 0."""
        assert self._socket is not None, "the listener has not been started"
        port: int = self._socket.getsockname()[1]
        return port

    async def start(self) -> None:
        """Open the port, on every address unless there is a host. Raises OSError if it is taken."""
        self._socket = _bind(self._host, self._port)
        self._socket.setblocking(False)  # noqa: FBT003 - its only signature
        self._listen()
        self._tick()

    async def drain(self, seconds: float) -> None:
        """End without breaking a request, in at most twice `seconds` plus `FINISH_SECONDS`.

        Serves for `seconds`, while the cluster withdraws the endpoint. Then answers with
        `Connection: close` for as long, so that clients leave by themselves. Then closes the port
        and idle connections, and waits for requests in flight.
        """
        try:
            await asyncio.sleep(seconds)
            self._pool.closing = True
            await self._pool.wait_empty(seconds)
            # Closing the port resets clients that only the kernel has accepted, and these believe
            # that they are connected. So they are accepted first, without an await in between.
            self._accept(most=BACKLOG)
            self._close_port()
            self._pool.close_when_idle()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FINISH_SECONDS):
                    await asyncio.gather(*self._accepting)
                    await self._pool.wait_empty(FINISH_SECONDS)
        finally:
            if self._pool.connections:
                _log.warning("%d connections are cut off", len(self._pool.connections))
            self.stop()

    def stop(self) -> None:
        """End now: close the port and cut every connection."""
        self._close_port()
        for task in self._accepting:
            task.cancel()
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
                task = loop.create_task(self._connect(self._socket.accept()[0]))
                self._accepting.add(task)
                task.add_done_callback(self._accepting.discard)
        except (BlockingIOError, ConnectionAbortedError):
            return  # No client waits any more, or this one has left.
        except OSError as error:
            _log.warning("cannot let a client in: %s", error)
            loop.remove_reader(self._socket)
            loop.call_later(ACCEPT_RETRY_SECONDS, self._listen)

    async def _connect(self, client: socket.socket) -> None:
        client.setblocking(False)  # noqa: FBT003
        protocol = Connection(self._pool)
        try:
            tls_options = await self._wait_for_handshake(client) if self._context else {}
        except TimeoutError:
            protocol.abort()
            client.close()
            return
        except asyncio.CancelledError:
            client.close()
            raise
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: protocol, client, **tls_options
            )
        except OSError:  # The handshake failed, and the event loop does not tell the protocol.
            protocol.abort()

    async def _wait_for_handshake(self, client: socket.socket) -> dict[str, Any]:
        """Wait until the client has begun its handshake and it is its turn.

        Returns the options of the handshake. Raises TimeoutError if the client sends nothing.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + self._pool.limits.handshake_seconds
        async with asyncio.timeout_at(end):
            await _wait_readable(client)
            await self._handshakes.acquire()
            loop.call_later(HANDSHAKE_INTERVAL, self._handshakes.release)
        return {
            "ssl": self._context,
            "ssl_handshake_timeout": max(end - loop.time(), HANDSHAKE_INTERVAL),
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


async def _wait_readable(client: socket.socket) -> None:
    """Wait until the client has sent something or has left."""
    loop, readable = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(client, readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(client)


def _bind(host: str | None, port: int) -> socket.socket:
    if host is None and socket.has_dualstack_ipv6():
        return socket.create_server(
            ("", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=BACKLOG
        )
    return socket.create_server((host or "", port), backlog=BACKLOG)
