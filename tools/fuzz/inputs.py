"""What is sent: any number of inputs, the same ones for the same seed."""

from __future__ import annotations

import copy
import dataclasses
import json
import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from sidecar_injector import names

Json = dict[str, Any]

MUTATE: Final = names.MUTATE_PATH
VALIDATE: Final = names.VALIDATE_PATH
_CUTS: Final = (0, 1, 2, 5, 16, 100)
_VALUES: Final[tuple[Any, ...]] = (
    None, True, False, 0, -1, 2**63, 1e308, "", "x", " ", "\x00", "\ud7ff", "é" * 300, "a" * 70_000,
    [], {}, [None], [[]], [{}], {"": ""}, {"name": None}, [{"name": "a"}, {"name": "a"}],
    ["$(params.x)"], "$(pod.namespace)", "../../etc/passwd", "yes", "no", "a,b,,c", "cluster/",
    '{"injections":[{}],"version":1}', "{", "[" * 2000,
)  # fmt: skip
"""In the place of any value of a review."""
_WEIGHTS: Final = (1, 3, 2, 6)
"""How often TLS, HTTP, bodies and reviews are broken: more for what more code reads."""


@dataclasses.dataclass(frozen=True, slots=True)
class Input:
    """One attempt on the server."""

    kind: str
    data: bytes
    tls: bool = True
    """Whether the bytes go through a handshake, or straight to the socket."""
    answered: bool = False
    """Whether this is complete and valid HTTP, so that an answer must come."""


def stream(seed: int, *, review: Json) -> Iterator[Input]:
    """Without end, of every kind."""
    draw = random.Random(seed)  # noqa: S311 - the same inputs again is what is wanted
    makers: tuple[Callable[[random.Random, Json], Input], ...] = (
        _raw, _http, _body, _review
    )  # fmt: skip
    while True:
        (maker,) = draw.choices(makers, _WEIGHTS)
        yield maker(draw, review)


def request(path: str, body: bytes, *, method: str = "POST") -> bytes:
    """A request as the API server sends it."""
    head = f"{method} {path}?timeout=5s HTTP/1.1\r\nHost: sidecar-injector\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def _raw(draw: random.Random, review: Json) -> Input:
    """No TLS, or the beginning of something like it."""
    hello = b"\x16\x03\x01" + draw.randbytes(2) + b"\x01\x00\x00\xfc\x03\x03" + draw.randbytes(80)
    data = draw.choice(
        (
            draw.randbytes(draw.choice((1, 5, 200, 5000))),
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
            b"",
            hello,
            hello[: draw.randrange(len(hello))],
            b"\x16\x03\x01\xff\xff" + draw.randbytes(3000),
            b"\x15\x03\x03\x00\x02\x02\x2a",
            b"\x80\x2e\x01\x00\x02" + draw.randbytes(50),
        )
    )
    return Input("tls", data, tls=False)


def _http(draw: random.Random, review: Json) -> Input:
    """Requests that are wrong, cut off, ambiguous or for another path."""
    body = json.dumps(review).encode()
    whole = request(MUTATE, body)
    if draw.random() < 0.3:
        return Input("http", _mutated(draw, whole[:400]) + whole[400:])
    path = draw.choice((MUTATE, VALIDATE, "/", "/metrics", "//mutate", "/mutate/../", "*", "/%00"))
    if draw.random() < 0.3:
        method = draw.choice(("GET", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE"))
        return Input("http", request(path, b"", method=method), answered=True)
    whole = request(path, body)
    return Input("http", draw.choice((
        whole[: draw.randrange(500)],
        whole.replace(b"1.1", draw.choice((b"9.9", b"1.0", b"")), 1),
        whole * draw.choice((2, 20)),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + draw.randbytes(30),
        _with(path, body, draw.choice(_HEADERS)),
        _length(path, draw.choice(("-1", "9" * 20, "0x10", "1,2", ""))),
        _chunked(path, draw.choice(("f" * 18, "-1", "zz", "5;x=y"))),
    )))  # fmt: skip


_HEADERS: Final = (
    "Content-Length: 5",
    "Transfer-Encoding: chunked",
    "Expect: 100-continue",
    "Connection: Upgrade\r\nUpgrade: websocket",
    " folded: yes",
    "\x00: \x01",
    *(f"X: {'a' * size}" for size in (10, 9000, 200_000)),
    *("\r\n".join(f"h{number}: 1" for number in range(count)) for count in (50, 5000)),
)


def _with(path: str, body: bytes, header: str) -> bytes:
    return request(path, body).replace(b"\r\n", f"\r\n{header}\r\n".encode(), 1)


def _length(path: str, length: str) -> bytes:
    return f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\nabc".encode()


def _chunked(path: str, size: str) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    return f"{head}{size}\r\nabc\r\n0\r\n\r\n".encode()


def _body(draw: random.Random, review: Json) -> Input:
    """Valid HTTP with a body that is not JSON, or JSON that is not a review."""
    text = json.dumps(review).encode()
    body = draw.choice(
        (
            text[: draw.randrange(len(text))],
            _mutated(draw, text),
            b"[" * draw.choice((10, 100_000)),
            b'{"a":' * 5000 + b"1" + b"}" * 5000,
            b"\xef\xbb\xbf" + text,
            text.replace(b"app", b"\xff\xfe"),
            text.replace(b'"app"', b'"\\ud800"'),
            b"NaN", b"null", b"[]", b"1" * 5000, b'""', b"", b"\x00" * 1000,
            json.dumps(draw.choice(_VALUES)).encode(),
        )
    )  # fmt: skip
    return Input("body", request(draw.choice((MUTATE, VALIDATE)), body), answered=True)


def _review(draw: random.Random, review: Json) -> Input:
    """A review in which some values are others, or missing."""
    changed = json.loads(json.dumps(review))
    for _ in range(draw.choice((1, 1, 2, 5))):
        changed.setdefault("kind", None)  # one may have lost all of its members
        holder, key = draw.choice([*_places(changed)])
        if draw.random() < 0.2:
            del holder[key]
        else:
            holder[key] = copy.deepcopy(draw.choice(_VALUES))
    path = MUTATE if draw.random() < 0.9 else VALIDATE
    return Input("review", request(path, json.dumps(changed).encode()), answered=True)


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    members: Any = ()
    if isinstance(value, Mapping):
        members = value.items()
    elif isinstance(value, list):
        members = enumerate(value)
    for key, below in members:
        yield value, key
        yield from _places(below)


def _mutated(draw: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(draw.choice((1, 3, 20))):
        place = draw.randrange(len(changed) + 1)
        changed[place : place + draw.choice(_CUTS)] = draw.randbytes(draw.choice(_CUTS))
    return bytes(changed)
