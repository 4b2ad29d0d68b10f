"""Reviews in, reviews out: whatever happens, a pod is not refused because of us."""

from __future__ import annotations

import base64
import json
import logging

import jsonpatch
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from samples import NAMESPACE, container, pod, resource

from sidecar_injector import names, observe
from sidecar_injector.core import decide
from sidecar_injector.core.reasons import PodVerdict, Reason
from sidecar_injector.handlers import telling
from sidecar_injector.server import admission, http, registry

PODS = {"group": "", "version": "v1", "resource": "pods"}


class Server:
    """The webhook's function over some injections; `told` is what it handed on."""

    def __init__(self, *resources):
        self.known = registry.Registry(release_namespace=names.PRODUCT)
        labels = {names.INJECTION_LABEL: names.ENABLED}
        self.known.namespace_changed(
            ("", NAMESPACE), None, {"metadata": {"name": NAMESPACE, "labels": labels}}
        )
        for one in resources:
            key = (one["metadata"].get("namespace", ""), one["metadata"]["name"])
            if one["kind"] == names.CLUSTER_KIND:
                self.known.cluster_injection_changed(key, None, one)
            else:
                self.known.injection_changed(key, None, one)
        self.metrics = observe.Metrics()
        self.told = []
        self.admission = admission.Admission(
            known=self.known, metrics=self.metrics, tell=self.told.append
        )

    def post(self, body):
        request = http.Request(
            method="POST", target=names.MUTATE_PATH, headers={}, peer=None, keep_alive=True
        )
        request.body = body if isinstance(body, bytes) else orjson.dumps(body)
        return self.admission.mutate(request)

    def ask(self, thing, **changes):
        """The whole answer to a review of a pod."""
        answer = self.post(review(thing, **changes))
        assert answer.status == 200
        return json.loads(answer.body)

    def response(self, thing, **changes):
        return self.ask(thing, **changes)["response"]

    def count(self, name, **labels):
        return self.metrics.registry.get_sample_value(f"sidecar_injector_{name}", labels)


def review(thing, *, version="v1", **changes):
    asked = {
        "uid": "6-7-8", "operation": "CREATE", "resource": PODS, "namespace": NAMESPACE,
        "object": thing, **changes,
    }  # fmt: skip
    return {
        "apiVersion": f"admission.k8s.io/{version}", "kind": "AdmissionReview", "request": asked,
    }  # fmt: skip


def patched(thing, response):
    operations = json.loads(base64.b64decode(response["patch"], validate=True))
    return jsonpatch.apply_patch(thing, operations)


def clash(**spec):
    """An injection that cannot be done on `pod()`."""
    return resource(
        "clash", template={"spec": {"containers": [container("app", image="x")]}}, **spec
    )


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
def test_a_review_is_answered_in_the_version_that_asked_with_its_uid(version):
    answer = Server(resource()).ask(pod(), version=version)
    assert answer["apiVersion"] == f"admission.k8s.io/{version}"
    assert answer["kind"] == "AdmissionReview"
    assert answer["response"]["uid"] == "6-7-8"
    assert answer["response"]["allowed"] is True
    assert answer["response"]["patchType"] == "JSONPatch"
    made = patched(pod(), answer["response"])
    assert [one["name"] for one in made["spec"]["containers"]] == ["app", "sidecar"]


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
    ("thing", "changes"),
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
def test_anything_but_the_creation_of_a_pod_is_allowed_as_it_is(thing, changes):
    response = Server(resource()).response(thing, **changes)
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
    text = observe.JsonFormatter().format(record)
    assert "a bug of ours" in text
    assert "demo/web" in text
    assert "hunter2" not in text


@pytest.mark.parametrize(
    "thing",
    [
        {"metadata": "x"}, {"metadata": {"labels": "x"}}, {"spec": "x"},
        {"spec": {"containers": 3}}, {"spec": {"containers": [3]}},
        {"metadata": {"annotations": []}, "spec": {"volumes": 1}},
    ],
    ids=str,
)  # fmt: skip
def test_a_pod_of_impossible_shape_is_the_api_servers_to_refuse(thing):
    assert Server(resource()).response(thing)["allowed"] is True


def test_a_pod_without_metadata_is_injected():
    thing = {"spec": {"containers": [container("app")]}}
    response = Server(resource()).response(thing)
    made = patched(thing, response)
    assert names.STATUS_ANNOTATION in made["metadata"]["annotations"]


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


def test_a_conflict_is_a_warning_that_names_product_injection_and_reason():
    (warning,) = Server(clash()).response(pod())["warnings"]
    assert warning.startswith("sidecar-injector: clash: ContainerConflict: the pod has another")


def test_there_are_at_most_three_warnings_of_at_most_120_characters():
    parts = {"spec": {"containers": [container("app", image="x")]}}
    many = [resource("n" * 60 + str(index), template=parts) for index in range(5)]
    lines = Server(*many).response(pod())["warnings"]
    assert len(lines) == 3
    assert {len(line) for line in lines} == {120}
    assert all(line.endswith("…") for line in lines)


