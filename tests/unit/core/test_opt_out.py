"""What a pod gets by name, what it can do without, and what it cannot: for all words of a pod."""

from __future__ import annotations

import itertools

import pytest

from sidecar_injector import names
from sidecar_injector.core import audit, matching
from sidecar_injector.core.merging import status_annotation
from sidecar_injector.core.reasons import PodVerdict, Reason
from tests.kits.random_pods import SEED, Choices
from tests.kits.samples import (
    applied,
    container,
    decided,
    injection,
    namespace_with,
    pod,
    reasons,
    round_trip,
)

DISABLED = {names.INJECTION_LABEL: names.DISABLED}
NO, ONLY = "no", "only:"
NAMES = ("a", "b", "c")


def drawn(number):
    """Injections of both kinds with the same few names, and the labels of a pod."""
    draw = Choices(SEED + number)
    injections = []
    for name, cluster in itertools.product(NAMES, (False, True)):
        if draw.sometimes(0.2):
            continue
        selector = draw.choice([{}, {}, {"matchLabels": {"x": "1"}}])
        activation = draw.choice(["Automatic", "OnRequest"])
        is_free = cluster and activation == "Automatic"
        part = {"spec": {"containers": [container(f"{name}-{cluster}".lower())]}}
        injections.append(
            injection(
                name, cluster=cluster, selector=selector, activation=activation, template=part,
                suspend=draw.sometimes(0.1),
                **({"optOut": draw.choice(["Allowed", "Forbidden"])} if is_free else {}),
            )
        )  # fmt: skip
    listed = draw.sample([*NAMES, *(f"cluster/{name}" for name in NAMES)], draw.randint(1, 4))
    return injections, listed, draw.choice([{}, {"x": "1"}])


def result(injections, labels, word=None):
    """The injections that the pod gets, by reference."""
    annotations = None if word is None else {names.INJECT_ANNOTATION: word}
    lines = decided(pod(labels=labels, annotations=annotations), *injections).injected
    return {line.injection.reference for line in lines}


def meant(listed, injections):
    """The injections that a list of names means, by reference."""
    own = {injection.reference for injection in injections if not injection.is_cluster}
    return {
        f"cluster/{name}" if name in NAMES and name not in own else name for name in listed
    }  # fmt: skip


@pytest.mark.parametrize("number", range(150))
def test_names_add_only_takes_away_and_nothing_takes_away_what_is_mandatory(number):
    injections, listed, labels = drawn(number)
    names_text = ", ".join(listed)
    automatic, everything = result(injections, labels), result(injections, labels, "yes")
    held = {each.reference for each in injections if each.is_mandatory} & automatic

    assert result(injections, labels, names_text) == automatic | (
        meant(listed, injections) & everything
    )
    assert result(injections, labels, f"{ONLY} {names_text}") == held | (
        meant(listed, injections) & everything
    )
    assert result(injections, labels, NO) == held
    for word in (None, NO, "yes", names_text, f"{ONLY} {names_text}"):
        assert result(injections, labels | DISABLED, word) == held


@pytest.mark.parametrize("number", range(50))
def test_a_pod_that_opts_out_is_out_of_scope_exactly_if_nothing_holds_it(number):
    injections, _, labels = drawn(number)
    holding = {each for each in injections if each.is_mandatory} and result(
        [each for each in injections if each.is_mandatory], labels
    )
    for fields, reason in (
        ({"labels": labels | DISABLED}, Reason.POD_LABEL_DISABLED),
        ({"labels": labels, "annotations": {names.INJECT_ANNOTATION: NO}},
         Reason.POD_ANNOTATION_DISABLED),
    ):  # fmt: skip
        decision = decided(pod(**fields), *injections)
        assert (decision.reason is reason) is not bool(holding)
        assert ("although the pod opts out" in decision.message) is bool(holding)


def mandatory(name="audit", **spec):
    return injection(name, cluster=True, optOut="Forbidden", **spec)


@pytest.mark.parametrize(
    "fields",
    [
        {"labels": DISABLED},
        {"annotations": {names.INJECT_ANNOTATION: NO}},
        {"annotations": {names.TUTORIAL_INJECT_ANNOTATION: NO}},
        {"annotations": {names.INJECT_ANNOTATION: "only: other"}},
        {"labels": DISABLED, "annotations": {names.INJECT_ANNOTATION: "only: other"}},
    ],
    ids=str,
)
def test_a_mandatory_injection_is_added_and_the_decision_says_that_the_pod_opted_out(fields):
    log = injection("log", template={"spec": {"containers": [container("log")]}})
    decision = round_trip(pod(**fields), mandatory(), log)
    assert reasons(decision)["cluster/audit"] == "Injected"
    assert reasons(decision)["log"] in ("OptedOut", "NotListed")
    assert decision.message == (
        "injected audit, although the pod opts out (optOut: Forbidden)"
    )  # fmt: skip
    assert "although" not in decided(pod(), mandatory(), log).message


