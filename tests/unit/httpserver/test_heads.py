"""A head that is known again makes no difference to what comes out."""

from __future__ import annotations

import hypothesis
from hypothesis import strategies

from sidecar_injector.httpserver import heads, messages, parser
from tests.kits import server as kit

LIMITS = messages.Limits(body_bytes=100, head_bytes=300, target_bytes=50)
LAST = kit.post(b"end").replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
EXPECTING = kit.post(b"abc").replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n")
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
    LAST,
    EXPECTING,
    b"x",
)

Seen = tuple[list[tuple[object, ...]], int | None]


def fed(*parts: bytes) -> Seen:
    reader = parser.Parser(limits=LIMITS, peer="peer")
    seen: list[tuple[object, ...]] = []
    for part in parts:
        for one in reader.feed(part):
            head = one.method, one.path, one.query, one.headers, one.peer, one.keep_alive
            seen.append((*head, bytes(one.body)))
        if reader.refusal is not None:
            return seen, reader.refusal.status
    return seen, None


def in_bytes(*parts: bytes) -> Seen:
    """Nothing can be known again of what never comes in one piece."""
    return fed(*(bytes([one]) for part in parts for one in part))


@hypothesis.given(strategies.lists(strategies.sampled_from(MESSAGES), max_size=8))
@hypothesis.example([kit.post(b"one"), LAST, kit.post(b"one")])
@hypothesis.example([kit.post(b"one"), kit.post(b"one")[:-1], kit.post(b"one")])
def test_requests_come_out_as_if_each_were_read_anew(parts: list[bytes]) -> None:
    assert fed(*parts) == in_bytes(*parts)


def known(*pieces: bytes) -> heads.Heads:
    """What is known after these requests."""
    found = heads.Heads()
    for piece in pieces:
        (request,) = parser.Parser(limits=messages.Limits(), peer=None).feed(piece)
        found.learn(piece, request)
    return found


def test_a_head_is_known_again_with_another_body_of_its_length() -> None:
    found = known(kit.post(b"one"))
    request = found.recall(kit.post(b"two"))
    assert request is not None
    assert (request.method, request.path, request.body) == ("POST", "/echo", b"two")
    assert found.recall(kit.post(b"three")) is None
    assert found.recall(kit.post(b"two") + b"x") is None
    assert found.recall(kit.post(b"two")[:-1]) is None
    found.end()
    assert found.recall(kit.post(b"two")) is None


def test_heads_that_say_more_than_a_length_or_are_large_are_not_kept() -> None:
    large = kit.post(b"one", path=f"/{'x' * heads.LARGEST}")
    for piece in (EXPECTING, kit.chunked(b"one"), large):
        assert known(piece).recall(piece) is None


def test_no_client_fills_the_memory_with_heads() -> None:
    pieces = [kit.post(b"one", path=f"/{number}") for number in range(3 * heads.MOST)]
    found = known(*pieces)
    assert 0 < sum(found.recall(piece) is not None for piece in pieces) <= heads.MOST
