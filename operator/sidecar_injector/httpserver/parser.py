"""Turns the bytes of a connection into whole requests, and refuses ambiguous ones.

llhttp in its strict mode checks the grammar: it refuses two lengths, a length beside an encoding,
folded headers and bare line feeds. This module adds what llhttp leaves to its callers: sizes, a
missing or repeated Host, encodings other than `chunked`, HTTP/1.0 with an encoding, and upgrades.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import httptools

from sidecar_injector.httpserver import messages

ONCE: Final = frozenset({b"host", b"expect", b"transfer-encoding"})
"""Headers that mean different things to different readers when a request repeats them."""


class RefusedError(Exception):
    """The request cannot be read on. It carries the answer out of llhttp's callbacks."""

    def __init__(self, response: messages.Response) -> None:
        super().__init__(response)
        self.response = response


class HeadBudget:
    """Limits the bytes of a request that llhttp reads without a callback.

    It stops a client that fills the memory with a header, a trailer or a chunk extension without
    end: llhttp calls us at the end of a header, and never for an extension. Whole reads are
    counted, because that is cheap; the exact size of a head is computed only if they exceed the
    limit.
    """

    __slots__ = ("_limit", "_silent", "_visible")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._visible = 0
        """Bytes of the last read that began a request or contained a part of a body."""
        self._silent = 0
        """Bytes of the reads after it."""

    def may_exceed(self, size: int) -> bool:
        """Whether a head that ends in a read of this size can be over the limit."""
        return self._visible + self._silent + size > self._limit

    def spend(self, size: int, *, progress: bool) -> bool:
        """Count a read that leaves a request incomplete; False if the budget is exceeded."""
        if progress:
            self._visible, self._silent = size, 0
        else:
            self._silent += size
        return self._silent <= self._limit

    def refill(self) -> None:
        """The request is complete."""
        self._visible = self._silent = 0

    @property
    def spent(self) -> int:
        """Bytes that were read since the request began or the last part of its body."""
        return self._visible + self._silent


class Parser:
    """The reading side of one connection.

    `unfinished` is True between the first and the last byte of a request. `expect_continue` is a
    request whose client waits for `100 Continue` before it sends the body. After `refusal` is set,
    `feed` must not be called again.
    """

    __slots__ = (
        "_body", "_budget", "_gathered", "_headers", "_limits", "_llhttp", "_read_size",
        "_repeated", "_request", "_requests", "_target", "expect_continue", "refusal",
        "unfinished",
    )  # fmt: skip

    def __init__(self, limits: messages.Limits) -> None:
        self._limits = limits
        self._llhttp: httptools.HttpRequestParser | None = httptools.HttpRequestParser(self)
        self._budget = HeadBudget(limits.head_bytes)
        self._read_size = 0
        self._requests: list[messages.Request] = []
        self.refusal: messages.Response | None = None
        self._clear()

    def _clear(self) -> None:
        """Forget the request. Otherwise an idle connection would keep its last body."""
        self.unfinished = False
        self.expect_continue: messages.Request | None = None
        self._target = self._body = b""
        self._gathered: bytearray | None = None
        self._headers: dict[bytes, bytes] = {}
        self._repeated: list[tuple[bytes, bytes]] = []
        self._request: messages.Request | None = None

    @property
    def held(self) -> int:
        """Bytes of the body of the incomplete request, or of its head if there is no body yet."""
        return (self._body_size or self._budget.spent) if self.unfinished else 0

    @property
    def _body_size(self) -> int:
        return len(self._body) if self._gathered is None else len(self._gathered)

    def feed(self, data: bytes) -> list[messages.Request]:
        """The requests that `data` completes, in order; what follows a refusal is not read."""
        assert self._llhttp is not None
        self._read_size = len(data)
        held = self._body_size if self.unfinished else None
        try:
            self._llhttp.feed_data(data)
        except httptools.HttpParserError as error:
            self.refusal = _refusal(error)
        if self.unfinished:
            progress = bool(self._requests) or self._body_size != held
            within = self._budget.spend(len(data), progress=progress)
            if not within or self._has_too_many_headers(self._headers):
                self.refusal = self._head_too_large()
        elif held is not None:
            self._budget.refill()
        requests, self._requests = self._requests, []
        return requests

    def discard(self) -> None:
        """Forget the incomplete request; `feed` must not be called again."""
        self._clear()

    def close(self) -> None:
        """Break the reference cycle with llhttp's callbacks."""
        self._llhttp = None

    # Callbacks of llhttp, in the order in which it calls them.

    def on_message_begin(self) -> None:
        self.unfinished = True

    def on_url(self, target: bytes) -> None:
        self._target += target
        if len(self._target) > self._limits.target_bytes:
            raise RefusedError(
                messages.text(414, f"path and query are over {self._limits.target_bytes} bytes")
            )

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name in self._headers:
            self._repeated.append((name, value))
        else:
            self._headers[name] = value

    def on_headers_complete(self) -> None:
        llhttp, limits, headers = self._llhttp, self._limits, self._headers
        assert llhttp is not None
        self._headers = {}  # For trailers, which come too late to become headers.
        if self._has_too_many_headers(headers) or (
            self._budget.may_exceed(self._read_size)
            and _size(headers.items()) + _size(self._repeated) > limits.head_bytes
        ):
            raise RefusedError(self._head_too_large())
        if llhttp.should_upgrade():
            # llhttp would treat the body as bytes of another protocol.
            raise RefusedError(
                messages.text(400, "no CONNECT and no Upgrade: this is HTTP/1.1 only")
            )

        if self._repeated:
            _join(headers, self._repeated)
        keep_alive = llhttp.should_keep_alive()
        if (
            not keep_alive  # llhttp says this of HTTP/2.0, too.
            or b"host" not in headers
            or b"connection" in headers
            or b"transfer-encoding" in headers
        ):
            version = llhttp.get_http_version()  # Only here, because it is slow.
            _check_version(version, headers)
            # To keep alive an HTTP/1.0 connection is an extension with its own answer header.
            keep_alive = keep_alive and version == "1.1"
        if int(headers.get(b"content-length", 0)) > limits.body_bytes:
            raise RefusedError(self._body_too_large())
        method = llhttp.get_method().decode("latin-1")
        self._request = request = messages.Request(method, _path(self._target), headers)
        request.keep_alive = keep_alive
        if b"expect" in headers:
            _check_expectation(headers[b"expect"])
            self.expect_continue = request

    def on_body(self, part: bytes) -> None:
        self.expect_continue = None
        if self._gathered is not None:
            self._gathered += part
        elif self._body:
            self._gathered = bytearray(self._body)
            self._gathered += part
            self._body = b""  # `held` does not count it twice, so it must not be kept.
        else:
            self._body = part  # Usually the whole body, which is then never copied.
        if self._body_size > self._limits.body_bytes:
            raise RefusedError(self._body_too_large())

    def on_message_complete(self) -> None:
        request = self._request
        assert request is not None
        if self._headers:  # A trailer can say `Connection: close`.
            assert self._llhttp is not None
            request.keep_alive = request.keep_alive and self._llhttp.should_keep_alive()
        request.body = self._body if self._gathered is None else bytes(self._gathered)
        self._requests.append(request)
        self._clear()

    def _has_too_many_headers(self, headers: Mapping[bytes, bytes]) -> bool:
        return len(headers) + len(self._repeated) > self._limits.headers

    def _head_too_large(self) -> messages.Response:
        limits = self._limits
        return messages.text(
            431, f"the headers are over {limits.head_bytes} bytes, or more than {limits.headers}"
        )

    def _body_too_large(self) -> messages.Response:
        return messages.text(413, f"the body is over {self._limits.body_bytes} bytes")


