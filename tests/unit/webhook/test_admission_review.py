"""A review that no API server sends is not reported as a bug of ours."""

from __future__ import annotations

import copy
import sys
import threading
import time

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar_injector.webhook import admission_review
from tests.kits.samples import pod

REQUEST = {"namespace": "demo", "operation": "CREATE", "object": pod()}
INJECTION = {"kind": {"kind": "SidecarInjection"}, "object": {"metadata": {"name": "x"}}}
OWNER = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "controller": True}


def changed(path, value):
    request = copy.deepcopy(REQUEST)
    holder = request
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = value
    return request


def test_what_the_api_server_sends_is_no_reason_to_complain():
    assert admission_review.shape_problem(REQUEST) == ""
    owned = changed(("object", "metadata", "ownerReferences"), [OWNER])
    assert admission_review.shape_problem(owned) == ""


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        (("namespace",), ["demo"], "request.namespace"),
        (("object",), "secret", "request.object"),
        (("object", "spec"), "secret", "request.object.spec"),
        (("object", "spec", "containers"), ["secret"], "request.object.spec.containers[0]"),
        (("object", "spec", "containers", 0, "name"), None, "spec.containers[0].name"),
        (("object", "metadata", "ownerReferences"), [{"kind": "x"}], "References[0].apiVersion"),
    ],
)  # fmt: skip
def test_the_complaint_names_the_field_and_never_the_value(path, value, field):
    problem = admission_review.shape_problem(changed(path, value))

    assert f"{field} is missing or has another type" in problem
    assert "secret" not in problem


def test_an_injection_is_known_by_its_kind_and_its_shape():
    assert admission_review.is_injection(INJECTION)
    for request in (
        {"object": INJECTION["object"]},
        {**INJECTION, "kind": {"kind": "Pod"}},
        {**INJECTION, "kind": {"kind": ["SidecarInjection"]}},
        {**INJECTION, "object": None},
        {**INJECTION, "object": {"metadata": []}},
    ):
        assert not admission_review.is_injection(request)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.text()
    | st.floats(-1e300, 1e300),
    lambda some: st.lists(some, max_size=3) | st.dictionaries(st.text(), some, max_size=3),
    max_leaves=8,
)


@given(request=st.dictionaries(st.text(), JSON, max_size=4))
def test_a_large_review_is_read_as_a_small_one(request):
    review = {"apiVersion": admission_review.VERSIONS[0], "kind": "AdmissionReview"}
    body = orjson.dumps(review | {"request": request | {"uid": "one"}})
    with pytest.MonkeyPatch.context() as patch:
        small = admission_review.read(body)
        patch.setattr(admission_review, "MAX_BLOCKING_BYTES", 0)
        assert admission_review.read(body) == small


@pytest.mark.parametrize(
    "value",
    [b"NaN", b"-Infinity", b"[" * 100_000, b'"\xff"', b"1 2", b"{", b"9" * 5000 + b"}"],
    ids=["NaN", "infinity", "deep", "no UTF-8", "two", "open", "stray"],
)
@pytest.mark.parametrize("at_once", [0, 1 << 20])
def test_what_is_no_json_is_no_review_whatever_its_size(monkeypatch, value, at_once):
    monkeypatch.setattr(admission_review, "MAX_BLOCKING_BYTES", at_once)
    with pytest.raises(admission_review.InvalidReview, match="no JSON"):
        admission_review.read(value)


def test_other_threads_have_their_turn_while_a_large_review_is_read(monkeypatch):
    """Seen by one that counts; orjson would leave it none, and nor would a hook written in C."""
    body = orjson.dumps([{"name": str(number)} for number in range(60_000)])
    turns, over, interval = 0, threading.Event(), sys.getswitchinterval()

    def count():
        nonlocal turns
        while not over.is_set():
            turns += 1
            time.sleep(0)

    monkeypatch.setattr(admission_review, "MAX_BLOCKING_BYTES", 0)
    other = threading.Thread(target=count)
    other.start()
    try:
        sys.setswitchinterval(interval / 50)
        before = turns
        with pytest.raises(admission_review.InvalidReview, match="kind"):
            admission_review.read(body)
        assert turns > before + 20
    finally:
        sys.setswitchinterval(interval)
        over.set()
        other.join()
