"""What a review gets from the cache is what is decided about it, whatever came before."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest

from sidecar_injector import names
from tests.kits.admission import Server, clash, review
from tests.kits.samples import container, pod, resource

TOKEN = "kube-api-access-abcde"
OTHER = "kube-api-access-x9z8y"
TIME = "2026-11-20T10:00:00Z"
RESTARTED = "kubectl.kubernetes.io/restartedAt"
SHOP = {"matchLabels": {"app": "shop"}}
PAD = {"pad": "x" * 400}
"""In front of what the tests change, so that another review can have something else there."""


def body_of(subject: dict[str, Any], **changes: Any) -> bytes:
    return orjson.dumps(review(subject, **changes))


def padded(*, volume: str = "data", time: str = "", **metadata: Any) -> dict[str, Any]:
    """A pod with a projected volume of this name, whose fields have a manager since then."""
    subject = pod(volumes=[{"name": volume, "projected": {"sources": []}}])
    metadata = {"annotations": PAD | metadata.pop("annotations", {}), **metadata}
    if time:
        entry = {"manager": "m", "operation": "Update", "apiVersion": "v1", "time": time}
        metadata["managedFields"] = [{**entry, "fieldsType": "FieldsV1", "fieldsV1": {}}]
    spec = {"volumes": subject["spec"].pop("volumes"), **subject["spec"]}
    return {**subject, "metadata": metadata, "spec": spec}


def planted(part: str, body: bytes, *, at: bytes) -> bytes:
    """A review of the same length that has a name or a time where `at` is in the body."""

    def planting(before: int, behind: int) -> bytes:
        subject = padded(
            annotations={"pad": "x" * before}, **{part: TOKEN if part == "volume" else TIME}
        )
        return body_of({**subject, "status": {"message": "x" * behind}})

    end = b"abcde" if part == "volume" else TIME.encode()
    before = body.index(at) - planting(0, 0).index(end)
    return planting(before, len(body) - len(planting(before, 0)))


def from_label(label: str, **spec: Any) -> dict[str, Any]:
    """An injection whose sidecar has a label of the pod in its environment."""
    sidecar = container("sidecar", env=[{"name": "VALUE", "value": "$(params.value)"}])
    return resource(
        parameters=[{"name": "value", "from": {"podLabel": label}}],
        template={"spec": {"containers": [sidecar]}},
        **spec,
    )


def from_annotation(key: str) -> dict[str, Any]:
    sidecar = container("sidecar", env=[{"name": "VALUE", "value": "$(params.value)"}])
    return resource(
        parameters=[{"name": "value", "from": {"podAnnotation": key}}],
        template={"spec": {"containers": [sidecar]}},
    )


def assert_decided_anew(server: Server, body: bytes) -> dict[str, Any]:
    """The answer is the one of a decision that no cache knows: behind a blank, nothing is known."""
    answer = server.post(body)
    decided = server.post(b" " + body)
    assert (answer.status, answer.body) == (decided.status, decided.body)
    response: dict[str, Any] = json.loads(answer.body)["response"]
    return response


@pytest.mark.parametrize(
    ("injection", "label", "first", "word"),
    [
        (from_label("region"), "region", "north", b"upper"),
        (clash(failurePolicy="Fail", selector=SHOP), "app", "shop", b"small"),
        (resource(selector=SHOP), "app", "shop", b"small"),
    ],
    ids=["parameter", "refusal", "selector"],
)  # fmt: skip
def test_a_name_taken_out_elsewhere_makes_no_other_review_equal(
    injection: dict[str, Any], label: str, first: str, word: bytes
) -> None:
    server = Server(injection)
    second = word.decode() + first
    with_name = body_of(padded(volume=TOKEN, labels={label: first}))
    other = body_of(padded(volume="kube-api-access-", labels={label: second}))
    assert len(with_name) == len(other)
    hole = planted("volume", other, at=word)
    assert len(hole) == len(other)
    for body in (hole, with_name, other, hole, other):
        assert_decided_anew(server, body)


def test_a_time_taken_out_elsewhere_makes_no_other_review_equal() -> None:
    server = Server(from_annotation(RESTARTED))
    short, long = (
        padded(time=TIME, annotations={RESTARTED: "Z"}),
        padded(time="Z", annotations={RESTARTED: TIME}),
    )
    assert len(body_of(short)) == len(body_of(long))
    hole = planted("time", body_of(long), at=TIME.encode())
    for body in (hole, body_of(short), body_of(long)):
        assert_decided_anew(server, body)


@pytest.mark.parametrize(
    "name",
    [
        r"kube\u002dapi-access-abcde",
        r"kube\u002Dapi-access-abcde",
        r"kube-api-access-\u0061bcde",
        r"kube-api-access-abcd\u0065",
    ],
)  # fmt: skip
def test_a_name_in_escapes_of_the_status_annotation_is_read(name: str) -> None:
    entry = {"kind": names.KIND, "name": "log", "generation": 0, "hash": "0", "mode": "Container"}
    claims = json.dumps({"injections": [{**entry, "added": {"volumes": ["NAME"]}}], "version": 1})
    annotations = {names.STATUS_ANNOTATION: claims.replace("NAME", name)}
    server = Server(resource(failurePolicy="Fail"))
    answers = [
        assert_decided_anew(server, body_of(padded(volume=volume, annotations=annotations)))
        for volume in (OTHER, TOKEN)
    ]
    assert [answer["allowed"] for answer in answers] == [True, False]


def test_the_last_of_two_uids_is_answered() -> None:
    server = Server(resource())
    for first in ("1-1", "2-2"):
        body = body_of(pod(), uid=first).replace(b'"operation"', b'"uid":"9-9","operation"', 1)
        assert assert_decided_anew(server, body)["uid"] == "9-9"


@pytest.mark.parametrize(
    "members",
    [
        b',"request":{"uid":"7","resource":{"group":"","resource":"pods"},"object":{"spec":{}}}',
        b',"apiVersion":"admission.k8s.io/v1beta1"',
        b',"kind":"Pod"',
    ],
)
def test_members_behind_the_request_count(members: bytes) -> None:
    server = Server(resource())
    for uid in ("1-1", "2-2"):
        body = body_of(pod(), uid=uid)[:-1] + members + b"}"
        answer, decided = server.post(body), server.post(b" " + body)
        assert (answer.status, answer.body) == (decided.status, decided.body)


@pytest.mark.parametrize("field", ["label", "variable", "first-metadata"])
def test_only_times_in_managed_fields_are_passed_over(field: str) -> None:
    inherited = resource(inherit={"env": [{"name": "A", "fromContainer": "app"}]})
    server = Server(inherited if field == "variable" else from_label("region"))
    for second in range(2):
        time = f"2026-11-20T10:00:0{second}Z"
        entry = {"manager": "m", "time": time, "fieldsType": "FieldsV1", "fieldsV1": {}}
        subject = pod(labels={"region": entry if field == "label" else "north"})
        subject["spec"]["containers"][0]["env"] = [{"name": "A", "value": entry}]
        if field == "first-metadata":
            subject["spec"]["containers"][0].pop("env")
        body = body_of(subject)
        if field == "first-metadata":
            extra = orjson.dumps({"managedFields": [entry]})
            body = body.replace(b'"metadata":', b'"metadata":%b,"metadata":' % extra, 1)
        answer = assert_decided_anew(server, body)
        assert "patch" in answer


@pytest.mark.parametrize("control", [b"\0", b"\1"])
def test_a_body_with_the_byte_of_a_mask_is_no_json(control: bytes) -> None:
    server = Server(resource())
    body = body_of(padded(volume=TOKEN, time=TIME))
    assert server.post(body).status == 200
    for part in (b"abcde", TIME[:-1].encode()):
        assert server.post(body.replace(part, control)).status == 400


def test_two_names_do_not_become_equal() -> None:
    """Volumes of one name are an error of the author's; volumes of two names are none."""
    server = Server(resource())
    for first, second in (
        (TOKEN, TOKEN),
        (TOKEN, OTHER),
        ("kube-api-access-00000", TOKEN),
        (TOKEN, "kube-api-access-00000"),
    ):
        subject = padded()
        subject["spec"]["volumes"] = [{"name": name, "emptyDir": {}} for name in (first, second)]
        assert_decided_anew(server, body_of(subject))


def test_a_command_with_escapes_of_go_is_cached() -> None:
    server = Server(resource())
    args = ["a && b > c < d", "\x1b[1m", "C:\\users", "é\u2028"]
    body = body_of(padded(volume=TOKEN, labels={"a": "b"}))
    escaped = (
        json.dumps(args).replace("&", r"\u0026").replace("<", r"\u003c").replace(">", r"\u003e")
    )
    body = body.replace(b'"name":"app"', b'"name":"app","args":%b' % escaped.encode())
    server.post(body)
    server.post(body.replace(b"abcde", b"zzzzz"))
    assert server.decided[0] is server.decided[1]
