"""In the place of a Service: connections to one port are spread over the replicas that are ready.

It does what kube-proxy and the endpoints controller do and no more: it forwards bytes and closes,
retries nothing, leaves open connections alone when a replica becomes unready, and refuses
connections (the port is closed) while no replica is ready.
"""

from __future__ import annotations

import asyncio
import collections
import dataclasses
from typing import Final

from tools.controlplane import loops, ports

CHECK_SECONDS: Final = 0.25
"""How soon an endpoint follows readiness; on a cluster it is about the probe's period."""
TIMEOUT_SECONDS: Final = 1.0
"""A kubelet's default for a probe: a frozen replica is unready after this time."""
_READY: Final = b"200"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Backend:
    """One replica."""

    port: int
    """Of the webhook."""
    admin_port: int
    """Of /readyz."""


class Balancer(loops.Proxy):
    """A context manager. `ready` contains the replicas that connections go to now."""

    def __init__(self, port: int) -> None:
        super().__init__(port, name="balancer")
        self.ready: tuple[Backend, ...] = ()
        self.accepted = 0
        """Connections so far."""
        self._open: collections.Counter[int] = collections.Counter()
        self._backends: set[Backend] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._lock = asyncio.Lock()

    def add(self, backend: Backend) -> None:
        """Check the replica from now on, and use it while it is ready."""
        self.run(self._add(backend))

    def remove(self, backend: Backend) -> None:
        """Send it no new connections; open ones continue, as on a cluster."""
        self.run(self._remove(backend))

    def open_connections(self, backend: Backend) -> int:
        """How many connections to it are open now."""
        return self._open[backend.port]

    async def _add(self, backend: Backend) -> None:
        self._backends.add(backend)
        await self._check(backend)
        self._tasks.add(asyncio.create_task(self._check_again(backend)))

    async def _remove(self, backend: Backend) -> None:
        self._backends.remove(backend)
        await self._set(backend, ready=False)

    async def _check_again(self, backend: Backend) -> None:
        while backend in self._backends:
            await asyncio.sleep(CHECK_SECONDS)
            await self._check(backend)

    async def _check(self, backend: Backend) -> None:
        ready = await _is_ready(backend)
        if backend in self._backends:
            await self._set(backend, ready=ready)

    async def _set(self, backend: Backend, *, ready: bool) -> None:
        others = tuple(other for other in self.ready if other != backend)
        if ready != (backend in self.ready):
            self.ready = (*others, backend) if ready else others
        async with self._lock:
            if self.ready:
                await self._open_port()
            else:
                # Only a closed port refuses: an accepted connection would have to be reset.
                await self._close_port()

    def _target(self) -> int | None:
        if not self.ready:
            return None
        self.accepted += 1
        return self.ready[self.accepted % len(self.ready)].port

    async def _connect(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, target: int
    ) -> None:
        self._open[target] += 1
        try:
            await super()._connect(reader, writer, target=target)
        finally:
            self._open[target] -= 1


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
