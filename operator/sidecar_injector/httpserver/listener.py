"""Opens a port, accepts clients at a pace, and closes the port without breaking a request."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import pathlib
import socket
import ssl
from typing import Final

from sidecar_injector.httpserver.connection import Connection
from sidecar_injector.httpserver.handshakes import Handshakes
from sidecar_injector.httpserver.pool import Pool

_log = logging.getLogger(__name__)

SWEEP_SECONDS: Final = 1.0
FINISH_SECONDS: Final = 10.0
"""For requests in flight at the end: twice the webhooks' timeout."""
BACKLOG: Final = 1024
ACCEPTED_AT_ONCE: Final = 16
"""Clients that are accepted before the event loop serves others."""
RECEIVE_BYTES: Final = 32 << 10
SEND_BYTES: Final = 64 << 10
"""Of a client's bytes in the kernel, which doubles both. They count in the container's memory. By
default there are up to 10 MiB, for clients at a great distance."""
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
        self._socket: socket.socket | None = None
        self._accepting: set[asyncio.Task[None]] = set()
        self._handshakes = Handshakes(context, clients=pool) if context else None
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
            if self._handshakes is not None:
                self._handshakes.most_silent = BACKLOG
            self._accept(most=BACKLOG)
            self._close_port()
            self._pool.close_when_idle()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FINISH_SECONDS):
                    await asyncio.gather(*self._accepting)
                    if self._handshakes is not None:
                        await self._handshakes.wait_empty()
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
        if self._handshakes is not None:
            self._handshakes.abort()
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
                client = _owned(self._socket.accept()[0])
                client.setblocking(False)  # noqa: FBT003
                if self._handshakes is not None:
                    self._handshakes.admit(client)
                    continue
                task = loop.create_task(self._connect(client))
                self._accepting.add(task)
                task.add_done_callback(self._accepting.discard)
        except (BlockingIOError, ConnectionAbortedError):
            return  # No client waits any more, or this one has left.
        except OSError as error:
            _log.warning("cannot let a client in: %s", error)
            loop.remove_reader(self._socket)
            loop.call_later(ACCEPT_RETRY_SECONDS, self._listen)

    async def _connect(self, client: socket.socket) -> None:
        """Serve a client without TLS."""
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: Connection(self._pool), client
            )
        except BaseException as error:
            client.close()
            if not isinstance(error, OSError):
                raise

    def _close_port(self) -> None:
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
        self._socket = None

    def _tick(self) -> None:
        # First, so that an error does not end all deadlines.
        self._timer = asyncio.get_running_loop().call_later(SWEEP_SECONDS, self._tick)
        self._pool.sweep()
        if self._handshakes is not None:
            self._handshakes.sweep()


def _owned(client: socket.socket) -> socket.socket:
    """The client, at a descriptor that the event loop does not believe to be another connection's.

    If a connection to the API server is cut while it begins, uvloop may keep its transport although
    the descriptor is closed (https://github.com/MagicStack/uvloop/issues/653). The kernel gives out
    the lowest number: every client would get it, and be lost. So another file keeps the number.
    """
    try:
        asyncio.get_running_loop().remove_reader(client)
    except RuntimeError:
        number = client.fileno()
        client_at_another = client.dup()
        client.detach()
        with pathlib.Path(os.devnull).open("rb") as nothing:
            os.dup2(nothing.fileno(), number, inheritable=False)
        _log.warning("the event loop has lost the descriptor %d; nothing uses it any more", number)
        return client_at_another
    return client


def _bind(host: str | None, port: int) -> socket.socket:
    if host is None and socket.has_dualstack_ipv6():
        listening = socket.create_server(
            ("", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=BACKLOG
        )
    else:
        listening = socket.create_server((host or "", port), backlog=BACKLOG)
    listening.setblocking(False)  # noqa: FBT003 - its only signature
    # Connections inherit them.
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BYTES)
    return listening
