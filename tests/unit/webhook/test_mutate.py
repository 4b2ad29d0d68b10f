"""Reviews in, reviews out: whatever happens, a pod is not refused because of us."""

from __future__ import annotations

import logging

import pytest

from sidecar_injector import names
from sidecar_injector.core import decide
from sidecar_injector.observability import logs
from tests.kits.admission import Server, clash, patched, review
from tests.kits.samples import container, pod, resource


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
def test_a_review_is_answered_in_the_version_that_asked_with_its_uid(version):
    answer = Server(resource()).answer(pod(), version=version)
    assert answer["apiVersion"] == f"admission.k8s.io/{version}"
    assert answer["kind"] == "AdmissionReview"
    assert answer["response"]["uid"] == "6-7-8"
    assert answer["response"]["allowed"] is True
    assert answer["response"]["patchType"] == "JSONPatch"
    injected = patched(pod(), answer["response"])
    assert [entry["name"] for entry in injected["spec"]["containers"]] == ["app", "sidecar"]


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"", "the body is no JSON"),
        (b"{", "the body is no JSON"),
        (b"\xff", "the body is no JSON"),
        (b"[]", "kind must be AdmissionReview"),
        ({"kind": "Pod"}, "kind must be AdmissionReview"),
        (review(pod(), version="v2"), "apiVersion must be one of admission.k8s.io/v1, "),
        ({**review(pod()), "request": None}, "request.uid is missing"),
        ({**review(pod()), "request": []}, "request.uid is missing"),
        (review(pod(), uid=3), "request.uid is missing"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_body_that_is_no_review_is_400_with_one_line(body, sentence):
    answer = Server().post(body)
    assert answer.status == 400
    assert answer.body.decode().startswith(f"no AdmissionReview: {sentence}")
    assert answer.body.count(b"\n") == 1


@pytest.mark.parametrize(
    ("subject", "changes"),
    [
        (pod(), {"operation": "UPDATE"}),
        (pod(), {"operation": "CREATE", "subResource": "ephemeralcontainers"}),
        (pod(), {"resource": {"group": "apps", "version": "v1", "resource": "pods"}}),
        (pod(), {"resource": {"group": "", "version": "v1", "resource": "services"}}),
        (pod(), {"resource": None}),
        (None, {"operation": "DELETE"}),
        ([], {}),
    ],
    ids=["update", "subresource", "group", "resource", "no-resource", "delete", "no-object"],
)
def test_anything_but_the_creation_of_a_pod_is_allowed_as_it_is(subject, changes):
    response = Server(resource()).response(subject, **changes)
    assert response == {"uid": "6-7-8", "allowed": True}


def test_our_own_bug_admits_the_pod_and_is_logged_and_counted(monkeypatch, caplog):
    def broken(*_):
        raise RuntimeError("a bug of ours")

    server = Server(resource())
    monkeypatch.setattr(decide, "decide", broken)
    subject = pod()
    subject["spec"]["containers"][0]["env"] = [{"name": "A", "value": "hunter2"}]
    assert server.response(subject) == {"uid": "6-7-8", "allowed": True}
    assert server.count("admission_requests_total", result="error") == 1
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.exc_info
    text = logs.JsonFormatter().format(record)
    assert "a bug of ours" in text
    assert "demo/web" in text
    assert "hunter2" not in text


@pytest.mark.parametrize(
    "subject",
    [
        {"metadata": "x"}, {"metadata": {"labels": "x"}}, {"spec": "x"},
        {"spec": {"containers": 3}}, {"spec": {"containers": [3]}},
        {"metadata": {"annotations": []}, "spec": {"volumes": 1}},
    ],
    ids=str,
)  # fmt: skip
def test_a_pod_of_impossible_shape_is_the_api_servers_to_refuse(subject):
    assert Server(resource()).response(subject)["allowed"] is True


def test_a_pod_without_metadata_is_injected():
    subject = {"spec": {"containers": [container("app")]}}
    response = Server(resource()).response(subject)
    injected = patched(subject, response)
    assert names.STATUS_ANNOTATION in injected["metadata"]["annotations"]


def test_the_namespace_is_the_requests_since_the_object_may_have_none():
    server = Server(resource())
    assert "patch" in server.response(pod())
    assert "patch" not in server.response(pod(), namespace="elsewhere")
    elsewhere = pod()
    elsewhere["metadata"]["namespace"] = "elsewhere"
    assert "patch" in server.response(elsewhere)


def test_only_fail_refuses_with_422_and_a_message_that_names_everything():
    server = Server(clash(failurePolicy="Fail"), resource())
    response = server.response(pod())
    assert response["allowed"] is False
    assert response["status"]["code"] == 422
    for part in ("clash", "ContainerConflict", "failurePolicy: Fail", "sidecar-injection=disabled"):
        assert part in response["status"]["message"]
    assert "patch" not in response
    assert server.count("admission_requests_total", result="Refused") == 1
    assert Server(clash()).response(pod())["allowed"] is True


def test_the_author_is_warned_of_a_variable_that_is_left_out():
    applied = {"env": [{"name": "LOG_LEVEL", "value": "info"}]}
    sources = [{"configMapRef": {"name": "own"}}]
    subject = pod(containers=[container("app", envFrom=sources)])
    answer = Server(resource(applicationContainers=applied)).answer(subject)
    assert answer["response"]["warnings"] == [
        "sidecar-injector: log: left out: /spec/containers/app/env/LOG_LEVEL"
    ]
