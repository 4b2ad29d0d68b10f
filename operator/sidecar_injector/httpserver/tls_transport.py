"""TLS between a socket and a connection, in memory that is counted.

The TLS of uvloop reserves 256 KiB for each connection and buffers as much in both directions. Here,
a client that reads or writes slowly leaves at most one record and one answer.
https://github.com/MagicStack/uvloop/blob/master/uvloop/sslproto.pyx
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from typing import Any, Final, cast

from sidecar_injector.httpserver import pool
from sidecar_injector.httpserver.connection import Connection

RECORD_BYTES: Final = 16 << 10
"""The text in a TLS record, at most."""


class TLSTransport(asyncio.Transport, asyncio.BufferedProtocol):
    """The server's side of a TLS session: the socket's protocol, and a connection's transport."""

    def __init__(
        self,
        context: ssl.SSLContext,
        *,
        clients: pool.Pool,
        hello: bytes,
        began: Callable[[TLSTransport], None],
        ended: Callable[[TLSTransport], None],
    ) -> None:
        """`hello` is what the client has sent. `began` and `ended` are told of the handshake."""
        super().__init__()
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._incoming.write(hello)
        self._session = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._pool, self._began, self._ended = clients, began, ended
        self._connection: Connection | None = None
        """None before the end of the handshake, and when the socket is gone."""
        self.deadline = 0.0
        """Of the handshake, by the clock of the pool."""
        self._closing = False

    # Calls of the socket.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._socket = cast(asyncio.Transport, transport)
        self._began(self)
        self._shake_hands()

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._pool.buffer

    def buffer_updated(self, nbytes: int) -> None:
        if self._closing:
            return
        self._incoming.write(self._pool.buffer[:nbytes])
        if self._connection is None:
            self._shake_hands()
        else:
            self._deliver(self._connection)

    def pause_writing(self) -> None:
        if self._connection is not None:
            self._connection.pause_writing()

    def resume_writing(self) -> None:
        if self._connection is not None:
            self._connection.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._closing = True
        # Without a cycle both are freed now. Thousands of them would hold the event loop when the
        # garbage collector finds them.
        connection, self._connection = self._connection, None
        if connection is None:
            self._ended(self)
        else:
            connection.connection_lost(exc)

    def _shake_hands(self) -> None:
        try:
            self._session.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            return
        except OSError:  # `ServingContext` has counted the reason.
            self._flush()  # The alert.
            self._closing = True
            self._socket.close()
            return
        self._flush()
        self._ended(self)
        self._connection = Connection(self._pool)
        self._connection.connection_made(self)
        if not self._closing:  # It may be one too many.
            self._deliver(self._connection)

    def _deliver(self, connection: Connection) -> None:
        """Pass on all that can be decrypted: at most what was read now, and a part of a record."""
        parts, ended = [], False
        try:
            while self._incoming.pending and not ended:
                if part := self._session.read(RECORD_BYTES):
                    parts.append(part)
                else:
                    ended = True
        except ssl.SSLWantReadError:
            self._flush()  # The answer to a message of TLS itself.
        except OSError:
            self.abort()
            return
        if parts:
            connection.data_received(parts[0] if len(parts) == 1 else b"".join(parts))
        if ended:
            self.close()

    def _flush(self) -> None:
        if self._outgoing.pending:
            self._socket.write(self._outgoing.read())

    # Calls of the connection.

    def write(self, data: Any) -> None:
        written = self._session.write(data)
        while written < len(data):  # It takes a record at a time.
            written += self._session.write(memoryview(data)[written:])
        self._flush()

    def close(self) -> None:
        """Send what is left, and wait until the client closes: see `Limits.linger_seconds`."""
        if self.is_closing():
            return
        self._closing = True
        with contextlib.suppress(OSError):  # It waits for the client's end, or the client has left.
            self._session.unwrap()
        self._flush()
        with contextlib.suppress(OSError):
            self._socket.write_eof()
        self._socket.resume_reading()

    def is_closing(self) -> bool:
        return self._closing or self._socket.is_closing()

    def abort(self) -> None:
        self._closing = True
        self._socket.abort()

    def pause_reading(self) -> None:
        self._socket.pause_reading()

    def resume_reading(self) -> None:
        self._socket.resume_reading()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._socket.set_write_buffer_limits(high, low)

    def get_write_buffer_size(self) -> int:
        return self._socket.get_write_buffer_size()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._socket.get_extra_info(name, default)
