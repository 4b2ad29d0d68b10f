"""Events about decisions: about which object, and nothing that the API server would refuse."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar_injector import names
from sidecar_injector.controllers import pod_events
from sidecar_injector.kube import events
from tests.kits.admission import Server, clash
from tests.kits.samples import NAMESPACE, pod

OWNER = {
    "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-1", "uid": "1-2",
    "controller": True,
}  # fmt: skip
ANY = st.recursive(
    st.none() | st.booleans() | st.integers(0, 2**63) | st.text(),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(), values, max_size=3),
    max_leaves=5,
)


def events_about(owner, *injections):
    """The Events of a pod with this owner that cannot be injected."""
    server = Server(*(injections or [clash()]))
    subject = pod()
    subject["metadata"]["ownerReferences"] = [owner]
    server.response(subject)
    return [event for response in server.decided for event in pod_events.of(response)]


def test_an_event_is_about_the_owner():
    (event,) = events_about(OWNER)
    assert event.regarding == events.ObjectRef(
        api_version="apps/v1", kind="ReplicaSet", name="web-1", namespace=NAMESPACE, uid="1-2"
    )


@pytest.mark.parametrize(
    "change",
    [
        {"apiVersion": None}, {"apiVersion": "a/b/c"}, {"apiVersion": 3}, {"kind": ""},
        {"kind": ["x"]}, {"kind": "x" * 64}, {"name": None}, {"name": "../../secrets/x?y="},
        {"name": "x" * 254}, {"name": "A"}, {"name": {"a": 1}},
    ],
    ids=str,
)  # fmt: skip
def test_an_owner_that_is_none_leaves_the_event_to_the_injection(change):
    (event,) = events_about({key: value for key, value in (OWNER | change).items() if value})
    assert (event.regarding.kind, event.regarding.name) == (names.KIND, "clash")
    assert event.regarding.namespace == NAMESPACE


def test_a_uid_that_is_none_is_left_out():
    assert [event.regarding.uid for event in events_about(OWNER | {"uid": "\n" * 9})] == [""]


@given(st.dictionaries(st.sampled_from(["apiVersion", "kind", "name", "uid"]), ANY))
def test_whatever_the_owner_is_an_event_is_small_and_about_a_name(change):
    for event in events_about(OWNER | change):
        about = event.regarding
        assert "/" not in about.kind + about.name + about.namespace
        assert len(repr(event)) < 8 * events.NOTE_LIMIT


def test_a_message_is_cut_before_it_waits_to_be_posted():
    server = Server(clash())
    server.response(pod())
    (response,) = server.decided
    (line,) = response.skipped
    long = dataclasses.replace(line, message="the pod has a long name: " + "x" * 200_000)
    (event,) = pod_events.of(dataclasses.replace(response, skipped=(long,)))
    assert len(event.message) == events.NOTE_LIMIT
    assert event.message.endswith("x…")
