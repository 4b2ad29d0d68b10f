"""What a request and an answer are: values, limits and the bytes of an answer.

A handler takes a whole `Request` and gives a `Response`, at once or as an awaitable. It never sees
sockets, chunks or half a body, and it need not catch its own bugs: `pool` answers 500 for those.
"""

from __future__ import annotations

import dataclasses
import functools
import http as statuses
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, NamedTuple

TEXT: Final = "text/plain; charset=utf-8"
JSON: Final = "application/json"
CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What a client may cost. Sizes are bytes; times hold to the second, never less."""

    body_bytes: int = 8 << 20
    """Of one request. The API server takes objects of 3 MiB, and an update carries two of them."""
    unbroken_bytes: int = 256 << 10
    """Of a body: more of it is read when others have had their turn. The event loop would take in
    eight megabytes of one client at once.
    https://github.com/libuv/libuv/blob/v1.x/src/unix/stream.c (uv__read tries 32 times)"""
    head_bytes: int = 16 << 10
    """Request line and headers; the API server sends half a KiB."""
    target_bytes: int = 8 << 10
    """The request line's path and query."""
    held_bytes: int = 64 << 20
    """Bodies of unfinished requests, on all connections together: what slow clients can occupy."""
    handshake_seconds: float = 5.0
    """Of TLS: whoever takes longer has run into its own timeout of the webhook."""
    request_seconds: float = 30.0
    """From a request's first byte to its last: as long as any webhook may take."""
    idle_seconds: float = 180.0
    """Between requests. The API server reuses a connection for 90 s and never repeats a POST, so
    whoever hangs up earlier costs a pod.
    https://github.com/kubernetes/apimachinery/blob/master/pkg/util/net/http.go"""
    linger_seconds: float = 2.0
    """After the last answer: what still arrives is thrown away, because closing on unread bytes
    resets the connection and takes the answer with it (RFC 9112 section 9.6)."""
    max_requests: int = 0
    """On one connection, which is then closed politely; 0 is no limit."""
    connections: int = 0
    """At the same time; 0 is no limit. See `pool.Pool.join` for whom one too many costs."""


class Request:
    """One whole request. `headers` have lower-case names; repeated ones are joined by commas."""

    __slots__ = ("body", "headers", "keep_alive", "method", "path", "peer", "query")

    def __init__(
        self, *, method: str, target: str, headers: dict[bytes, bytes], peer: Any, keep_alive: bool
    ) -> None:
        self.method = method
        self.path, _, self.query = target.partition("?")
        self.headers = headers
        self.peer = peer
        self.keep_alive = keep_alive
        self.body = b""

    def again(self, body: bytes) -> Request:
        """One with the same head and another body."""
        made = Request.__new__(Request)
        made.method, made.path, made.query = self.method, self.path, self.query
        made.headers, made.peer, made.keep_alive = self.headers, self.peer, self.keep_alive
        made.body = body
        return made

    def header(self, name: str) -> str:
        """The value of a header in any case, empty if the client did not send it."""
        return self.headers.get(name.lower().encode("latin-1"), b"").decode("latin-1")


class Response(NamedTuple):
    """One answer. `headers` come in addition to length, type, date and connection."""

    status: int
    body: bytes = b""
    content_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()


Answer = Response | Awaitable[Response]
Handler = Callable[[Request], Answer]
Routes = Mapping[str, Mapping[str, Handler]]
"""Path, then method, to handler. HEAD is answered by GET's handler, without the body."""


def text(status: int, line: str, *headers: tuple[str, str]) -> Response:
    """An answer for people: one line."""
    return Response(status, f"{line}\n".encode(), TEXT, headers)


def busy(line: str) -> Response:
    """503 with the request to come again in a second; the API server does so in its own timeout.

    https://github.com/kubernetes/client-go/blob/master/rest/with_retry.go
    """
    return text(503, line, ("Retry-After", "1"))


def when(ready: Callable[[], bool], handler: Handler) -> Handler:
    """The handler while `ready()`, otherwise 503 and no call of it."""

    def answer(request: Request) -> Answer:
        return handler(request) if ready() else busy("this replica is not ready yet")

    return answer


def encode(response: Response, *, date: bytes, close: bool, bodiless: bool = False) -> bytes:
    """The answer as one piece, so that TLS makes one record of it.

    `bodiless` is for HEAD: the length is told, the body left out.
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
