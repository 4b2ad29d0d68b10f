"""Bytes in, whole requests out; whatever two parties could read differently is refused.

The grammar is llhttp's in its strict mode, which refuses by itself a length given twice, a length
beside an encoding, folded headers and bare line feeds. This module adds what llhttp leaves to its
callers: sizes, encodings other than `chunked`, HTTP/1.0 with an encoding, a missing or repeated
Host, and upgrades. What it has read before on its connection, `heads` knows again.
"""

from __future__ import annotations

from typing import Any, Final

import httptools

from sidecar_injector.httpserver import heads, messages

ONCE: Final = frozenset({b"host", b"expect", b"transfer-encoding"})
"""Headers that mean different things to different readers when they come twice."""
REVEALING: Final = frozenset({b"connection", b"transfer-encoding"})
"""Headers whose meaning depends on the version, which costs something to ask for."""


class RefusedError(Exception):
    """This request cannot be read on; carried out of llhttp's callbacks as the answer."""

    def __init__(self, response: messages.Response) -> None:
        super().__init__(response)
        self.response = response


class Parser:
    """The reading side of one connection.

    `unfinished` is True between the first and the last byte of a request, `held` is how much of its
    body has come. `expecting` is a request whose client waits for `100 Continue` before it sends
    the body. After `refusal` is set nothing more may be fed.
    """

    __slots__ = (
        "_body", "_fed", "_fields", "_gathered", "_heads", "_http", "_in_head", "_limits", "_moved",
        "_peer", "_request", "_silent", "_split", "_target", "_whole", "expecting", "refusal",
        "unfinished",
    )  # fmt: skip

    _fields: list[tuple[bytes, bytes]]
    _gathered: bytes | bytearray
    _http: httptools.HttpRequestParser | None
    _silent: int
    expecting: messages.Request | None
    refusal: messages.Response | None

    def __init__(self, *, limits: messages.Limits, peer: Any) -> None:
        self._limits = limits
        self._peer = peer
        self._http = httptools.HttpRequestParser(self)
        self._whole: list[messages.Request] = []
        self._heads = heads.Heads()
        self.refusal = None
        self._reset()

    @property
    def held(self) -> int:
        """Bytes of the unfinished request's body."""
        return len(self._body) + len(self._gathered) if self.unfinished else 0

    def feed(self, data: bytes) -> list[messages.Request]:
        """The requests that `data` completes, in order; what follows a refusal is not read."""
        assert self._http is not None
        begins = not self.unfinished
        if begins and (request := self._heads.recall(data)):
            return [request]
        self._whole = []
        self._moved = False
        self._fed = self._silent + len(data)
        try:
            self._http.feed_data(data)
        except httptools.HttpParserError as error:
            self.refusal = _refusal(error)
        self._split = self.unfinished and self._in_head
        if self.unfinished and not self._moved:
            # llhttp shows a header when it is complete and a chunk's extension never: one that
            # does not end is seen by nobody but us.
            self._silent = self._fed
            if self._silent > self._limits.head_bytes:
                self.refusal = self._too_long()
        if begins and len(self._whole) == 1:
            self._heads.learn(data, self._whole[0])
        return self._whole

    def close(self) -> None:
        """Break the circle of references with llhttp's callbacks."""
        self._http = None

    def _reset(self) -> None:
        self.unfinished = False
        self.expecting = None
        self._in_head = True
        self._split = False
        self._silent = 0
        self._target = self._body = self._gathered = b""
        self._fields = []

    # What llhttp calls, in the order in which it does.

    def on_message_begin(self) -> None:
        self._reset()
        self.unfinished = self._moved = True

    def on_url(self, target: bytes) -> None:
        self._target += target
        if len(self._target) > self._limits.target_bytes:
            raise RefusedError(
                messages.text(414, f"path and query are over {self._limits.target_bytes} bytes")
            )

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields.append((name, value))  # A trailer comes too late to pose as a header.

    def on_headers_complete(self) -> None:
        self._in_head = False
        parser, limits = self._http, self._limits
        assert parser is not None
        suspect = self._split or self._fed > limits.head_bytes
        if suspect and _size(self._fields) > limits.head_bytes:
            raise RefusedError(self._too_long())
        if parser.should_upgrade():
            # llhttp would take the body for another protocol's bytes.
            raise RefusedError(
                messages.text(400, "no CONNECT and no Upgrade: this is HTTP/1.1 only")
            )

        headers = _headers(self._fields)
        keep_alive = parser.should_keep_alive()
        if b"host" not in headers or not REVEALING.isdisjoint(headers):
            version = parser.get_http_version()
            _check_version(version, headers)
            # In HTTP/1.0 keeping alive is an extension with an answer header of its own.
            keep_alive = keep_alive and version == "1.1"
        if not keep_alive:
            self._heads.end()
        if int(headers.get(b"content-length", 0)) > limits.body_bytes:
            raise RefusedError(self._too_large())
        self._request = messages.Request(
            method=parser.get_method().decode("latin-1"),
            target=_origin_form(self._target),
            headers=headers,
            peer=self._peer,
            keep_alive=keep_alive,
        )
        if b"expect" in headers:
            self.expecting = _expecting(self._request)

    def on_body(self, part: bytes) -> None:
        self._moved = True
        self._silent = 0
        self.expecting = None
        if not self._body:
            self._body = part  # Nearly always all of it, and then it is never copied.
        elif isinstance(self._gathered, bytearray):
            self._gathered += part
        else:
            self._gathered = bytearray(part)
        if len(self._body) + len(self._gathered) > self._limits.body_bytes:
            raise RefusedError(self._too_large())

    def on_message_complete(self) -> None:
        request = self._request
        request.body = self._body + self._gathered if self._gathered else self._body
        self.unfinished = False
        self.expecting = None
        self._whole.append(request)

    def _too_long(self) -> messages.Response:
        return messages.text(431, f"the headers are over {self._limits.head_bytes} bytes")

    def _too_large(self) -> messages.Response:
        return messages.text(413, f"the body is over {self._limits.body_bytes} bytes")


