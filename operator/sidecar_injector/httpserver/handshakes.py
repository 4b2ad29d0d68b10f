"""Clients from accept to the end of their TLS handshake. They are not connections yet.

Each stage has places of its own, and the client that has been there for longest leaves if there are
too many. So clients that stop half-way push out each other: an API server passes each stage
in the time of a round trip.
"""

from __future__ import annotations

import asyncio
import math
import socket
import ssl
from typing import Any, Final, TypeVar

from sidecar_injector.httpserver.pool import Pool
from sidecar_injector.httpserver.tls_transport import TLSTransport

MOST_SILENT: Final = 512
"""Clients that have not sent their whole ClientHello. With 64, Go clients that open a hundred
connections at once lose some; with 2,000 silent clients in a second, each has 0.25 s to send it."""
MOST_WAITING: Final = 256
"""Clients that have sent it. They cost nothing but their place until their handshake begins."""
MOST_SHAKING: Final = 256
"""Clients whose handshake has begun. With 800 in a second, each has 0.3 s to finish it."""
HELLO_BYTES: Final = 4 << 10
"""What is read of a ClientHello before its turn: all of the usual ones."""
RECORD_HEADER: Final = 5
HANDSHAKE_RECORD: Final = 22
AT_ONCE: Final = 4
"""TLS handshakes that begin together. Each needs nearly a millisecond of processor time, so pods on
other connections would wait if two hundred clients began theirs at once."""
INTERVAL: Final = 0.005
"""Seconds after which the next handshake may begin in the place of one."""


class Newcomer:
    """A client whose handshake has not begun."""

    __slots__ = ("deadline", "hello", "socket")

    def __init__(self, client: socket.socket, deadline: float) -> None:
        self.socket, self.deadline, self.hello = client, deadline, b""

    @property
    def has_greeted(self) -> bool:
        """Whether the ClientHello is here, or something that is none."""
        if len(self.hello) < RECORD_HEADER or self.hello[0] != HANDSHAKE_RECORD:
            return bool(self.hello) and self.hello[0] != HANDSHAKE_RECORD
        size = RECORD_HEADER + int.from_bytes(self.hello[3:5], "big")
        return len(self.hello) >= min(size, HELLO_BYTES)

    def abort(self) -> None:
        """Close the socket."""
        asyncio.get_running_loop().remove_reader(self.socket)
        self.socket.close()


Client = TypeVar("Client", Newcomer, TLSTransport)


class Handshakes:
    """Lets the clients of a port become connections of its pool."""

    def __init__(self, context: ssl.SSLContext, *, clients: Pool) -> None:
        self._context, self._pool = context, clients
        # Oldest first.
        self._silent: dict[Newcomer, None] = {}
        self._waiting: dict[Newcomer, None] = {}
        self._shaking: dict[TLSTransport, None] = {}
        self._starting: set[asyncio.Task[None]] = set()
        self._free = AT_ONCE
        self._empty = asyncio.Event()
        self.most_silent = MOST_SILENT

    def admit(self, client: socket.socket) -> None:
        """Take a client that was accepted."""
        newcomer = Newcomer(client, self._pool.now + self._pool.limits.handshake_seconds)
        self._empty.clear()
        self._enter(self._silent, newcomer, most=self.most_silent)
        asyncio.get_running_loop().add_reader(client, self._read_hello, newcomer)

    def sweep(self) -> None:
        """Cut clients whose time is over."""
        self._cut(until=self._pool.now)

    def abort(self) -> None:
        """Cut all clients."""
        self._cut(until=math.inf)
        for task in self._starting:
            task.cancel()

    def _cut(self, *, until: float) -> None:
        groups: tuple[dict[Any, None], ...] = (self._silent, self._waiting, self._shaking)
        for group in groups:
            for client in [each for each in group if each.deadline <= until]:
                self._leave(group, client)
                client.abort()

    async def wait_empty(self) -> None:
        """Wait until every client has finished its handshake or has left."""
        self._look_whether_empty()
        await self._empty.wait()

    def _enter(self, group: dict[Client, None], client: Client, *, most: int) -> None:
        if len(group) >= most:
            oldest = next(iter(group))
            del group[oldest]
            oldest.abort()
            self._pool.count_eviction()
        group[client] = None

    def _leave(self, group: dict[Client, None], client: Client) -> None:
        group.pop(client, None)
        self._look_whether_empty()

    def _look_whether_empty(self) -> None:
        if not (self._silent or self._waiting or self._shaking or self._starting):
            self._empty.set()

    def _read_hello(self, newcomer: Newcomer) -> None:
        try:
            part = newcomer.socket.recv(HELLO_BYTES - len(newcomer.hello))
        except BlockingIOError:
            return
        except OSError:
            part = b""
        newcomer.hello += part
        if not part:
            newcomer.abort()
            self._leave(self._silent, newcomer)
        elif newcomer.has_greeted:
            asyncio.get_running_loop().remove_reader(newcomer.socket)
            del self._silent[newcomer]
            self._enter(self._waiting, newcomer, most=MOST_WAITING)
            self._begin()

    def _begin(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting and self._free:
            newcomer = next(reversed(self._waiting))  # So a newcomer does not wait for a crowd.
            del self._waiting[newcomer]
            self._free -= 1
            loop.call_later(INTERVAL, self._free_place)
            task = loop.create_task(self._start(newcomer))
            self._starting.add(task)
            task.add_done_callback(self._started)

    def _free_place(self) -> None:
        self._free += 1
        self._begin()

    async def _start(self, newcomer: Newcomer) -> None:
        def began(transport: TLSTransport) -> None:
            transport.deadline = newcomer.deadline
            self._enter(self._shaking, transport, most=MOST_SHAKING)

        transport = TLSTransport(
            self._context,
            clients=self._pool,
            hello=newcomer.hello,
            began=began,
            ended=lambda transport: self._leave(self._shaking, transport),
        )
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: transport, newcomer.socket
            )
        except BaseException as error:
            newcomer.socket.close()
            if not isinstance(error, OSError):
                raise

    def _started(self, task: asyncio.Task[None]) -> None:
        self._starting.discard(task)
        self._look_whether_empty()
