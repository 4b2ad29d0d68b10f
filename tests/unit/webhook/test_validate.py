"""`/validate`: the verdict is that of the judge, with Kopf and without it."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import itertools
import logging
from typing import Any

import kopf
import orjson
import pytest

from sidecar_injector import names
from sidecar_injector.core import status
from sidecar_injector.core.injections import namespace_view
from sidecar_injector.core.linting import validate as linting
from sidecar_injector.httpserver import messages
from sidecar_injector.observability.metrics import Metrics
from sidecar_injector.runtime import kopf_validation
from sidecar_injector.webhook import judge, validate
from tests.kits.samples import container, injection, resource
from tests.kits.validate import quiet, template

BROKEN = template(containers=[quiet(ports=[{"containerPort": 99999}])])


def webhook(
    *others: Any, competing: Any = None, is_called: bool = True
) -> validate.InjectionWebhook:
    return validate.InjectionWebhook(
        judge.Judge(Metrics()),
        competing=competing or (lambda namespace: others),
        namespaces=lambda namespace: (),
        is_called_for_opted_out=lambda: is_called,
    )


def validate_request(raw: Any = None) -> messages.Request:
    """A request to judge an injection."""
    raw = raw or resource()
    review = {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "u",
            "operation": "CREATE",
            "kind": {"kind": raw["kind"]},
            "object": raw,
            "oldObject": raw,
        },
    }
    return messages.Request(method="POST", path="/", headers={}, body=orjson.dumps(review))


async def answered(handler: messages.Handler, request: messages.Request) -> messages.Response:
    answer = handler(request)
    assert not isinstance(answer, messages.Response)
    return await answer


async def never(review: Any, *, webhook: str) -> Any:
    await asyncio.Event().wait()


async def broken(review: Any, *, webhook: str) -> Any:
    raise kopf.TemporaryError("Kopf knows no such resource")


async def test_validation_answers_in_time_even_if_kopf_does_not(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(validate, "KOPF_SECONDS", 0.01)
    raw = resource(template=template(containers=[quiet()]))
    with caplog.at_level(logging.WARNING):
        answer = await answered(webhook().handler(never), validate_request(raw))
    assert orjson.loads(answer.body)["response"] == {"uid": "u", "allowed": True, "warnings": []}
    assert "TimeoutError" in caplog.text


async def test_an_injection_is_judged_once_whatever_kopf_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(validate, "KOPF_SECONDS", 0.01)
    judged = []
    validate_ = linting.validate
    monkeypatch.setattr(
        linting,
        "validate",
        lambda *arguments, **options: judged.append(1) or validate_(*arguments, **options),
    )
    for dispatch in (never, broken):
        raw = resource(dispatch.__name__, template=BROKEN)
        judged.clear()
        answer = await answered(webhook().handler(dispatch), validate_request(raw))
        response = orjson.loads(answer.body)["response"]
        assert (response["allowed"], response["status"]["code"]) == (False, 422)
        assert "99999" in response["status"]["message"]
        assert judged == [1]


async def test_kopf_gets_the_verdict_and_no_content() -> None:
    reviews = []
    registry = kopf.OperatorRegistry()
    kopf_validation.register(registry)
    handler, *_ = registry._webhooks.get_all_handlers()

    async def dispatch(review: Any, *, webhook: str) -> Any:
        reviews.append(review)
        warnings: list[str] = []
        response: dict[str, Any] = {"allowed": True, "warnings": warnings}
        try:
            await asyncio.create_task(handler.fn(warnings=warnings))
        except kopf.AdmissionError as error:
            response = {"allowed": False, "code": error.code, "message": str(error)}
        return {"response": response}

    for raw, expected in (
        (resource(template=BROKEN), {"allowed": False, "code": 422}),
        (resource(template=template(containers=[quiet()])), {"allowed": True, "warnings": []}),
    ):
        answer = await answered(webhook().handler(dispatch), validate_request(raw))
        response = orjson.loads(answer.body)["response"]
        assert expected.items() <= response.items()
    assert all(not review["request"]["object"]["spec"] for review in reviews)
    assert all(review["request"]["oldObject"] is None for review in reviews)


async def test_a_refusal_is_logged_with_the_name_and_no_value(
    caplog: pytest.LogCaptureFixture,
) -> None:
    raw = resource("shipper", template=BROKEN)
    with caplog.at_level(logging.INFO):
        await webhook().verdict(raw, kind=raw["kind"])
    (record,) = caplog.records
    assert record.levelno == logging.INFO
    assert record.getMessage() == (
        "SidecarInjection demo/shipper is refused, as it is not valid: spec"
    )


def test_the_line_of_kopf_about_a_refusal_is_dropped() -> None:
    """Its text is that of the Kopf that is installed."""
    registry = kopf.OperatorRegistry()
    kopf_validation.register(registry)
    keep = kopf_validation.RefusalFilter().filter
    for handler in registry._webhooks.get_all_handlers():
        message = f"{handler} failed permanently: spec is wrong"
        assert not keep(logging.makeLogRecord({"msg": message}))
    assert keep(logging.makeLogRecord({"msg": "Webhook 'other' failed permanently: x"}))


async def test_no_two_injections_are_dispatched_in_one_turn_of_the_event_loop() -> None:
    order = []

    async def dispatch(review: Any, *, webhook: str) -> Any:
        order.append("dispatched")
        return review

    async def others() -> None:
        while order.count("dispatched") < 3:
            order.append("turn")
            await asyncio.sleep(0)

    handler = webhook().handler(dispatch)
    answers = [handler(validate_request()) for _ in range(3)]
    await asyncio.gather(*(answer for answer in answers if inspect.isawaitable(answer)), others())
    assert [step for step, _ in itertools.groupby(order)].count("dispatched") == 3


async def test_a_review_that_is_too_large_is_answered_with_its_size_and_the_limit() -> None:
    raw = resource()
    raw["metadata"]["annotations"] = {"a": "x" * validate.MAX_REVIEW_BYTES}

    answer = await answered(webhook().handler(never), validate_request(raw))

    assert answer.status == 413
    assert f"at most {validate.MAX_REVIEW_BYTES} are accepted" in answer.body.decode()


async def test_the_condition_says_what_the_webhook_says() -> None:
    verdict = await webhook().verdict(resource(template=BROKEN), kind=names.KIND)
    subject = injection(template=BROKEN)
    status_ = status.wanted(
        subject, errors=await judge.Judge(Metrics()).errors(subject),
        namespace=namespace_view.Namespace.assumed("demo"), reach=status.Reach(), serving=True,
        current={},
        now="2030-01-01T00:00:00Z",
    )  # fmt: skip
    assert status_
    accepted, _, ready = status_["conditions"]
    assert (accepted["status"], accepted["message"]) == ("False", verdict.refusal)
    assert (ready["status"], ready["reason"]) == ("False", "NotAccepted")


async def test_the_webhook_warns_of_rivals_in_the_injections_namespace() -> None:
    namespaces = []

    def competing(namespace: str | None) -> Any:
        namespaces.append(namespace)
        return [injection("rival", cluster=True, template=template(containers=[quiet(image="y")]))]

    judging = webhook(competing=competing)
    verdict = await judging.verdict(
        resource(template=template(containers=[quiet()])), kind=names.KIND
    )
    (warning,) = verdict.warnings
    assert "cluster/rival" in warning
    await judging.verdict(resource(cluster=True), kind=names.CLUSTER_KIND)
    assert namespaces == ["demo", None]


async def test_an_injection_that_is_being_deleted_is_let_through() -> None:
    raw = resource(template=BROKEN)
    raw["metadata"]["deletionTimestamp"] = "2030-01-01T00:00:00Z"
    assert await webhook().verdict(raw, kind=names.KIND) == validate.Verdict()


async def test_an_injection_that_we_fail_to_judge_is_let_in_with_a_warning() -> None:
    def broken_cache(_: str | None) -> Any:
        raise RuntimeError("ours")

    judging = webhook(competing=broken_cache)
    verdict = await judging.verdict(resource(), kind=names.KIND)
    assert verdict == validate.Verdict(warnings=(validate.UNCHECKED,))


async def test_pods_are_answered_while_the_largest_injection_is_judged() -> None:
    """The loop has turns all the time: more than one for each injection that is judged."""
    containers = [
        container(f"c{number}", env=[{"name": f"E{n}", "value": ""} for n in range(50)])
        for number in range(64)
    ]
    task = asyncio.create_task(
        webhook().verdict(resource(template=template(containers=containers)), kind=names.KIND)
    )
    turns = 0
    while not task.done():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(task), 0.001)
        turns += 1
    assert turns > 5
    assert task.result().warnings


@pytest.mark.parametrize(
    ("spec", "is_called", "warned"),
    [
        ({"optOut": "Forbidden"}, False, True),
        ({"optOut": "Forbidden"}, True, False),
        ({"optOut": "Allowed"}, False, False),
        ({}, False, False),
    ],
)
async def test_who_forbids_to_opt_out_is_told_what_the_label_still_does(
    spec: Any, is_called: bool, warned: bool
) -> None:
    raw = resource(cluster=True, template=template(containers=[quiet()]), **spec)
    verdict = await webhook(is_called=is_called).verdict(raw, kind=names.CLUSTER_KIND)
    assert not verdict.refusal
    assert (validate.NOT_CALLED in verdict.warnings) is warned
    assert "webhook.optedOutPods" in validate.NOT_CALLED
    assert len(validate.NOT_CALLED) <= 120
