"""Which HTTP/1.1 requests are read, and which are refused because they are ambiguous."""

from __future__ import annotations

import itertools
import tracemalloc

import hypothesis
import pytest
from hypothesis import strategies

from sidecar_injector.httpserver import messages, parser
from tests.kits import server as kit

HEAD = b"POST /echo HTTP/1.1\r\nHost: x\r\n"
CHUNKS = b"3\r\nabc\r\n0\r\n\r\n"
SMALL = messages.Limits(body_bytes=100, head_bytes=300, target_bytes=50)


def feed(
    *parts: bytes, limits: messages.Limits = SMALL
) -> tuple[list[messages.Request], int | None]:
    """The complete requests, and the status of the refusal if there is one."""
    reader = parser.Parser(limits)
    requests = []
    for part in parts:
        requests += reader.feed(part)
        if reader.refusal is not None:
            return requests, reader.refusal.status
    return requests, None


PIPELINE = kit.post(b"one") + kit.chunked(b"t", b"w", b"o") + kit.post(b"", path="/x?a=b") + b"\r\n"


@hypothesis.given(cuts=strategies.lists(strategies.integers(0, len(PIPELINE)), max_size=12))
def test_requests_come_out_the_same_wherever_the_bytes_are_cut(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(PIPELINE)]
    parts = [PIPELINE[a:b] for a, b in itertools.pairwise(edges)]
    requests, refusal = feed(*parts)
    assert [(request.path, request.body) for request in requests] == [
        ("/echo", b"one"), ("/echo", b"two"), ("/x", b""),
    ]  # fmt: skip
    assert refusal is None


def test_requests_come_out_the_same_byte_by_byte() -> None:
    requests, refusal = feed(*(PIPELINE[i : i + 1] for i in range(len(PIPELINE))))
    assert [request.body for request in requests] == [b"one", b"two", b""]
    assert refusal is None


MESSAGES = (
    kit.post(b"one"),
    kit.post(b"two"),
    kit.post(b"three"),
    kit.post(b""),
    kit.post(b"a") + kit.post(b"b"),
    kit.post(b"\r\n\r\n"),
    b"\r\n" + kit.post(b"one"),
    kit.post(b"one") + b"\r\n",
    kit.post(b"one")[:-1],
    kit.chunked(b"on", b"e"),
    b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n",
    kit.post(b"old").replace(b"HTTP/1.1", b"HTTP/1.0"),
    kit.post(b"end", "Connection: close"),
    kit.post(b"abc", "Expect: 100-continue"),
    b"x",
)