def test_a_name_that_does_not_exist_is_a_warning():
    asking = pod(annotations={names.INJECT_ANNOTATION: "ghost,log"})
    response = Server(resource()).response(asking)
    assert [line.split(": ")[:3] for line in response["warnings"]] == [
        ["sidecar-injector", "ghost", "UnknownInjection"]
    ]
    assert "patch" in response


def test_the_audit_annotations_list_what_was_injected_and_what_was_not():
    other = resource("c", cluster=True, template={"spec": {"containers": [container("c")]}})
    server = Server(resource(), other, clash())
    assert server.response(pod())["auditAnnotations"] == {
        "injected": "cluster/c,log", "skipped": "clash=ContainerConflict",
    }  # fmt: skip
    assert "auditAnnotations" not in Server().response(pod())


def test_every_decision_is_counted_by_result_and_by_each_of_its_reasons():
    server = Server(resource(), clash())
    assert server.count("patch_bytes_count") == 0
    response = server.response(pod())
    assert server.count("admission_requests_total", result="Injected") == 1
    assert server.count("decisions_total", reason="Injected") == 1
    assert server.count("decisions_total", reason="ContainerConflict") == 1
    assert server.count("admission_duration_seconds_count") == 1
    size = len(base64.b64decode(response["patch"]))
    assert server.count("patch_bytes_sum") == pytest.approx(size, abs=3)


def test_every_result_and_reason_is_on_the_metrics_page_from_the_start():
    server = Server()
    for result in (*(one.value for one in PodVerdict), "error"):
        assert server.count("admission_requests_total", result=result) == 0
    for reason in Reason:
        assert server.count("decisions_total", reason=reason.value) == 0


def test_a_dry_run_is_answered_like_any_other_and_leaves_no_event():
    server = Server(clash())
    wet, dry = server.response(pod()), server.response(pod(), dryRun=True)
    assert wet == dry
    assert [one.dry_run for one in server.told] == [False, True]
    assert [len(telling.of(one)) for one in server.told] == [1, 0]


def test_whoever_tells_people_gets_the_decision_and_the_requests_namespace():
    server = Server(resource())
    server.response(pod())
    (told,) = server.told
    assert (told.namespace, told.pod["metadata"]["name"]) == (NAMESPACE, "web")
    assert told.decision.verdict is PodVerdict.INJECTED


def fields_of(caplog):
    return [record.fields for record in caplog.records if hasattr(record, "fields")]


def test_a_decision_is_one_log_line_with_all_its_fields(caplog):
    caplog.set_level(logging.INFO)
    subject = pod()
    owners = [
        {"kind": "Node", "name": "n"},
        {"kind": "ReplicaSet", "name": "web-1", "controller": True},
    ]
    subject["metadata"] = {"generateName": "web-1-", "ownerReferences": owners}
    Server(resource(), clash()).response(subject)
    (fields,) = fields_of(caplog)
    assert fields.pop("milliseconds") >= 0
    assert fields == {
        "namespace": NAMESPACE, "pod": "web-1-", "uid": "6-7-8", "owner": "ReplicaSet/web-1",
        "verdict": "Injected", "reasons": ["ContainerConflict", "Injected"],
    }  # fmt: skip
    assert caplog.messages == [
        "pod demo/web-1-*: Injected: injected log; skipped clash=ContainerConflict"
    ]


def test_a_cache_that_is_behind_is_said_in_the_log_and_costs_nothing(caplog):
    caplog.set_level(logging.INFO)
    server = Server(resource())
    server.known.namespace_changed(("", NAMESPACE), None, None)
    assert "patch" in server.response(pod())
    assert fields_of(caplog)[0]["cacheBehind"] is True
    caplog.clear()
    Server(resource()).response(pod())
    assert "cacheBehind" not in fields_of(caplog)[0]


def test_without_the_info_level_no_line_is_made(caplog):
    caplog.set_level(logging.WARNING)
    Server(resource()).response(pod())
    assert caplog.records == []


SECRETS = st.text("abcdefghij0123456789", min_size=24, max_size=40)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(SECRETS, st.sampled_from([None, 3, "x", [], {"a": 1}, [1]]), st.booleans())
def test_nothing_of_the_pods_body_is_logged(caplog, secret, junk, conflict):
    caplog.clear()
    caplog.set_level(logging.DEBUG)
    subject = pod(annotations={"example.com/note": secret}, volumes=junk)
    subject["spec"]["containers"][0] |= {
        "env": [{"name": "TOKEN", "value": secret}], "args": [secret], "ports": junk,
    }  # fmt: skip
    server = Server(resource(), *([clash()] if conflict else []))
    assert server.response(subject)["allowed"] is True
    assert caplog.records
    for record in caplog.records:
        assert secret not in observe.JsonFormatter().format(record)
        assert secret not in observe.TextFormatter("%(message)s").format(record)
