"""A pod of megabytes gets what any other one gets, and keeps none of them waiting."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any

import orjson
import pytest

from sidecar_injector import names
from sidecar_injector.core import decide
from sidecar_injector.httpserver import messages
from sidecar_injector.webhook import response_cache
from tests.kits.admission import Server, patched, review
from tests.kits.samples import pod, resource

BALLAST = {"example.com/ballast": "x" * response_cache.MAX_REVIEW_BYTES}


def request_of(body: Any) -> messages.Request:
    body = body if isinstance(body, bytes) else orjson.dumps(body)
    return messages.Request("POST", names.MUTATE_PATH, {}, body)


def test_a_large_pod_is_injected_logged_and_counted_like_a_small_one() -> None:
    large, small = Server(resource()), Server(resource())
    subject = pod(annotations=BALLAST)
    response = large.response(subject)
    injected = patched(subject, response)
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
    pending = server.webhook.mutate(request_of(review(pod(annotations=BALLAST))))
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
