"""An injection with `spec.dryRun`: all is decided, nothing is changed by it, and it says so."""

from __future__ import annotations

import dataclasses
import json

import pytest

from sidecar_injector import names
from sidecar_injector.core import audit, decide
from sidecar_injector.core.injections import namespace_view
from sidecar_injector.core.limits import namespace_limits
from sidecar_injector.core.merging import budget, status_annotation, uninject
from sidecar_injector.core.reasons import PodVerdict, Reason, Verdict
from tests.kits import limits
from tests.kits.random_pods import SEED, Choices, Draw
from tests.kits.samples import (
    NAMESPACE,
    applied,
    container,
    decided,
    injection,
    namespace_with,
    pod,
    reasons,
)

DISABLED = {names.INJECTION_LABEL: names.DISABLED}
CLASHING = {"template": {"spec": {"containers": [container("app", image="x")]}}}


def line_of(decision, reference="log"):
    return next(line for line in decision.lines if line.injection.reference == reference)


def tried(subject):
    """The injection as a dry run."""
    return dataclasses.replace(subject, spec={**subject.spec, "dryRun": True})


def decided_in(limits, subject, *injections):
    """The decision in a namespace with these limits."""
    view = dataclasses.replace(namespace_with(*injections), limits=limits)
    return decide.decide(namespace_view.PodRequest(namespace=NAMESPACE, pod=subject), view)


def drawn_limits(seed):
    draw = limits.Draw(seed)
    objects = draw.setting().as_live() if draw.sometimes(0.5) else []
    return namespace_limits.of_objects(objects)


def drawn(seed):
    """A pod, injections in effect, and dry runs; some pods were injected by all of them before."""
    draw, choices = Draw(seed), Choices(seed)
    subject, injections = draw.pod(), draw.injections()
    if choices.sometimes(0.2):
        subject["metadata"].setdefault("labels", {}).update(DISABLED)
    policies = [choices.choice(["Ignore", "Ignore", "Ignore", "Fail"]) for _ in injections]
    injections = [
        dataclasses.replace(each, spec={**each.spec, "failurePolicy": policy})
        for each, policy in zip(injections, policies, strict=True)
    ]
    if choices.sometimes(0.5) and (same := draw.injection("one")).kind != injections[0].kind:
        # One name in both kinds: a bare name in the pod's annotation means that of the namespace.
        injections.append(same)
    if choices.sometimes():
        subject = dict(decided(subject, *injections).pod)
    split = choices.randint(0, len(injections) - 1)
    choices.shuffle(injections)
    return subject, injections[:split], injections[split:]


@pytest.fixture(scope="module", params=[400, pytest.param(4000, marks=pytest.mark.long)])
def examples(request):
    return [(seed, *drawn(seed)) for seed in range(SEED, SEED + request.param)]


def test_a_pod_and_its_counts_are_what_they_are_without_dry_runs(examples):
    seen = dict.fromkeys(("changed", "refused", "dry"), 0)
    would = set()
    for seed, subject, in_effect, others in examples:
        dry_runs, limited = [tried(each) for each in others], drawn_limits(seed)
        without = decided_in(limited, subject, *in_effect)
        decision = decided_in(limited, subject, *in_effect, *dry_runs)
        assert json.dumps(decision.pod) == json.dumps(without.pod), seed
        assert decision.operations == without.operations, seed
        assert (decision.verdict, decision.reason) == (without.verdict, without.reason), seed
        lines = [line for line in decision.lines if not line.injection.is_dry_run]
        if decision.verdict is not PodVerdict.OUT_OF_SCOPE:
            assert lines == without.lines, seed
        assert decision.skipped == without.skipped, seed

        counted = [
            (each.identity, state)
            for each, state in audit.states(subject, namespace_with(*in_effect, *dry_runs))
            if not each.is_dry_run
        ]
        before = audit.states(subject, namespace_with(*in_effect))
        assert counted == [(each.identity, state) for each, state in before], seed
        seen["changed"] += bool(without.operations)
        seen["refused"] += without.verdict is PodVerdict.REFUSED
        seen["dry"] += bool(decision.dry_runs)
        would |= {line.would for line in decision.evaluated}
    assert min(seen.values()) > len(examples) // 40, seen
    assert {Reason.LIMIT_RANGE, Reason.RESOURCE_QUOTA} < would


def test_a_dry_run_says_what_it_would_become_if_no_injection_were_a_dry_run(examples):
    would = set()
    for seed, subject, in_effect, others in examples:
        decision = decided(subject, *in_effect, *[tried(each) for each in others])
        if decision.verdict is PodVerdict.REFUSED:
            continue
        dry_lines = [line for line in decision.evaluated if line.injection.is_dry_run]
        wanted = reasons(decided(subject, *in_effect, *others))
        for line in dry_lines:
            reason = wanted.get(line.injection.reference, Reason.INJECTED.value)
            assert (line.would or line.reason).value == reason, seed
            assert line.verdict in (Verdict.DRY_RUN, Verdict.NOT_APPLICABLE), seed
            would.add(line.would)
    assert {Reason.INJECTED, Reason.CONTAINER_CONFLICT, Reason.INJECTION_CONFLICT} < would


