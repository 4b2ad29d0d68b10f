"""Stands in for a Service: connections to one port are spread over the replicas that are ready.

It does what kube-proxy and the endpoints controller do and no more: it forwards bytes and closes,
retries and replays nothing, leaves open connections alone when a replica becomes unready, and
refuses connections (the port is closed) while no replica is ready.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import dataclasses
import threading
from collections.abc import Coroutine
from typing import Any, Final, Self, TypeVar

from tools.controlplane import ports

Result = TypeVar("Result")
CHECK_SECONDS: Final = 0.25
"""How soon an endpoint follows readiness; on a cluster it is the probe's period and some."""
TIMEOUT_SECONDS: Final = 1.0
"""A kubelet's default for a probe, so a frozen replica is out after this long."""
_CHUNK: Final = 64 * 1024
_READY: Final = b"200"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Backend:
    """One replica."""

    port: int
    """Where connections go to."""
    admin_port: int
    """Where /readyz is."""


class Balancer:
    """A context manager around a thread with an event loop of its own. `ready` tells its view."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.ready: tuple[Backend, ...] = ()
        self.accepted = 0
        """Connections so far."""
        self._open: collections.Counter[Backend] = collections.Counter()
        self._turn = 0
        self._checks: dict[Backend, asyncio.Task[None]] = {}
        self._connections: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._opening = asyncio.Lock()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name=f"balancer {port}", daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._run(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def add(self, backend: Backend) -> None:
        """Check it from now on, and use it while it is ready."""
        self._run(self._add(backend))

    def remove(self, backend: Backend) -> None:
        """Give it no more connections; open ones stay, as with an endpoint that is withdrawn."""
        self._run(self._remove(backend))

    def open_connections(self, backend: Backend) -> int:
        """How many lead to it at present, used or kept."""
        return self._open[backend]

    def _run(self, work: Coroutine[Any, Any, Result]) -> Result:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _add(self, backend: Backend) -> None:
        if await _is_ready(backend):
            await self._set(backend, ready=True)
        self._checks[backend] = asyncio.create_task(self._check(backend))

    async def _remove(self, backend: Backend) -> None:
        await _cancel(self._checks.pop(backend))
        await self._set(backend, ready=False)

    async def _stop(self) -> None:
        for backend in list(self._checks):
            await self._remove(backend)
        for connection in list(self._connections):
            await _cancel(connection)

    async def _check(self, backend: Backend) -> None:
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            await self._set(backend, ready=await _is_ready(backend))

    async def _set(self, backend: Backend, *, ready: bool) -> None:
        others = tuple(other for other in self.ready if other != backend)
        if ready != (backend in self.ready):
            self.ready = (*others, backend) if ready else others
        async with self._opening:
            if self.ready and self._server is None:
                self._server = await asyncio.start_server(
                    self._accept, ports.LOOPBACK, self.port, backlog=1024
                )
            elif not self.ready and self._server is not None:
                # Only a closed port refuses: an accepted connection would have to be reset.
                self._server.close()
                self._server = None

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)
        with contextlib.suppress(asyncio.CancelledError):  # our own, in _stop
            await self._forward(reader, writer)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self.ready:
            writer.transport.abort()
            return
        backend = self.ready[self._turn % len(self.ready)]
        self._turn += 1
        self.accepted += 1
        try:
            there = await asyncio.open_connection(ports.LOOPBACK, backend.port)
        except OSError:
            writer.transport.abort()
            return
        self._open[backend] += 1
        try:
            await asyncio.gather(_pump(reader, there[1]), _pump(there[0], writer))
        except OSError:
            # A reset on one side is passed on as one, with whatever was under way.
            writer.transport.abort()
            there[1].transport.abort()
        finally:
            self._open[backend] -= 1
            writer.close()
            there[1].close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(_CHUNK):
        writer.write(data)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()


async def _is_ready(backend: Backend) -> bool:
    try:
        return await asyncio.wait_for(_readyz(backend.admin_port), TIMEOUT_SECONDS)
    except OSError:  # TimeoutError is one
        return False


async def _readyz(port: int) -> bool:
    reader, writer = await asyncio.open_connection(ports.LOOPBACK, port)
    try:
        writer.write(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        status = (await reader.readline()).split(maxsplit=2)
        return len(status) > 1 and status[1] == _READY
    finally:
        writer.close()


async def _cancel(task: asyncio.Task[Any]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