def _size(fields: list[tuple[bytes, bytes]]) -> int:
    return sum(len(name) + len(value) + len(": \r\n") for name, value in fields)


def _headers(fields: list[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """The fields by lower-case name, in linear time; repeated ones are joined by commas."""
    headers: dict[bytes, bytes] = {}
    repeated: dict[bytes, list[bytes]] = {}
    for name, value in fields:
        key = name.lower()
        if key in headers:
            repeated.setdefault(key, [headers[key]]).append(value)
        else:
            headers[key] = value
    for key, values in repeated.items():
        if key in ONCE:
            raise RefusedError(messages.text(400, f"the header {key.decode('latin-1')} came twice"))
        headers[key] = b", ".join(values)
    return headers


def _expecting(request: messages.Request) -> messages.Request:
    if request.headers[b"expect"].lower() != b"100-continue":
        raise RefusedError(
            messages.text(417, "the only expectation that can be met is 100-continue")
        )
    return request


def _check_version(version: str, headers: dict[bytes, bytes]) -> None:
    if version not in {"1.0", "1.1"}:
        raise RefusedError(messages.text(400, f"HTTP/{version} is not spoken here, HTTP/1.1 is"))
    if version == "1.1" and b"host" not in headers:
        raise RefusedError(messages.text(400, "an HTTP/1.1 request needs a Host header"))
    if b"transfer-encoding" in headers:
        if version == "1.0":
            raise RefusedError(messages.text(400, "HTTP/1.0 has no Transfer-Encoding"))
        if headers[b"transfer-encoding"].lower() != b"chunked":
            raise RefusedError(
                messages.text(501, "the only Transfer-Encoding known here is chunked")
            )


def _origin_form(target: bytes) -> str:
    """Path and query of any form of request target (RFC 9112 section 3.2.2: servers take all)."""
    if target.startswith(b"/") or target == b"*":
        return target.decode("latin-1")
    url = httptools.parse_url(target)
    query = b"?" + url.query if url.query else b""
    return ((url.path or b"/") + query).decode("latin-1")


def _refusal(error: httptools.HttpParserError) -> messages.Response:
    if isinstance(error.__context__, RefusedError):
        return error.__context__.response
    return messages.text(400, f"this is not HTTP/1.1: {error}")
