"""Requests and responses as values, the limits of a connection, and the bytes of a response.

A handler takes a whole `Request` and returns a `Response` or an awaitable of one. It never sees
sockets, chunks or half a body. It need not catch its own bugs: `pool` answers them with 500.
"""

from __future__ import annotations

import dataclasses
import functools
import http as statuses
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, NamedTuple

TEXT: Final = "text/plain; charset=utf-8"
JSON: Final = "application/json"
CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What a client may cost. Sizes are bytes. Times may last up to a second longer."""

    body_bytes: int = 8 << 20
    """One request. The API server accepts requests of 3 MiB, and makes a larger JSON of some."""
    turn_bytes: int = 4 << 10
    """Of an incomplete request, before other connections have their turn: the event loop would read
    32 times in a row. https://github.com/libuv/libuv/blob/v1.x/src/unix/stream.c (uv__read)"""
    head_bytes: int = 16 << 10
    """Request line and headers; the API server sends half a KiB."""
    headers: int = 100
    """Of one request: each takes up to 150 bytes of memory beside its text."""
    target_bytes: int = 8 << 10
    """The request line's path and query."""
    held_bytes: int = 24 << 20
    """Bytes without an answer and answers without a reader, on all connections together."""
    handshake_seconds: float = 5.0
    """TLS. A client that needs longer has reached its own timeout of the webhook."""
    request_seconds: float = 30.0
    """From a request's first byte to its last. No webhook may take longer than 30 s."""
    idle_seconds: float = 180.0
    """Between requests. The API server reuses a connection for 90 s and never repeats a POST, so a
    server that closes earlier costs a pod.
    https://github.com/kubernetes/apimachinery/blob/master/pkg/util/net/http.go"""
    linger_seconds: float = 2.0
    """After the last answer. What still arrives is thrown away: closing a connection with unread
    bytes resets it, and the client may lose the answer (RFC 9112 section 9.6)."""
    max_requests: int = 0
    """On one connection. The last answer says `Connection: close`. 0 means no limit."""
    connections: int = 0
    """At the same time. 0 means no limit. `pool.Pool.join` says which connection is evicted."""


class Request:
    """A whole request. `headers` have lower-case names; repeated ones are joined by commas."""

    __slots__ = ("body", "headers", "keep_alive", "method", "path")

    def __init__(
        self, method: str, path: str, headers: Mapping[bytes, bytes], body: bytes = b""
    ) -> None:
        self.method = method
        self.path = path
        self.headers = headers
        self.body = body
        self.keep_alive = True


class Response(NamedTuple):
    """One answer. `headers` are sent in addition to length, type, date and connection."""

    status: int
    body: bytes = b""
    content_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()


Answer = Response | Awaitable[Response]
Handler = Callable[[Request], Answer]
Routes = Mapping[str, Mapping[str, Handler]]
"""Handlers by path and method. The handler of GET answers HEAD too, without the body."""


def text(status: int, line: str, *headers: tuple[str, str]) -> Response:
    """An answer of one line of text."""
    return Response(status, f"{line}\n".encode(), TEXT, headers)


def busy(line: str) -> Response:
    """503 that asks the client to retry in a second. The API server does so within its timeout.

    https://github.com/kubernetes/client-go/blob/master/rest/with_retry.go
    """
    return text(503, line, ("Retry-After", "1"))


def when(ready: Callable[[], bool], handler: Handler) -> Handler:
    """A handler that answers 503 instead of calling `handler` while `ready()` is False."""

    def answer(request: Request) -> Answer:
        return handler(request) if ready() else busy("this replica is not ready yet")

    return answer


def encode(response: Response, *, date: bytes, close: bool, bodiless: bool = False) -> bytes:
    """The answer in one piece, so that TLS sends it in one record.

    `bodiless` is for HEAD: the answer has the length of the body, but not the body.
    """
    extra = b""
    if response.headers:
        lines = (f"{name}: {value}\r\n" for name, value in response.headers)
        extra = "".join(lines).encode("latin-1")
    return b"%b%d\r\nDate: %b\r\n%b\r\n%b" % (
        _head(response.status, response.content_type, "Connection: close\r\n" if close else ""),
        len(response.body),
        date,
        extra,
        b"" if bodiless else response.body,
    )


@functools.lru_cache(maxsize=64)
def _head(status: int, content_type: str, connection: str) -> bytes:
    return (
        f"HTTP/1.1 {status} {statuses.HTTPStatus(status).phrase}\r\n"
        f"{connection}Content-Type: {content_type}\r\nContent-Length: "
    ).encode("latin-1")
