"""Whatever a review holds: an answer, no traceback, a short line, and no value of it in the log."""

from __future__ import annotations

import copy
import io
import json
import logging

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sidecar_injector import names
from sidecar_injector.controllers import pod_events
from sidecar_injector.httpserver import messages
from sidecar_injector.observability import logs
from sidecar_injector.observability.metrics import Metrics
from sidecar_injector.webhook import admission_review, decision_log, judge, validate
from tests.kits.admission import Server, clash, review
from tests.kits.samples import container, pod, resource

CANARY = "canary-6f1d"
ANY = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(), values, max_size=3),
    max_leaves=6,
)
PLACES = [
    ("request", key)
    for key in ("operation", "subResource", "namespace", "dryRun", "name", "uid", "object", "kind")
]
PLACES += [
    ("request", "object", "metadata", key)
    for key in ("name", "generateName", "namespace", "labels", "annotations", "ownerReferences")
]
PLACES += [
    ("request", "object", "metadata", "ownerReferences", 0, key)
    for key in ("apiVersion", "kind", "name", "uid", "controller")
]
PLACES += [
    ("request", "object", "spec", key)
    for key in ("containers", "initContainers", "volumes", "hostNetwork", "serviceAccountName")
]
PLACES += [("request", "object", "spec", "containers", 0, key) for key in ("name", "env", "ports")]
UID = ("request", "uid")
OWNER = {
    "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-1", "uid": "1", "controller": True,
}  # fmt: skip


class Log:
    """Everything that is logged, at every level, as the process writes it."""

    def __init__(self, formatter):
        self.stream = io.BytesIO()
        self.handler = logs.Lines(self.stream, formatter)
        self.root = logging.getLogger()

    def __enter__(self):
        self._before = self.root.handlers[:], self.root.level
        self.root.handlers[:] = [self.handler]
        self.root.setLevel(logging.DEBUG)
        return self

    def __exit__(self, *_):
        self.handler.flush()
        self.root.handlers[:] = self._before[0]
        self.root.setLevel(self._before[1])

    @property
    def text(self):
        self.handler.flush()
        return self.stream.getvalue().decode()


def whole_review(**spec):
    subject = pod(**spec)
    subject["metadata"]["ownerReferences"] = [OWNER]
    return review(subject)


def changed(place, value):
    """A review with another value at a place."""
    result = copy.deepcopy(whole_review())
    parent = result
    for step in place[:-1]:
        parent = parent[step]
    parent[place[-1]] = value
    return result


@pytest.mark.parametrize("formatter", [logs.TextFormatter(), logs.JsonFormatter()])
@settings(suppress_health_check=list(HealthCheck))
@given(place=st.sampled_from(PLACES), value=ANY)
def test_any_value_at_any_place_gets_an_answer_and_a_line_of_its_own(formatter, place, value):
    with Log(formatter) as log:
        server = Server(resource(), clash(), log=decision_log.DecisionLog([log.handler]))
        answer = server.post(changed(place, value))
        for response in server.decided:
            pod_events.of(response)
    assert answer.status == (200 if place != UID or isinstance(value, str) else 400)
    if answer.status == 200:
        assert json.loads(answer.body)["response"]["allowed"] is True
    assert "Traceback" not in log.text
    lines = log.text.split("\n")[:-1]
    assert len(lines) <= 1
    assert all(line.isprintable() for line in lines)
    assert all(len(line) < 2 * logs.LONGEST_MESSAGE for line in lines)
    if isinstance(formatter, logs.JsonFormatter):
        assert all(isinstance(json.loads(line), dict) for line in lines)


@pytest.mark.parametrize(
    "place",
    [
        place
        for place in PLACES
        if place[-1] in {"name", "generateName", "namespace", "uid", "kind"}
    ],
    ids=lambda place: ".".join(map(str, place)),
)
def test_a_name_of_a_review_cannot_make_a_line_as_long_as_itself(place):
    for formatter in (logs.TextFormatter(), logs.JsonFormatter()):
        with Log(formatter) as log:
            Server(resource(), clash(), log=decision_log.DecisionLog([log.handler])).post(
                changed(place, "\x9b" * 100_000)
            )
        assert len(log.text) < 8 * admission_review.LONGEST_NAME * len("\\u009b")


def test_a_long_annotation_cannot_either():
    subject = pod(annotations={names.INJECT_ANNOTATION: ",".join(f"a{n}" for n in range(30_000))})
    with Log(logs.JsonFormatter()) as log:
        Server(resource(), log=decision_log.DecisionLog([log.handler])).response(subject)
    assert 0 < len(log.text) < 2 * logs.LONGEST_MESSAGE


