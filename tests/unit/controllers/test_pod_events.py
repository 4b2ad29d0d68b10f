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


MISTAKE = {names.INJECT_ANNOTATION: "Clash"}


def told(subject, *injections):
    """The Events of a pod."""
    server = Server(*injections)
    server.response(subject)
    return [event for response in server.decided for event in pod_events.of(response)]


def owned(**metadata):
    subject = pod(**metadata)
    subject["metadata"]["ownerReferences"] = [OWNER]
    return subject


def test_whatever_is_a_warning_of_a_bare_pod_is_an_event_of_an_owned_one():
    (event,) = told(owned(annotations=MISTAKE))
    assert (event.regarding.kind, event.reason) == ("ReplicaSet", "InvalidAnnotation")
    assert event.message == (
        "the annotation sidecar-injector.dev/inject: 'Clash' is ignored: it has capital letters;"
        " write 'clash'"
    )
    assert told(pod(annotations=MISTAKE)) == []
    (warning,) = Server().response(pod(annotations=MISTAKE))["warnings"]
    assert "sidecar-injector.dev/inject: 'Clash' has capital letters; write 'clash'" in warning


def test_an_event_of_a_bare_pod_names_it_and_what_becomes_of_it():
    (event,) = told(pod(), clash())
    assert (event.regarding.kind, event.regarding.name) == (names.KIND, "clash")
    assert event.message.startswith("pod web starts without clash: ")
    (event,) = told(pod(), clash(failurePolicy="Fail"))
    assert event.message.startswith("pod web is refused without clash: ")
    (event,) = told(owned(), clash())
    assert event.message.startswith("each pod starts without clash: ")


def test_an_event_of_a_bare_pod_and_a_cluster_injection_is_in_the_namespace_of_the_pod():
    injection = clash()
    injection["kind"] = names.CLUSTER_KIND
    del injection["metadata"]["namespace"]
    (event,) = told(pod(), injection)
    about = event.regarding
    assert (about.kind, about.name, about.namespace) == ("Pod", "web", NAMESPACE)
    subject = pod()
    subject["metadata"]["generateName"] = f"{subject['metadata'].pop('name')}-"
    (event,) = told(subject, injection)
    assert event.regarding.kind == names.CLUSTER_KIND
    assert event.message.startswith("pod web-* starts without cluster/clash: ")


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
