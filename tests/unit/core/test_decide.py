"""Which injections a pod gets, and why: the truth table, line by line."""

from __future__ import annotations

import dataclasses

import pytest

from sidecar_injector import names
from sidecar_injector.core import decide
from sidecar_injector.core.injections import namespace_view
from sidecar_injector.core.reasons import Level, PodVerdict, Reason
from tests.kits.samples import (
    NAMESPACE,
    container,
    decided,
    injection,
    namespace_with,
    pod,
    reasons,
)

OURS = names.INJECT_ANNOTATION
TUTORIAL = names.TUTORIAL_INJECT_ANNOTATION


def automatic(name: str = "auto", **spec: object):
    return injection(name, template={"spec": {"containers": [container(name)]}}, **spec)


def on_request(name: str = "asked", **spec: object):
    return automatic(name, activation="OnRequest", **spec)


@pytest.mark.parametrize(
    ("annotations", "automatic_reason", "on_request_reason"),
    [
        ({}, "Injected", "NotRequested"),
        ({OURS: "yes"}, "Injected", "Injected"),
        ({OURS: "TRUE"}, "Injected", "Injected"),
        ({OURS: " y "}, "Injected", "Injected"),
        ({OURS: "on"}, "Injected", "Injected"),
        ({OURS: "1"}, "Injected", "Injected"),
        ({OURS: "auto"}, "Injected", "NotRequested"),
        ({OURS: "asked"}, "Injected", "Injected"),
        ({OURS: "only: auto"}, "Injected", "NotListed"),
        ({OURS: "only: asked"}, "NotListed", "Injected"),
        ({OURS: " ONLY :asked,"}, "NotListed", "Injected"),
        ({OURS: "only:auto,asked"}, "Injected", "Injected"),
        ({OURS: "only: ghost"}, "NotListed", "NotListed"),
        ({OURS: " asked , auto,"}, "Injected", "Injected"),
        ({OURS: "ASKED"}, "Injected", "NotRequested"),
        ({OURS: ""}, "Injected", "NotRequested"),
        ({OURS: "yes,asked"}, "Injected", "NotRequested"),
        ({OURS: "{{ .x }}"}, "Injected", "NotRequested"),
        ({TUTORIAL: "yes"}, "Injected", "Injected"),
        ({TUTORIAL: "asked"}, "Injected", "NotRequested"),
        ({OURS: "auto", TUTORIAL: "yes"}, "Injected", "NotRequested"),
        ({OURS: "auto", TUTORIAL: "no"}, "Injected", "NotRequested"),
        ({TUTORIAL: "only: asked"}, "Injected", "NotRequested"),
        ({OURS: "%", TUTORIAL: "yes"}, "Injected", "Injected"),
    ],
    ids=str,
)
def test_the_annotation_chooses_among_selected_injections(
    annotations, automatic_reason, on_request_reason
):
    decision = decided(pod(annotations=annotations), automatic(), on_request())
    assert reasons(decision) == {"auto": automatic_reason, "asked": on_request_reason}


@pytest.mark.parametrize("word", ["no", "False", "N", "off", "0"])
@pytest.mark.parametrize("key", [OURS, TUTORIAL])
def test_an_annotation_that_says_no_puts_the_pod_out_of_scope(key, word):
    decision = decided(pod(annotations={key: word}), automatic())
    assert (decision.verdict, decision.reason) == (
        PodVerdict.OUT_OF_SCOPE,
        Reason.POD_ANNOTATION_DISABLED,
    )


def test_our_no_wins_over_the_tutorials_yes():
    decision = decided(pod(annotations={OURS: "no", TUTORIAL: "yes"}), automatic())
    assert decision.reason is Reason.POD_ANNOTATION_DISABLED


@pytest.mark.parametrize(
    ("request_changes", "world_changes", "subject", "reason"),
    [
        ({"operation": "UPDATE"}, {}, pod(), Reason.NOT_A_CREATE),
        ({"subresource": "eviction"}, {}, pod(), Reason.NOT_A_CREATE),
        ({"namespace": "kube-system"}, {}, pod(), Reason.NAMESPACE_EXCLUDED),
        ({}, {"release_namespace": NAMESPACE}, pod(), Reason.NAMESPACE_EXCLUDED),
        (
            {},
            {"namespace": namespace_view.Namespace(NAMESPACE, {})},
            pod(),
            Reason.NAMESPACE_NOT_ENABLED,
        ),
        ({}, {}, pod(labels={names.INJECTION_LABEL: "disabled"}), Reason.POD_LABEL_DISABLED),
        ({}, {}, pod(annotations={names.MIRROR_ANNOTATION: "x"}), Reason.MIRROR_POD),
        ({}, {}, pod(labels={names.APP_NAME_LABEL: names.PRODUCT}), Reason.OWN_POD),
    ],
    ids=lambda value: value.value if isinstance(value, Reason) else "",
)
def test_a_pod_out_of_scope_is_left_alone(request_changes, world_changes, subject, reason):
    request = namespace_view.PodRequest(
        **{"namespace": NAMESPACE, "pod": subject, **request_changes}
    )
    decision = decide.decide(
        request, dataclasses.replace(namespace_with(automatic()), **world_changes)
    )
    assert (decision.verdict, decision.reason) == (PodVerdict.OUT_OF_SCOPE, reason)
    assert decision.operations == ()
    assert decision.pod is subject


