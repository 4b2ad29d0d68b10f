"""Requests at a fixed pace over kept-alive connections: what a pod waits, whatever happens."""

from __future__ import annotations

import asyncio
import dataclasses
import ssl
import time
from typing import Final

from benchmarks import errors, figures
from tools.controlplane import ports

CONNECTIONS: Final = 8
RATE: Final = 200.0
"""A second, over all connections: a busy cluster, and a fraction of what a replica can answer."""
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]
_LENGTH: Final = b"content-length:"


@dataclasses.dataclass(frozen=True, slots=True)
class Waits:
    """Milliseconds from when a request was due to its whole answer."""

    values: list[float]

    def percentile(self, share: float) -> float:
        return figures.percentile(self.values, share)


async def ask(port: int, body: bytes, *, seconds: float) -> Waits:
    """For so long. Raises WrongAnswerError for anything but 200, OSError for a lost connection."""
    message, values = request(body), list[float]()
    connections = [await connect(port) for _ in range(CONNECTIONS)]
    begin = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number, connection in enumerate(connections):
            due = begin + number / RATE
            group.create_task(
                _client(connection, message, due=due, until=begin + seconds, values=values)
            )
    return Waits(values)


async def _client(
    connection: Connection, message: bytes, *, due: float, until: float, values: list[float]
) -> None:
    """A late answer delays the next request, which counts as its waiting."""
    reader, writer = connection
    try:
        while due < until:
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            writer.write(message)
            await answer(reader)
            values.append((time.perf_counter() - due) * 1e3)
            due += CONNECTIONS / RATE
    finally:
        writer.close()


async def connect(port: int) -> Connection:
    """A TLS connection; certificates are judged elsewhere."""
    # Not create_default_context(), which reads all of the system's authorities.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return await asyncio.open_connection(ports.LOOPBACK, port, ssl=context)


def request(body: bytes) -> bytes:
    """The bytes of a review's POST."""
    head = f"POST /mutate HTTP/1.1\r\nHost: bench\r\nContent-Length: {len(body)}\r\n"
    return f"{head}Content-Type: application/json\r\n\r\n".encode() + body


async def answer(reader: asyncio.StreamReader) -> bytes:
    """The body of an answer. Raises WrongAnswerError unless it is 200."""
    head = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
    if b" 200 " not in head[0]:
        raise errors.WrongAnswerError(server="sidecar-injector", seen=head[0], wanted=200)
    (length,) = (line for line in head if line.lower().startswith(_LENGTH))
    return await reader.readexactly(int(length[len(_LENGTH) :]))
