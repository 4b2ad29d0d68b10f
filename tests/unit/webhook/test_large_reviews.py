"""A pod of megabytes gets what any other one gets, and keeps none of them waiting."""

from __future__ import annotations

import asyncio
import gc
import json
import threading
import tracemalloc
from typing import Any

import hypothesis
import orjson
import pytest
from hypothesis import strategies

from sidecar_injector import names
from sidecar_injector.core import decide
from sidecar_injector.httpserver import messages
from sidecar_injector.webhook import admission_review, response, response_cache, worker
from tests.kits.admission import Server, patched, review
from tests.kits.samples import container, pod, resource

TEXT = "x" * response_cache.MAX_REVIEW_BYTES
BALLAST = {"example.com/ballast": TEXT}
LARGE = pod(annotations={"a": "b"}, containers=[container("app", args=[TEXT])])


def request_of(body: Any) -> messages.Request:
    body = body if isinstance(body, bytes) else orjson.dumps(body)
    return messages.Request("POST", names.MUTATE_PATH, {}, body)


def test_a_large_pod_is_injected_logged_and_counted_like_a_small_one() -> None:
    large, small = Server(resource()), Server(resource())
    injected = patched(LARGE, large.response(LARGE))
    assert [container["name"] for container in injected["spec"]["containers"]] == ["app", "sidecar"]
    small.response(pod())
    for server in (large, small):
        assert server.count("admission_requests_total", result="Injected") == 1
        assert server.count("admission_duration_seconds_count") == 1
        assert len(server.decided) == 1