@hypothesis.given(strategies.lists(strategies.sampled_from(MESSAGES), max_size=8))
@hypothesis.example([kit.post(b"one"), kit.post(b"end", "Connection: close"), kit.post(b"one")])
@hypothesis.example([kit.post(b"one"), kit.post(b"one")[:-1], kit.post(b"one")])
def test_a_request_does_not_depend_on_the_ones_before_it_or_on_the_reads(
    parts: list[bytes],
) -> None:
    def fields(*parts: bytes) -> tuple[list[tuple[object, ...]], int | None]:
        requests, refusal = feed(*parts)
        return [
            (request.method, request.path, request.headers, request.keep_alive, request.body)
            for request in requests
        ], refusal

    single_bytes = [bytes([byte]) for part in parts for byte in part]
    assert fields(*parts) == fields(*single_bytes)


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        pytest.param(
            HEAD + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKS, 400,
            id="a length and an encoding",
        ),
        pytest.param(
            HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n" + CHUNKS, 400,
            id="an encoding and a length",
        ),
        pytest.param(
            HEAD + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400, id="two lengths"
        ),
        pytest.param(
            HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKS,
            400, id="two encodings",
        ),
        pytest.param(HEAD + b"Content-Length: 3, 3\r\n\r\nabc", 400, id="a list of lengths"),
        pytest.param(HEAD + b"Content-Length: +3\r\n\r\nabc", 400, id="a signed length"),
        pytest.param(HEAD + b"Content-Length: -3\r\n\r\nabc", 400, id="a negative length"),
        pytest.param(HEAD + b"Content-Length: \r\n\r\nabc", 400, id="an empty length"),
        pytest.param(HEAD + b"Content-Length: 9" + b"9" * 30 + b"\r\n\r\n", 400, id="an overflow"),
        pytest.param(HEAD + b"Content-Length : 3\r\n\r\nabc", 400, id="a space before the colon"),
        pytest.param(HEAD + b"A: b\r\n c\r\n\r\n", 400, id="a folded header"),
        pytest.param(HEAD + b"A: b\x00c\r\n\r\n", 400, id="a NUL in a header"),
        pytest.param(HEAD + b"A: b\rc\r\n\r\n", 400, id="a bare carriage return"),
        pytest.param(b"POST /echo HTTP/1.1\nHost: x\n\n", 400, id="bare line feeds"),
        pytest.param(HEAD + b"Transfer-Encoding: xchunked\r\n\r\n", 501, id="an unknown encoding"),
        pytest.param(
            HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n" + CHUNKS, 501, id="compressed chunks"
        ),
        pytest.param(
            b"POST /echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKS, 400,
            id="chunks in HTTP/1.0",
        ),
        pytest.param(
            HEAD + b"Transfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n", 400, id="a bad chunk size"
        ),
        pytest.param(
            HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\nabc\n0\n\n", 400, id="chunks without CR"
        ),
        pytest.param(b"GET /echo HTTP/1.1\r\n\r\n", 400, id="no Host"),
        pytest.param(HEAD + b"Host: y\r\n\r\n", 400, id="two Hosts"),
        pytest.param(b"GET /echo\r\n\r\n", 505, id="HTTP/0.9"),
        pytest.param(b"GET /echo HTTP/1.2\r\nHost: x\r\n\r\n", 400, id="HTTP/1.2"),
        pytest.param(b"GET /echo HTTP/2.0\r\nHost: x\r\n\r\n", 505, id="HTTP/2.0"),
        pytest.param(
            b"GET /echo HTTP/2.0\r\nHost: x\r\nConnection: keep-alive\r\n\r\n",
            505,
            id="HTTP/2.0, kept",
        ),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, id="HTTP/2"),
        pytest.param(b"\x16\x03\x01\x00\xa5\x01", 400, id="TLS"),
        pytest.param(b"BREW /echo HTTP/1.1\r\nHost: x\r\n\r\n", 400, id="an unknown method"),
        pytest.param(b"CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n", 400, id="CONNECT"),
        pytest.param(
            HEAD + b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 3\r\n\r\nabc", 400,
            id="an upgrade",
        ),
        pytest.param(b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n", 400, id="a path that is not ASCII"),
        pytest.param(HEAD + b"Expect: a miracle\r\n\r\n", 417, id="an unknown expectation"),
        pytest.param(HEAD + b"Content-Length: 101\r\n\r\n", 413, id="a length over the limit"),
        pytest.param(kit.chunked(b"x" * 60, b"x" * 41), 413, id="chunks over the limit"),
        pytest.param(HEAD + b"A: " + b"x" * 300 + b"\r\n\r\n", 431, id="a header over the limit"),
        pytest.param(HEAD + b"A: b\r\n" * 60 + b"\r\n", 431, id="headers over the limit"),
        pytest.param(b"GET /" + b"x" * 50 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414, id="a long path"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("step", [1, 100_000], ids=["byte by byte", "at once"])
def test_it_refuses(raw: bytes, status: int, step: int) -> None:
    parts = [raw[i : i + step] for i in range(0, len(raw), step)]
    assert feed(*parts) == ([], status)


@pytest.mark.parametrize("first", [b"", kit.post(b"x" * 100)], ids=["alone", "after another"])
@pytest.mark.parametrize(
    "start",
    [
        pytest.param(HEAD + b"A: ", id="header"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\n1;", id="chunk extension"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\nA: ", id="trailer"),
    ],
)
def test_a_head_without_end_is_refused_before_it_fills_the_memory(
    first: bytes, start: bytes
) -> None:
    parts = [first + start, *[b"x" * 100] * 4]
    requests, refusal = feed(*parts)
    assert len(requests) == bool(first)
    assert refusal == 431


def test_a_head_over_the_limit_is_refused_wherever_it_is_cut() -> None:
    assert feed(HEAD + b"A: " + b"x" * 400, b"\r\n\r\n") == ([], 431)


def test_a_head_within_the_limit_passes_after_a_body_that_came_in_the_same_read() -> None:
    head = HEAD + b"A: " + b"x" * 200 + b"\r\n"
    requests, refusal = feed(kit.post(b"x" * 100) + head[:-40], head[-40:] + b"\r\n")
    assert len(requests) == 2
    assert refusal is None


def test_sizes_on_the_limit_pass() -> None:
    requests, refusal = feed(kit.post(b"x" * 100), kit.chunked(b"x" * 50, b"x" * 50))
    assert [len(request.body) for request in requests] == [100, 100]
    assert refusal is None


def test_requests_before_a_refusal_are_kept() -> None:
    requests, refusal = feed(kit.post(b"one") + kit.post(b"two") + b"rubbish\r\n\r\n")
    assert [request.body for request in requests] == [b"one", b"two"]
    assert refusal == 400


def test_a_trailer_does_not_become_a_header_of_this_request_or_the_next() -> None:
    trailer = kit.chunked(b"a")[:-2] + b"X-Admin: yes\r\n\r\n"
    requests, refusal = feed(trailer + kit.post(b"b"))
    assert [b"x-admin" in request.headers for request in requests] == [False, False]
    assert refusal is None


def test_headers_are_found_in_any_case_and_repeated_ones_are_joined() -> None:
    (request,), _ = feed(kit.post(b"", "X-A: 1", "x-a: 2", "x-A: 3"))
    assert request.headers[b"x-a"] == b"1, 2, 3"
    assert b"absent" not in request.headers


@pytest.mark.parametrize(
    ("line", "path"),
    [
        ("GET /a?b=c?d HTTP/1.1", "/a"),
        ("GET http://h/a?b HTTP/1.1", "/a"),
        ("GET http://h HTTP/1.1", "/"),
        ("OPTIONS * HTTP/1.1", "*"),
    ],
)
def test_every_form_of_target_has_a_path(line: str, path: str) -> None:
    (request,), _ = feed(f"{line}\r\nHost: x\r\n\r\n".encode())
    assert request.path == path


@pytest.mark.parametrize(
    ("version", "headers", "kept"),
    [
        ("1.1", "", True),
        ("1.1", "Connection: keep-alive\r\n", True),
        ("1.1", "Connection: close\r\n", False),
        ("1.0", "", False),
        ("1.0", "Connection: keep-alive\r\n", False),
    ],
)
def test_a_connection_is_kept_for_http_1_1_only(version: str, headers: str, *, kept: bool) -> None:
    (request,), _ = feed(f"GET / HTTP/{version}\r\nHost: x\r\n{headers}\r\n".encode())
    assert request.keep_alive is kept


def test_a_connection_is_not_kept_if_a_trailer_says_so() -> None:
    trailer = kit.chunked(b"x")[:-2] + b"Connection: close\r\n\r\n"
    (request,), refusal = feed(trailer)
    assert (request.keep_alive, refusal) == (False, None)
    other = kit.chunked(b"x")[:-2] + b"Checksum: 1\r\n\r\n"
    (first, second), refusal = feed(other + kit.post(b"a"))
    assert (first.keep_alive, second.body, refusal) == (True, b"a", None)


def test_held_bytes_are_those_of_the_unfinished_body() -> None:
    reader = parser.Parser(SMALL)
    raw = kit.post(b"x" * 90)
    reader.feed(raw[:-50])
    assert (reader.unfinished, reader.held) == (True, 40)
    reader.feed(raw[-50:-20])
    assert (reader.unfinished, reader.held) == (True, 70)
    reader.feed(raw[-20:])
    assert (reader.unfinished, reader.held) == (False, 0)


def test_a_body_in_parts_is_kept_once() -> None:
    reader = parser.Parser(messages.Limits())
    raw = kit.post(b"x" * 1_000_000)
    first, second = raw[:-500], raw[-500:-1]
    tracemalloc.start()
    try:
        reader.feed(first)
        reader.feed(second)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 1.3 * reader.held