def test_nothing_is_added_and_the_line_says_what_would_be():
    decision = applied(pod(), injection(dryRun=True))
    assert decision.verdict is PodVerdict.UNCHANGED
    assert not decision.operations
    assert decision.message == "nothing to inject; dry run: log=Injected"
    line = line_of(decision)
    assert (line.verdict, line.reason, line.would) == (
        Verdict.DRY_RUN, Reason.DRY_RUN, Reason.INJECTED,
    )  # fmt: skip
    assert line.message.startswith(
        "nothing is added, as spec.dryRun is true: otherwise it would be injected (added"
    )
    assert line.remedied is Reason.DRY_RUN


@pytest.mark.parametrize(
    ("policy", "consequence"),
    [("Ignore", "it would be skipped"), ("Fail", "the pod would be refused")],
)
def test_a_dry_run_that_does_not_fit_names_the_reason_and_skips_and_refuses_nothing(
    policy, consequence
):
    decision = applied(pod(), injection(dryRun=True, failurePolicy=policy, **CLASHING))
    assert decision.verdict is PodVerdict.UNCHANGED
    assert decision.skipped == []
    line = line_of(decision)
    assert f"otherwise {consequence} (ContainerConflict: " in line.message
    assert line.would is line.remedied is Reason.CONTAINER_CONFLICT


def test_an_invalid_dry_run_refuses_no_pod():
    broken = injection(dryRun=True, failurePolicy="Fail", template={"spec": {"containers": [{}]}})
    assert broken.errors
    decision = decided(pod(), broken)
    assert decision.verdict is PodVerdict.UNCHANGED
    assert line_of(decision).would is Reason.INVALID


def test_a_dry_run_says_which_others_would_change():
    first = injection("first", dryRun=True, priority=1)
    other = {"spec": {"containers": [container(image="other:1")]}}
    decision = applied(pod(), first, injection(failurePolicy="Fail", template=other))
    assert line_of(decision).verdict is Verdict.INJECTED
    assert line_of(decision, "first").details["others"] == ["log=InjectionConflict"]


def test_the_name_of_a_dry_run_is_known_and_means_nothing_for_others():
    subject = pod(annotations={names.INJECT_ANNOTATION: "log"})
    cluster = injection(cluster=True, activation="OnRequest")
    decision = applied(subject, cluster, injection(dryRun=True))
    assert line_of(decision, "cluster/log").verdict is Verdict.INJECTED
    assert decision.annotation_findings == []
    assert applied(subject, injection(dryRun=True)).annotation_findings == []


def test_one_that_does_not_select_the_pod_has_its_reason():
    elsewhere = injection(dryRun=True, selector={"matchLabels": {"a": "b"}})
    off = injection("off", dryRun=True, suspend=True)
    decision = applied(pod(), elsewhere, off)
    assert reasons(decision) == {"log": "SelectorMismatch", "off": "Suspended"}
    assert decision.message == "nothing to inject"


@pytest.mark.parametrize(
    "fields", [{"labels": DISABLED}, {"annotations": {names.INJECT_ANNOTATION: "no"}}]
)
def test_a_mandatory_dry_run_says_that_the_pod_could_not_opt_out_and_lets_it(fields):
    mandatory = injection(cluster=True, dryRun=True, optOut="Forbidden")
    decision = decided(pod(**fields), mandatory, injection("other"))
    assert not decision.operations
    assert decision.verdict is PodVerdict.OUT_OF_SCOPE
    assert decision.dry_runs == ["cluster/log=Injected"]
    counted = audit.states(pod(**fields), namespace_with(mandatory, injection("other")))
    assert {each.name: state for each, state in counted} == {
        "other": audit.OPTED_OUT, "log": audit.WOULD_INJECT,
    }  # fmt: skip


def test_what_was_added_before_stays_is_counted_and_can_be_removed():
    injected = applied(pod(), injection()).pod
    dry_run = injection(dryRun=True)
    decision = applied(injected, dry_run)
    assert not decision.operations
    assert line_of(decision).would is Reason.ALREADY_INJECTED
    assert [state for _, state in audit.states(injected, namespace_with(dry_run))] == ["injected"]
    assert uninject.uninject(injected) == pod()


def test_pods_of_a_dry_run_miss_the_injection_once_it_is_none():
    subject = applied(pod(), injection(dryRun=True)).pod
    assert status_annotation.read(subject["metadata"]) == status_annotation.NOTHING
    assert injection(dryRun=True).hash == injection().hash
    for spec, wanted in (({"dryRun": True}, audit.WOULD_INJECT), ({}, audit.MISSING)):
        states = audit.states(subject, namespace_with(injection(**spec)))
        assert [state for _, state in states] == [wanted]


def test_the_work_for_a_dry_run_counts_before_a_pod_waits_for_it():
    variables = [{"name": f"E{number}", "value": "x"} for number in range(300)]
    heavy = {"applicationContainers": {"env": variables}}
    subject = pod(containers=[container(name) for name in ("a", "b", "c")])
    request = namespace_view.PodRequest(namespace=NAMESPACE, pod=subject, is_waited_for=True)
    assert decide.decide(request, namespace_with(injection(**heavy))).operations
    with pytest.raises(budget.LongWorkError):
        decide.decide(request, namespace_with(injection(dryRun=True, **heavy)))


def test_a_namespace_without_a_dry_run_has_one_view():
    elsewhere = injection(
        "far", cluster=True, dryRun=True, namespaceSelector={"matchLabels": {"a": "b"}}
    )
    assert namespace_with(injection(), elsewhere).in_effect is None
    assert namespace_with(injection(), elsewhere, a="b").in_effect is not None