async def test_others_are_answered_while_a_large_one_is_decided_about(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server, go_on, original = Server(resource()), threading.Event(), decide.decide

    def decide_slowly(pod_request: Any, view: Any) -> Any:
        if "annotations" in pod_request.pod["metadata"]:
            assert go_on.wait(30)
        return original(pod_request, view)

    monkeypatch.setattr(decide, "decide", decide_slowly)
    pending = server.webhook.mutate(request_of(review(LARGE)))
    assert not isinstance(pending, messages.Response)
    waiting = asyncio.ensure_future(pending)
    await asyncio.sleep(0)
    answer = server.webhook.mutate(request_of(review(pod())))
    assert isinstance(answer, messages.Response)
    assert "patch" in json.loads(answer.body)["response"]
    assert not waiting.done()
    go_on.set()
    assert "patch" in json.loads((await waiting).body)["response"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{" + b" " * response_cache.MAX_REVIEW_BYTES, 400),
        (review(pod(annotations=BALLAST), resource={"group": "", "resource": "services"}), 200),
        (review(pod(annotations=BALLAST), namespace=["demo"]), 200),
    ],
)
def test_what_is_no_review_of_a_pod_is_answered_as_ever(body: Any, status: int) -> None:
    server = Server(resource())
    answer = server.post(body)
    assert answer.status == status
    assert server.count("admission_requests_total", result="error") == 0
    if status == 200:
        assert json.loads(answer.body)["response"] == {"uid": "6-7-8", "allowed": True}


def test_our_own_bug_admits_a_large_pod_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr(decide, "decide", broken)
    server = Server(resource())
    assert server.response(pod(annotations=BALLAST)) == {"uid": "6-7-8", "allowed": True}
    assert server.count("admission_requests_total", result="error") == 1


# Reviews that are not parsed.

OPENING = (
    b'{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"1-2-3",'
    b'"resource":{"group":"","resource":"pods"},"namespace":"demo","object":'
)
DENSE = (
    pytest.param(b"{},", id="objects"),
    pytest.param(b'{"name":""},', id="variables of a pod that is refused later"),
    pytest.param(b"[[[[]]]],", id="lists"),
    pytest.param(b'"",', id="strings"),
    pytest.param(b'"' + (5 << 20) * b"x" + b'",', id="one long string"),
)


@pytest.fixture
def no_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    def parse(*_: Any, **__: Any) -> Any:
        raise AssertionError("it must not be parsed")

    monkeypatch.setattr(orjson, "loads", parse)
    monkeypatch.setattr(json, "loads", parse)


def dense(piece: bytes) -> bytes:
    return OPENING + b"[" + piece * max((4 << 20) // len(piece), 1) + b"0]}}"


@pytest.mark.parametrize("piece", DENSE)
@pytest.mark.usefixtures("no_parser")
def test_a_pod_that_would_take_too_much_memory_is_admitted_with_a_warning(
    piece: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    server = Server(resource())
    first, second = server.post(dense(piece)), server.post(dense(piece))
    assert first.status == second.status == 200
    answer = first.body.decode()
    assert '"uid":"1-2-3","allowed":true,"warnings":["sidecar-injector: TooLarge: ' in answer
    assert server.count("admission_requests_total", result="TooLarge") == 2
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 2


def test_the_warning_fits_into_what_an_api_server_passes_on() -> None:
    (warning,) = orjson.loads(Server().post(dense(b"{},")).body)["response"]["warnings"]
    assert len(warning) <= 120


@pytest.mark.usefixtures("no_parser")
def test_what_no_api_server_sends_is_refused_if_it_is_too_large() -> None:
    server = Server(resource())
    assert server.post(b"[" + (4 << 20) // 3 * b"{}," + b"{}]").status == 413
    assert server.count("admission_requests_total", result="TooLarge") == 1


def test_a_large_pod_that_is_not_dense_is_read() -> None:
    """Twenty thousand variables, 1.3 MB: about what etcd can store."""
    variables = [
        {"name": f"VARIABLE_{n}", "value": "a value of some letters"} for n in range(20_000)
    ]
    body = orjson.dumps(review(pod(containers=[{"name": "app", "env": variables}])))
    server = Server(resource())
    assert server.post(body).status == 200
    assert server.count("admission_requests_total", result="Injected") == 1


async def test_large_ones_are_parsed_one_at_a_time_and_further_ones_are_to_come_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server, go_on = Server(resource()), threading.Event()
    read, respond, calls = admission_review.read, response.respond, []

    def read_slowly(body: bytes) -> admission_review.Review:
        calls.append("read")
        assert go_on.wait(30)
        assert not gc.isenabled(), "a collection would look at everything in the review"
        return read(body)

    def respond_too(*arguments: Any, **options: Any) -> Any:
        calls.append("respond")
        return respond(*arguments, **options)

    body = orjson.dumps(review(pod(annotations=BALLAST)))
    monkeypatch.setattr(admission_review, "read", read_slowly)
    monkeypatch.setattr(response, "respond", respond_too)
    monkeypatch.setattr(worker, "MAX_WAITING_BYTES", 3 * len(body))
    pending = [server.webhook.mutate(request_of(body)) for _ in range(3)]
    assert not any(isinstance(answer, messages.Response) for answer in pending)
    tasks = [asyncio.ensure_future(answer) for answer in pending]  # type: ignore[arg-type]
    await asyncio.sleep(0)
    busy = server.webhook.mutate(request_of(body))
    assert isinstance(busy, messages.Response)
    assert (busy.status, dict(busy.headers)) == (503, {"Retry-After": "1"})
    assert server.count("admission_requests_total", result="Busy") == 1
    go_on.set()
    answers = await asyncio.gather(*tasks)
    assert [answer.status for answer in answers] == [200, 200, 200]
    assert calls == 3 * ["read", "respond"]
    assert gc.isenabled()
    again = server.webhook.mutate(request_of(body))
    assert not isinstance(again, messages.Response)
    assert (await again).status == 200


def test_a_small_dense_body_is_parsed_in_the_worker_thread_too() -> None:
    server = Server(resource())
    answer = server.webhook.mutate(request_of(OPENING + b"[" + 40_000 * b"[]," + b"0]}}"))
    assert not isinstance(answer, messages.Response)
    assert asyncio.run(awaited(answer)).status == 200


async def awaited(answer: Any) -> messages.Response:
    response: messages.Response = await answer
    return response


# The estimate.

SCALARS = strategies.sampled_from(
    ["1", "99999", "99999999999999999999", "1.5", "true", "null", '""', '"ab"', '"\U0001f600a"',
     '"\\u0041"', '"\\ud83d\\ude00xxxxxxxxxx"', '"' + 99 * "x" + '"', '"' + 99 * "é" + '"']
)  # fmt: skip


def object_of(items: list[str]) -> str:
    return "{" + ",".join(f'"{number}":{item}' for number, item in enumerate(items)) + "}"


VALUES = strategies.recursive(
    SCALARS,
    lambda inner: (
        strategies.lists(inner, max_size=7).map(lambda items: f"[{','.join(items)}]")
        | strategies.lists(inner, max_size=7).map(object_of)
    ),
    max_leaves=20,
)


@pytest.mark.parametrize("steps", [False, True], ids=["at once", "in steps"])
@hypothesis.given(piece=VALUES, wide=strategies.booleans())
def test_no_body_takes_more_memory_than_estimated(piece: str, *, steps: bool, wide: bool) -> None:
    repeated = max(20_000 // len(piece), 1) * [piece]
    text = ",".join(repeated) + (',"\U0001f600' + 9000 * "x" + '"' if wide else "")
    body = f"[{text}]".encode()
    most = admission_review.estimate(body)
    tracemalloc.start()
    try:
        parsed = admission_review._loads_in_steps(body) if steps else orjson.loads(body)
        held, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert parsed is not None
    # orjson reserves twelve bytes for each of the text at once, and does not touch all of them.
    assert (peak if steps else held) <= most


def test_the_text_counts_twice_as_large_reviews_are_decoded_at_first() -> None:
    body = b'"' + 1_000_000 * b"x" + b'"'
    tracemalloc.start()
    try:
        admission_review._loads_in_steps(body)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 1.9 * len(body) < peak <= admission_review.estimate(body)


async def test_pods_of_one_template_that_wait_together_are_decided_about_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spec = {
        "template": {},
        "applicationContainers": {"env": [{"name": f"E{n}", "value": "x"} for n in range(20)]},
    }
    server, subject = (
        Server(resource(**spec)),
        pod(containers=[{"name": f"c{n}"} for n in range(100)]),
    )
    decisions, original = [], decide.decide

    def count(pod_request: Any, view: Any) -> Any:
        decision = original(pod_request, view)
        decisions.append(decision)
        return decision

    monkeypatch.setattr(decide, "decide", count)
    pending = [server.webhook.mutate(request_of(review(subject))) for _ in range(3)]
    answers = await asyncio.gather(*pending)
    responses = [orjson.loads(answer.body)["response"] for answer in answers]
    assert all(patched(subject, answer) == patched(subject, responses[0]) for answer in responses)
    assert len(decisions) == 1
    assert server.count("admission_requests_total", result="Injected") == 3