@pytest.mark.parametrize(
    ("spec", "subject", "reason"),
    [
        (
            {"selector": {"matchLabels": {"app": "db"}}},
            pod(labels={"app": "web"}),
            "SelectorMismatch",
        ),
        ({"selector": {"matchLabels": {"app": "web"}}}, pod(labels={"app": "web"}), "Injected"),
        (
            {
                "selector": {
                    "matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["db"]}]
                }
            },
            pod(),
            "Injected",
        ),
        (
            {"selector": {"matchExpressions": [{"key": "app", "operator": "Exists"}]}},
            pod(),
            "SelectorMismatch",
        ),
        ({"suspend": True}, pod(), "Suspended"),
        ({}, pod(hostNetwork=True), "HostNetwork"),
        ({"hostNetworkPods": "Inject"}, pod(hostNetwork=True), "Injected"),
    ],
)
def test_an_injection_that_does_not_apply_says_why(spec, subject, reason):
    decision = decided(subject, automatic("one", **spec))
    assert reasons(decision) == {"one": reason}


def test_the_cluster_kind_looks_at_the_namespaces_labels():
    log_injection = injection("one", cluster=True, namespaceSelector={"matchLabels": {"tier": "a"}})
    request = namespace_view.PodRequest(namespace=NAMESPACE, pod=pod())
    assert reasons(decide.decide(request, namespace_with(log_injection))) == {
        "cluster/one": "NamespaceSelectorMismatch"
    }
    assert reasons(decide.decide(request, namespace_with(log_injection, tier="a"))) == {
        "cluster/one": "Injected"
    }


def test_a_bare_name_means_the_namespaces_own_injection():
    both = [
        injection("log", template={"spec": {"containers": [container("a")]}}),
        injection("log", cluster=True, template={"spec": {"containers": [container("b")]}}),
    ]
    assert reasons(decided(pod(annotations={OURS: "only: log"}), *both)) == {
        "cluster/log": "NotListed",
        "log": "Injected",
    }
    assert reasons(decided(pod(annotations={OURS: "only: cluster/log"}), *both)) == {
        "cluster/log": "Injected",
        "log": "NotListed",
    }
    for value in ("log", "only: log"):
        asking = pod(annotations={OURS: value})
        assert reasons(decided(asking, both[1])) == {"cluster/log": "Injected"}


def test_injections_are_tried_by_priority_then_cluster_first_then_name():
    order = namespace_with(
        automatic("b"),
        automatic("a"),
        injection("z", cluster=True),
        automatic("last", priority=-1),
        automatic("first", priority=5),
    ).injections
    assert [injection.reference for injection in order] == ["first", "cluster/z", "a", "b", "last"]


def test_a_name_that_does_not_exist_is_reported_and_the_others_are_injected():
    decision = decided(pod(annotations={OURS: "auto,ghost"}), automatic())
    assert decision.verdict is PodVerdict.INJECTED
    assert [(word.reason, word.subject) for word in decision.annotation_findings] == [
        (Reason.UNKNOWN_INJECTION, "ghost")
    ]


@pytest.mark.parametrize(
    "value",
    [
        "",
        ",",
        "yes,no",
        "a b",
        "a/b",
        "x" * 65_536 + "!",
        "a\nb",
        "only:",
        "only: ,",
        "only: yes",
        "only: no",
        "only auto",
        "only: only: auto",
        "auto, only: asked",
        "only" + " " * 65_536 + ":auto",
    ],
)
def test_an_unreadable_annotation_counts_as_absent_and_is_reported(value):
    decision = decided(pod(annotations={OURS: value}), automatic(), on_request())
    assert reasons(decision) == {"auto": "Injected", "asked": "NotRequested"}
    assert [word.reason for word in decision.annotation_findings] == [Reason.INVALID_ANNOTATION]


def test_an_invalid_injection_is_skipped_with_the_field_and_the_others_go_on():
    twice = [{"name": "v", "mountPath": "/v"}, {"name": "v", "mountPath": "/v/"}]
    broken = injection("broken", template={"spec": {"containers": [container(volumeMounts=twice)]}})
    decision = decided(pod(), broken, automatic())
    assert reasons(decision) == {"auto": "Injected", "broken": "Invalid"}
    where = "spec.template.spec.containers[0].volumeMounts[1].mountPath"
    assert where in decision.lines[1].message


def test_fail_refuses_the_pod_and_names_injection_reason_and_remedy():
    parts = {"spec": {"containers": [container("app", image="other")]}}
    clash = injection("app", failurePolicy="Fail", template=parts)
    decision = decided(pod(), clash)
    assert decision.verdict is PodVerdict.REFUSED
    assert decision.operations == ()
    for part in ("SidecarInjection app", "ContainerConflict", "sidecar-injection=disabled"):
        assert part in decision.message


@pytest.mark.parametrize("opt_out", ["Allowed", "Forbidden"])
def test_a_refusal_does_not_teach_the_way_round_an_injection_of_the_cluster(opt_out):
    parts = {"spec": {"containers": [container("app", image="other")]}}
    clash = injection("app", cluster=True, optOut=opt_out, failurePolicy="Fail", template=parts)
    decision = decided(pod(), clash)
    assert decision.verdict is PodVerdict.REFUSED
    assert "Change the pod or the injection" in decision.message
    for word in ("opt", names.INJECTION_LABEL, OURS, "only"):
        assert word not in decision.message.partition("cannot be")[2]


def test_every_reason_has_a_sentence_of_its_own():
    sentences = [reason.sentence for reason in Reason]
    assert len(set(sentences)) == len(sentences)
    assert {reason.level for reason in Reason} == set(Level)
