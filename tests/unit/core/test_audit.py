"""What a pod's metadata says about an injection: injected, outdated, skipped or missing."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar_injector import names
from sidecar_injector.core import audit
from sidecar_injector.core.injections import namespace_view
from sidecar_injector.core.reasons import Reason
from tests.kits.random_pods import SEED, Draw
from tests.kits.samples import (
    NAMESPACE,
    container,
    decided,
    injection,
    namespace_with,
    pod,
    resource,
)


def metadata_of(subject, *, host_network=False):
    """The part of a pod that the audit reads."""
    return {"metadata": subject["metadata"], "spec": {"hostNetwork": host_network}}


def states(metadata, *injections):
    found = audit.states(metadata, namespace_with(*injections))
    return {injection.reference: state for injection, state in found if ": " not in state}


def test_a_pod_that_was_injected_is_so_until_the_template_changes():
    older = injection()
    metadata = metadata_of(decided(pod(), older).pod)
    assert states(metadata, older) == {"log": audit.INJECTED}
    newer = injection(template={"spec": {"containers": [container(image="other:2")]}})
    assert states(metadata, newer) == {"log": audit.OUTDATED}
    assert states(metadata, injection(priority=7)) == {"log": audit.INJECTED}


def test_a_pod_whose_annotation_says_why_not_is_skipped():
    clashing = injection(template={"spec": {"containers": [container("app", image="x")]}})
    decision = decided(pod(), clashing)
    assert [line.reason for line in decision.lines] == [Reason.CONTAINER_CONFLICT]
    assert states(metadata_of(decision.pod), clashing) == {"log": audit.SKIPPED}


def test_a_pod_that_should_have_it_and_says_nothing_misses_it():
    assert states(metadata_of(pod()), injection()) == {"log": audit.MISSING}
    assert states({"metadata": {}}, injection()) == {"log": audit.MISSING}


@pytest.mark.parametrize(
    "subject",
    [
        pod(annotations={names.MIRROR_ANNOTATION: "x"}),
        pod(labels={names.INJECTION_LABEL: names.DISABLED, names.APP_NAME_LABEL: names.PRODUCT}),
        pod(labels={names.APP_NAME_LABEL: names.PRODUCT}),
    ],
)
def test_a_pod_to_which_it_does_not_apply_is_not_selected(subject):
    assert states(metadata_of(subject), injection()) == {}


@pytest.mark.parametrize(
    "subject",
    [
        pod(labels={names.INJECTION_LABEL: names.DISABLED}),
        pod(annotations={names.INJECT_ANNOTATION: "no"}),
        pod(annotations={names.TUTORIAL_INJECT_ANNOTATION: "false"}),
    ],
)
def test_a_pod_whose_author_opted_out_is_counted_apart(subject):
    elsewhere = injection("elsewhere", selector={"matchLabels": {"no": "pod"}})
    on_request = injection("asked", activation="OnRequest")
    suspended = injection("off", suspend=True)
    metadata = metadata_of(subject)
    assert states(metadata, injection(), elsewhere, on_request, suspended) == {
        "log": audit.OPTED_OUT
    }
    assert not list(audit.states(metadata, view_of("kube-system", injection())))


def test_every_pod_is_counted_as_it_would_be_without_an_opt_out_or_as_opted_out():
    """For random pods: selected and opted out together are what applies if nobody opts out."""
    opted_out = 0
    for seed in range(SEED, SEED + 300):
        draw = Draw(seed)
        subject, injections = draw.pod(), draw.injections()
        willing = {**subject, "metadata": {**subject["metadata"]}}
        annotations = dict(subject["metadata"].get("annotations") or {})
        requested = annotations.pop(names.INJECT_ANNOTATION, None)
        tutorial = annotations.pop(names.TUTORIAL_INJECT_ANNOTATION, None)
        willing["metadata"]["annotations"] = annotations
        with_request = states(metadata_of(subject), *injections)
        without = states(metadata_of(willing), *injections)
        out = {name for name, state in with_request.items() if state == audit.OPTED_OUT}
        selected = with_request.keys() - out
        assert out <= without.keys(), seed
        assert without.keys() <= with_request.keys(), seed
        if requested is None and tutorial is None:
            assert not out, seed
        assert selected >= without.keys() - out, seed
        opted_out += len(out)
    assert opted_out > 20


def test_a_pod_that_is_being_deleted_is_not_counted():
    subject = pod()
    subject["metadata"]["deletionTimestamp"] = "2030-01-01T00:00:00Z"
    assert states(metadata_of(subject), injection()) == {}


@pytest.mark.parametrize(("mode", "selected"), [("Skip", False), ("Inject", True)])
def test_the_host_network_counts_as_it_does_while_a_pod_is_created(mode, selected):
    injected = injection(hostNetworkPods=mode)
    assert bool(states(metadata_of(pod(), host_network=True), injected)) is selected
    assert states(metadata_of(pod()), injected)


def test_an_invalid_or_suspended_injection_selects_nothing():
    broken = injection(template={"spec": {"containers": [{"name": "a"}]}})
    assert broken.errors
    assert states(metadata_of(pod()), broken, injection("two", suspend=True)) == {}


def test_labels_that_an_injection_added_do_not_change_who_is_selected():
    first = injection("first", template={"metadata": {"labels": {"app": "x"}}}, priority=1)
    second = injection("second", selector={"matchLabels": {"app": "x"}})
    metadata = metadata_of(decided(pod(), first, second).pod)
    assert states(metadata, first, second) == {"first": audit.INJECTED}


@given(st.text() | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps))
def test_whatever_a_pod_claims_it_is_counted_once_and_nothing_breaks(text):
    subject = pod(annotations={names.STATUS_ANNOTATION: text})
    assert list(states(metadata_of(subject), injection())) == ["log"]


def test_what_the_audit_says_is_what_the_decision_says_of_a_second_call():
    """For each injection: there, or not, both from the same pod."""
    injections = [
        injection("fits"),
        injection("clash", template={"spec": {"containers": [container("app", image="x")]}}),
        injection("asked", activation="OnRequest"),
        injection("elsewhere", selector={"matchLabels": {"no": "pod"}}),
    ]
    injected = decided(pod(), *injections).pod
    again = {line.injection.reference: line.reason for line in decided(injected, *injections).lines}
    assert states(metadata_of(injected), *injections) == {
        "fits": audit.INJECTED,
        "clash": audit.SKIPPED,
    }
    assert again["fits"] is Reason.ALREADY_INJECTED
    assert again["clash"] is Reason.CONTAINER_CONFLICT


def view_of(name=NAMESPACE, *injections, **labels):
    namespace = namespace_view.Namespace(name, {names.INJECTION_LABEL: names.ENABLED, **labels})
    return namespace_view.NamespaceView.of(namespace, injections)


def test_a_namespace_is_looked_at_only_if_something_can_apply_there():
    picky = injection(cluster=True, namespaceSelector={"matchLabels": {"team": "a"}})
    assert audit.can_select(view_of(NAMESPACE, injection()))
    assert audit.can_select(view_of(NAMESPACE, picky, team="a"))
    assert not audit.can_select(view_of(NAMESPACE))
    assert not audit.can_select(view_of(NAMESPACE, picky))
    assert not audit.can_select(view_of(NAMESPACE, injection(suspend=True)))
    assert not audit.can_select(view_of("kube-system", injection()))
    assert not audit.can_select(view_of(names.PRODUCT, injection()))
    off = namespace_view.NamespaceView.of(namespace_view.Namespace(NAMESPACE, {}), [injection()])
    assert not audit.can_select(off)


def test_counts_are_written_only_when_they_differ_and_the_time_with_them():
    counted = injection()
    key = audit.identity(counted)
    counts = audit.counts(audit.Tally({(key, audit.MISSING): 2, (key, audit.INJECTED): 3}), key)
    assert counts == {
        "selected": 5, "injected": 3, "outdated": 0, "skipped": 0, "missing": 2,
        "wouldInject": 0, "optedOut": 0, "skippedReasons": [],
    }  # fmt: skip
    written = audit.wanted(counts, current={}, now="now")
    assert written == {**counts, "observedAt": "now"}
    assert audit.wanted(counts, current=written, now="later") is None
    other = audit.wanted({**counts, "missing": 1}, current=written, now="later")
    assert other is not None
    assert other["observedAt"] == "later"


STATE_NUMBERS = st.dictionaries(
    st.sampled_from([*audit.STATES, audit.OPTED_OUT]), st.integers(0, 5)
)


@given(STATE_NUMBERS)
def test_selected_is_the_sum_of_its_states(numbers):
    key = audit.identity(injection())
    tally = audit.Tally({(key, state): number for state, number in numbers.items()})
    for counts in (audit.counts(tally, key), audit.sums(tally)):
        assert counts["selected"] == sum(counts[state] for state in audit.STATES)
        assert counts["optedOut"] == numbers.get(audit.OPTED_OUT, 0)


def test_the_reasons_of_skipped_pods_are_counted_if_they_exist():
    clashing = injection(template={"spec": {"containers": [container("app", image="x")]}})
    record = {"kind": names.KIND, "name": "log", "reason": "ContainerConflict"}
    key = audit.identity(clashing)
    for reason, reasons in (("ContainerConflict", ["ContainerConflict"]), ("forged", [])):
        text = json.dumps({"skipped": [{**record, "reason": reason}], "version": 1})
        metadata = metadata_of(pod(annotations={names.STATUS_ANNOTATION: text}))
        view = namespace_with(clashing)
        tally = audit.Tally(
            (audit.identity(each), state) for each, state in audit.states(metadata, view)
        )
        counts = audit.counts(tally, key)
        assert (counts["selected"], counts["skipped"]) == (1, 1)
        assert counts["skippedReasons"] == reasons


def test_injections_of_one_name_are_counted_apart():
    kinds = {audit.identity(injection()), audit.identity(injection(cluster=True))}
    assert kinds == {(names.KIND, NAMESPACE, "log"), (names.CLUSTER_KIND, "", "log")}
    assert resource()["metadata"]["namespace"] == NAMESPACE