def _size(fields: Iterable[tuple[bytes, bytes]]) -> int:
    return sum(len(name) + len(value) + len(": \r\n") for name, value in fields)


def _join(headers: dict[bytes, bytes], repeated: list[tuple[bytes, bytes]]) -> None:
    """Add the values of repeated headers, with commas and in linear time."""
    values_of: dict[bytes, list[bytes]] = {}
    for name, value in repeated:
        if name in ONCE:
            text = f"the header {name.decode('latin-1')} came twice"
            raise RefusedError(messages.text(400, text))
        values_of.setdefault(name, [headers[name]]).append(value)
    for name, values in values_of.items():
        headers[name] = b", ".join(values)


def _check_expectation(expectation: bytes) -> None:
    if expectation.lower() != b"100-continue":
        raise RefusedError(
            messages.text(417, "the only expectation that can be met is 100-continue")
        )


def _check_version(version: str, headers: dict[bytes, bytes]) -> None:
    if version not in {"1.0", "1.1"}:
        raise RefusedError(messages.text(505, f"HTTP/{version} is not spoken here, HTTP/1.1 is"))
    if version == "1.1" and b"host" not in headers:
        raise RefusedError(messages.text(400, "an HTTP/1.1 request needs a Host header"))
    if b"transfer-encoding" in headers:
        if version == "1.0":
            raise RefusedError(messages.text(400, "HTTP/1.0 has no Transfer-Encoding"))
        if headers[b"transfer-encoding"].lower() != b"chunked":
            raise RefusedError(
                messages.text(501, "the only Transfer-Encoding known here is chunked")
            )


def _path(target: bytes) -> str:
    """The path of any form of request target (RFC 9112 section 3.2.2: servers accept all)."""
    if not target.startswith(b"/") and target != b"*":
        target = httptools.parse_url(target).path or b"/"
    return target.partition(b"?")[0].decode("latin-1")


def _refusal(error: httptools.HttpParserError) -> messages.Response:
    if isinstance(error.__context__, RefusedError):
        return error.__context__.response
    return messages.text(400, f"this is not HTTP/1.1: {error}")