LARGE = b" " * (admission_review.MAX_BLOCKING_BYTES + 1)


@pytest.mark.parametrize(
    "text", [b'"\\ud800"', b"1" * 40, b"[" * 400 + b"]" * 400], ids=["half", "digits", "levels"]
)
@pytest.mark.parametrize("place", PLACES, ids=lambda place: ".".join(map(str, place)))
def test_what_only_the_slower_parser_accepts_gets_an_answer_and_no_traceback(place, text):
    body = orjson.dumps(changed(place, "HERE")).replace(b'"HERE"', text) + LARGE
    with Log(logs.JsonFormatter()) as log:
        answer = Server(resource(), clash(), log=decision_log.DecisionLog([log.handler])).post(body)
    assert answer.status == (200 if place != UID else 400)
    assert "traceback" not in log.text


PRIVATE = [
    {"env": [{"name": "TOKEN", "value": CANARY}]},
    {"env": [{"name": "REGION", "value": CANARY}]},
    {"args": [CANARY]},
    {"command": [CANARY, "--password", CANARY]},
    {"image": f"registry/{CANARY}:1"},
    {"workingDir": CANARY},
    {"lifecycle": {"postStart": {"exec": {"command": [CANARY]}}}},
    {"livenessProbe": {"httpGet": {"httpHeaders": [{"name": "A", "value": CANARY}]}}},
    {"env": CANARY},
    {"env": [CANARY]},
    {"env": [{"name": ["A"], "value": CANARY}]},
    {"resources": {"limits": {"cpu": CANARY}}},
    {"resources": {"limits": {"cpu": [CANARY]}}},
    {"ports": [{"containerPort": CANARY}]},
    {"securityContext": {"seLinuxOptions": {"user": CANARY}}},
    {"restartPolicy": CANARY},
]
INJECTIONS = [
    resource(), clash(), resource("port", template={"spec": {"containers": [
        container("port", ports=[{"containerPort": 1, "hostPort": 1}])]}}),
    resource("env", applicationContainers={"env": [{"name": "REGION", "value": "north"}]}),
]  # fmt: skip


@pytest.mark.parametrize("part", PRIVATE, ids=str)
@pytest.mark.parametrize("breaks", [False, True])
def test_no_value_of_a_pod_is_in_a_line_or_an_event_at_any_level(part, breaks, monkeypatch):
    body = whole_review()
    body["request"]["object"]["spec"]["containers"][0] |= part
    body["request"]["object"]["metadata"]["annotations"] = {"example.com/note": CANARY}

    def broken(*_, **__):
        raise ValueError(f"a bug that quotes {CANARY}")

    for formatter in (logs.TextFormatter(), logs.JsonFormatter()):
        with Log(formatter) as log:
            server = Server(*INJECTIONS, log=decision_log.DecisionLog([log.handler]))
            if breaks:
                monkeypatch.setattr("sidecar_injector.core.decide.decide", broken)
            answer = server.post(body)
        assert answer.status == 200
        assert log.text
        assert CANARY not in log.text
        waiting = [event for response in server.decided for event in pod_events.of(response)]
        assert CANARY not in repr(waiting)


async def post_injection(injection, *, fails):
    """Send an injection to /validate, where Kopf is away."""

    async def dispatch(*_, **__):
        raise ValueError(f"Kopf quotes {CANARY}")

    def competing(_):
        if fails:
            raise ValueError(f"a bug that quotes {CANARY}")
        return []

    injection_judge = judge.Judge(Metrics())
    webhook = validate.InjectionWebhook(
        injection_judge,
        competing=competing,
        namespaces=lambda _: (),
        is_called_for_opted_out=lambda: True,
    )
    handler = webhook.handler(dispatch)
    body = {
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {"uid": "1", "kind": {"kind": injection["kind"]}, "object": injection},
    }  # fmt: skip
    request = messages.Request("POST", names.VALIDATE_PATH, {}, orjson.dumps(body))
    return await handler(request)


@pytest.mark.parametrize("part", PRIVATE, ids=str)
@pytest.mark.parametrize("fails", [False, True])
async def test_no_value_of_an_injection_is_in_a_line_at_any_level(part, fails):
    template = {"spec": {"containers": [container("side") | part]}}
    for formatter in (logs.TextFormatter(), logs.JsonFormatter()):
        with Log(formatter) as log:
            answer = await post_injection(resource(template=template), fails=fails)
        assert answer.status == 200
        assert "judged directly" in log.text
        assert CANARY not in log.text
