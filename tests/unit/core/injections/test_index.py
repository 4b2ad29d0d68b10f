"""The index passes over exactly those injections that the first rules of matching would stop."""

from __future__ import annotations

import pytest

from sidecar_injector.core import matching
from sidecar_injector.core.injections import namespace_view
from sidecar_injector.core.merging import status_annotation
from sidecar_injector.core.reasons import Reason
from tests.kits import random_pods
from tests.kits.samples import decided, injection, namespace_with, pod

LABELS = ({}, {"a": "1"}, {"a": "2", "b": "1"}, {"a": 3}, {"b": ["x"]})


def injections(draw):
    """More than one of each kind of selector, in order."""
    selectors = [
        {}, {"matchLabels": {"a": "1"}}, {"matchLabels": {"a": "2", "b": "1"}},
        {"matchExpressions": [{"key": "a", "operator": "Exists"}]},
        {"matchLabels": {"b": "1"},
         "matchExpressions": [{"key": "a", "operator": "In", "values": ["2"]}]},
    ]  # fmt: skip
    injections = []
    for number in range(20):
        cluster = draw.sometimes(0.5)
        elsewhere = {"namespaceSelector": {"matchLabels": {"tier": "gold"}}} if cluster else {}
        injections.append(
            injection(
                f"i{number}", cluster=cluster, selector=draw.choice(selectors),
                priority=draw.choice([0, 1]), **(elsewhere if draw.sometimes(0.4) else {}),
            )
        )  # fmt: skip
    return injections


@pytest.mark.parametrize("number", range(30))
@pytest.mark.parametrize("tier", ["gold", "iron"])
def test_every_injection_is_a_candidate_or_passed_over_for_the_reason_of_the_rules(number, tier):
    draw = random_pods.Draw(number)
    view = namespace_view.NamespaceView.of(
        namespace_view.Namespace("demo", {"sidecar-injection": "enabled", "tier": tier}),
        injections(draw),
    )
    labels = draw.choice(LABELS)
    candidate = matching.candidate_of({"metadata": {"labels": labels}}, status_annotation.NOTHING)
    candidates = view.candidates(labels)
    passed = dict(candidates.not_candidates())

    assert [*candidates] == [each for each in view.injections if each not in passed]
    for other, reason in passed.items():
        assert matching.match(other, candidate, view) is reason
    assert set(candidates.reasons) == set(passed.values())


def test_a_pod_meets_only_the_injections_that_may_select_it():
    many = [
        injection(f"i{number}", selector={"matchLabels": {"n": str(number)}})
        for number in range(100)
    ]
    candidates = namespace_with(*many).candidates({"n": "7", "m": "8"})

    assert [injection.name for injection in candidates] == ["i7"]
    assert candidates.reasons == (Reason.SELECTOR_MISMATCH,)


def test_a_decision_has_a_line_for_every_injection_in_order():
    injections = [
        injection("last", priority=-1),
        injection("never", selector={"matchLabels": {"no": "pod"}}),
        injection("first", priority=1),
    ]
    lines = decided(pod(), *injections).lines

    assert [(line.injection.name, line.reason) for line in lines] == [
        ("first", Reason.INJECTED),
        ("never", Reason.SELECTOR_MISMATCH),
        ("last", Reason.ALREADY_INJECTED),
    ]
