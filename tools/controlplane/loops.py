"""An event loop in a thread of its own, and a TCP proxy in it."""

from __future__ import annotations

import abc
import asyncio
import contextlib
import threading
from collections.abc import Coroutine
from typing import Any, Final, Self, TypeVar

from tools.controlplane import ports

Result = TypeVar("Result")
CHUNK: Final = 64 * 1024
CANCEL_SECONDS: Final = 0.1


class LoopThread:
    """A context manager. Tasks that still run are cancelled at the end."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Return when the loop has done this work."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Do this work in the background."""
        asyncio.run_coroutine_threadsafe(work, self._loop)

    async def _end(self) -> None:
        # Again and again: until Python 3.12 a wait_for that has just ended loses a cancellation.
        while tasks := asyncio.all_tasks() - {asyncio.current_task()}:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=CANCEL_SECONDS)


class Proxy(LoopThread, abc.ABC):
    """Forwards connections from `port` to the port that `_target` names, byte by byte.

    A reset on one side is passed on to the other. Nothing is retried.
    """

    def __init__(self, port: int, *, name: str) -> None:
        super().__init__(f"{name} {port}")
        self.port = port
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        """The event loop itself keeps no reference to a task."""

    async def _end(self) -> None:
        await super()._end()  # what could open the port again
        await self._close_port()
        await super()._end()

    @abc.abstractmethod
    def _target(self) -> int | None:
        """The port to forward the next connection to; None aborts the connection."""

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Forward what the target sends."""
        await _forward(reader, writer)

    async def _open_port(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(
                self._accept, ports.LOOPBACK, self.port, backlog=1024
            )

    async def _close_port(self) -> None:
        """Refuse new connections; open ones continue."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)
        target = self._target()
        if target is None:
            writer.transport.abort()
            return
        with contextlib.suppress(asyncio.CancelledError):  # our own, at the end
            await self._connect(reader, writer, target=target)

    async def _connect(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, target: int
    ) -> None:
        try:
            target_reader, target_writer = await asyncio.open_connection(ports.LOOPBACK, target)
        except OSError:
            writer.transport.abort()
            return
        try:
            await asyncio.gather(
                _forward(reader, target_writer), self._answer(target_reader, writer)
            )
        except OSError:
            writer.transport.abort()
            target_writer.transport.abort()
        finally:
            writer.close()
            target_writer.close()


async def _forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(CHUNK):
        writer.write(data)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()