@pytest.mark.parametrize(
    "fields",
    [
        {"labels": DISABLED | {names.APP_NAME_LABEL: names.PRODUCT}},
        {"labels": DISABLED, "annotations": {names.MIRROR_ANNOTATION: "x"}},
    ],
    ids=["own", "mirror"],
)
def test_our_own_and_mirror_pods_stay_out_of_a_mandatory_injection(fields):
    assert decided(pod(**fields), mandatory()).verdict is PodVerdict.OUT_OF_SCOPE


@pytest.mark.parametrize(
    ("spec", "fields"),
    [
        ({"suspend": True}, {}),
        ({"selector": {"matchLabels": {"x": "1"}}}, {}),
        ({"namespaceSelector": {"matchLabels": {"x": "1"}}}, {}),
        ({}, {"hostNetwork": True}),
        ({}, {"os": {"name": "windows"}}),
    ],
    ids=str,
)
def test_a_mandatory_injection_that_does_not_apply_holds_nobody(spec, fields):
    decision = decided(pod(labels=DISABLED, **fields), mandatory(**spec))
    assert decision.reason is Reason.POD_LABEL_DISABLED


def test_an_injection_of_a_namespace_cannot_be_mandatory():
    own = injection(optOut="Forbidden", failurePolicy="Fail")
    assert [problem.path for problem in own.errors] == ["spec.optOut"]
    assert decided(pod(labels=DISABLED), own).verdict is PodVerdict.OUT_OF_SCOPE
    assert reasons(decided(pod(labels=DISABLED), own, mandatory())) == {
        "cluster/audit": "Injected",
        "log": "OptedOut",
    }


def test_an_injection_on_request_cannot_be_mandatory():
    asked = mandatory(activation="OnRequest")
    assert [problem.path for problem in asked.errors] == ["spec.optOut"]
    assert decided(pod(labels=DISABLED), asked).reason is Reason.POD_LABEL_DISABLED


def test_a_mandatory_injection_that_fails_refuses_a_pod_that_opts_out():
    taken = {"spec": {"containers": [container("app", image="other")]}}
    fields = {"labels": DISABLED}
    decision = decided(pod(**fields), mandatory(template=taken, failurePolicy="Fail"))
    assert (decision.verdict, decision.reason) == (PodVerdict.REFUSED, Reason.CONTAINER_CONFLICT)
    skipped = applied(pod(**fields), mandatory(template=taken))
    assert skipped.message == (
        "nothing to inject; skipped audit=ContainerConflict,"
        " although the pod opts out (optOut: Forbidden)"
    )


@pytest.mark.parametrize(
    ("spec", "fields", "reason"),
    [
        ({}, {}, None),
        ({}, {"labels": DISABLED}, Reason.POD_LABEL_DISABLED),
        ({}, {"annotations": {names.INJECT_ANNOTATION: NO}}, Reason.POD_ANNOTATION_DISABLED),
        ({}, {"annotations": {names.INJECT_ANNOTATION: "only: other"}}, Reason.NOT_LISTED),
        ({}, {"annotations": {names.INJECT_ANNOTATION: "only: log"}}, None),
        ({"activation": "OnRequest"}, {"labels": DISABLED}, None),
        ({"suspend": True}, {"labels": DISABLED}, None),
        ({"selector": {"matchLabels": {"x": "1"}}}, {"labels": DISABLED}, None),
        ({}, {"labels": DISABLED, "hostNetwork": True}, None),
    ],
    ids=str,
)
def test_a_pod_opted_out_of_what_it_would_have_had(spec, fields, reason):
    log, subject = injection("log", **spec), pod(**fields)
    candidate = matching.candidate_of(subject, status_annotation.NOTHING)
    assert matching.opted_out(log, candidate, namespace_with(log)) is reason


def test_the_audit_expects_a_mandatory_injection_in_a_pod_that_opts_out():
    held, log = mandatory(), injection()
    counted = audit.states(pod(labels=DISABLED), namespace_with(held, log))
    assert [*counted] == [(held, audit.MISSING), (log, audit.OPTED_OUT)]
