"""The handler of `/validate`: it answers in time, and leaves turns of the event loop to pods."""

from __future__ import annotations

import asyncio
import inspect
import itertools
import logging
from typing import Any

import orjson
import pytest

from sidecar_injector import names
from sidecar_injector.httpserver import messages
from sidecar_injector.webhook import validate

REVIEW = {
    "apiVersion": "admission.k8s.io/v1",
    "kind": "AdmissionReview",
    "request": {
        "uid": "u",
        "operation": "CREATE",
        "kind": {"kind": names.KIND},
        "object": {"metadata": {}},
    },
}


def validate_request() -> messages.Request:
    """A request to judge an injection."""
    request = messages.Request(method="POST", path="/", headers={})
    request.body = orjson.dumps(REVIEW)
    return request


async def test_validation_answers_in_time_even_if_kopf_does_not(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(validate, "KOPF_SECONDS", 0.01)

    async def never(review: Any, *, webhook: str) -> Any:
        await asyncio.Event().wait()

    handler = validate.handler(never, lambda review: {"uid": review["uid"], "allowed": True})
    request = validate_request()
    with caplog.at_level(logging.WARNING):
        answer = handler(request)
        assert not isinstance(answer, messages.Response)
        body = orjson.loads((await answer).body)
    assert body["response"] == {"uid": "u", "allowed": True}
    assert "TimeoutError" in caplog.text


async def test_no_two_injections_are_judged_in_one_turn_of_the_event_loop() -> None:
    order = []

    async def judge(review: Any, *, webhook: str) -> Any:
        order.append("judged")
        return review

    async def others() -> None:
        while order.count("judged") < 3:
            order.append("turn")
            await asyncio.sleep(0)

    handler = validate.handler(judge, lambda review: review)
    answers = [handler(validate_request()) for _ in range(3)]
    await asyncio.gather(*(answer for answer in answers if inspect.isawaitable(answer)), others())
    assert [step for step, _ in itertools.groupby(order)].count("judged") == 3


async def test_pods_have_their_turn_where_kopf_is_late_for_many_injections_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(validate, "KOPF_SECONDS", 0.01)
    order = []

    async def never(review: Any, *, webhook: str) -> Any:
        await asyncio.Event().wait()

    def judge(admission_request: Any) -> Any:
        order.append("judged")
        return {"uid": admission_request["uid"], "allowed": True}

    async def pods() -> None:
        while order.count("judged") < 5:
            order.append("turn")
            await asyncio.sleep(0)

    handler = validate.handler(never, judge)
    answers = [handler(validate_request()) for _ in range(5)]
    await asyncio.gather(*(answer for answer in answers if inspect.isawaitable(answer)), pods())
    assert [step for step, _ in itertools.groupby(order)].count("judged") == 5
