"""Warnings about two injections that may apply to one pod and set the same part."""

from __future__ import annotations

import pytest

from sidecar_injector import crds, names
from sidecar_injector.core.injections import model, namespace_view
from sidecar_injector.core.linting import overlap
from tests.kits.samples import injection, resource
from tests.kits.validate import quiet, template, warned

PARTS = {
    "container": (
        {"template": template(containers=[quiet(image="a:1")])},
        {"template": template(initContainers=[quiet(image="a:2")])},
    ),
    "volume": (
        {"template": template(volumes=[{"name": "sidecar", "emptyDir": {}}])},
        {"template": template(volumes=[{"name": "sidecar", "emptyDir": {"medium": "Memory"}}])},
    ),
    "serviceAccountName": (
        {"template": template(serviceAccountName="a")},
        {"template": template(serviceAccountName="b")},
    ),
    "label": (
        {"template": {"metadata": {"labels": {"a": "1"}}}},
        {"template": {"metadata": {"labels": {"a": "2"}}}},
    ),
    "annotation": (
        {"template": {"metadata": {"annotations": {"a": "1"}}}},
        {"template": {"metadata": {"annotations": {"a": "2"}}}},
    ),
    "mount": (
        {"template": {}, "applicationContainers": {
            "volumeMounts": [{"name": "a", "mountPath": "/data"}]}},
        {"template": {}, "applicationContainers": {
            "volumeMounts": [{"name": "b", "mountPath": "/data/"}]}},
    ),
    "variable": (
        {"template": {}, "applicationContainers": {"env": [{"name": "A", "value": "1"}]}},
        {"template": {}, "applicationContainers": {"env": [{"name": "A", "value": "2"}]}},
    ),
}  # fmt: skip


@pytest.mark.parametrize("part", PARTS)
def test_a_part_that_another_injection_wants_differently_is_a_warning_that_names_the_loser(part):
    mine, other = PARTS[part]
    competitor = injection("rival", cluster=True, **other)
    (sentence,) = [text for text in warned(competitor, **mine) if "rival" in text]
    assert part in sentence
    assert "cluster/rival also has " in sentence
    assert sentence.endswith(
        "pods that both select get only cluster/rival's (same priority, first as of the cluster)"
    )
    (sentence,) = [text for text in warned(competitor, priority=1, **mine) if "rival" in text]
    assert sentence.endswith("get only this one's (higher priority)")
    competitor = injection("rival", **other)
    (sentence,) = [text for text in warned(competitor, **mine) if "rival" in text]
    assert sentence.endswith("get only this one's (same priority, first by name)")


@pytest.mark.parametrize("part", PARTS)
def test_a_part_that_another_injection_wants_alike_is_no_conflict(part):
    mine, _ = PARTS[part]
    competitor = injection("rival", cluster=True, **mine)
    assert [text for text in warned(competitor, **mine) if "rival" in text] == []


def test_defaults_of_the_api_server_make_no_difference():
    reference = {"fieldPath": "metadata.name"}
    own, other = (
        {"env": [{"name": "A", "valueFrom": {"fieldRef": field}}]}
        for field in (reference, {**reference, "apiVersion": "v1"})
    )
    competitor = injection("rival", cluster=True, template={}, applicationContainers=other)
    texts = warned(competitor, template={}, applicationContainers=own)
    assert not any("rival" in text for text in texts)


@pytest.mark.parametrize(
    ("own", "other", "meet"),
    [
        ({"matchLabels": {"app": "a"}}, {"matchLabels": {"app": "b"}}, False),
        ({"matchLabels": {"app": "a"}}, {"matchLabels": {"app": "a"}}, True),
        ({"matchLabels": {"app": "a"}}, {"matchLabels": {"tier": "b"}}, True),
        ({"matchLabels": {"app": "a"}}, {}, True),
        (("In", ["a", "b"]), ("In", ["c"]), False),
        (("In", ["a", "b"]), ("In", ["b", "c"]), True),
        (("In", ["a"]), ("NotIn", ["a"]), False),
        (("In", ["a", "b"]), ("NotIn", ["a"]), True),
        (("NotIn", ["a"]), ("NotIn", ["b"]), True),
        (("Exists", None), ("DoesNotExist", None), False),
        (("In", ["a"]), ("DoesNotExist", None), False),
        (("NotIn", ["a"]), ("DoesNotExist", None), True),
    ],
    ids=str,
)
def test_selectors_that_exclude_each_other_cause_no_warning(own, other, meet):
    mine, theirs = PARTS["container"]
    competitor = injection("rival", cluster=True, selector=selector(other), **theirs)
    warnings = warned(competitor, selector=selector(own), **mine)
    assert any("rival" in text for text in warnings) is meet


def selector(labels):
    if isinstance(labels, dict):
        return labels
    operator, values = labels
    values = {"values": values} if values else {}
    return {"matchExpressions": [{"key": "app", "operator": operator, **values}]}


def test_injections_of_other_namespaces_are_no_rivals():
    elsewhere = {**resource("rival"), "metadata": {"name": "rival", "namespace": "elsewhere"}}
    competitor = model.read(elsewhere, spec_schema=crds.spec_schema(names.KIND))
    assert not overlap.can_meet(injection(), competitor)
    named = {"matchLabels": {names.NAMESPACE_NAME_LABEL: "elsewhere"}}
    cluster = injection("rival", cluster=True, namespaceSelector=named)
    assert not overlap.can_meet(injection(), cluster)
    assert overlap.can_meet(competitor, cluster)


@pytest.mark.parametrize(
    ("selectors", "labels", "meet"),
    [
        (({"a": "1"}, {}), [{"a": "1"}], True),
        (({"a": "1"}, {}), [{"a": "2"}], False),
        (({"a": "1"}, {"b": "1"}), [{"a": "1"}, {"b": "1"}], False),
        (({"a": "1"}, {"b": "1"}), [{}, {"a": "1", "b": "1"}], True),
        (({"a": "1"}, {"b": "1"}), [], True),
    ],
)
def test_injections_of_the_cluster_meet_only_in_namespaces_that_exist(selectors, labels, meet):
    mine, rival = (
        injection(name, cluster=True, namespaceSelector={"matchLabels": selector}, **part)
        for name, selector, part in zip(("a", "b"), selectors, PARTS["container"], strict=True)
    )
    namespaces = [namespace_view.Namespace(f"n{n}", each) for n, each in enumerate(labels)]
    assert bool(list(overlap.warnings(mine, [rival], namespaces))) is meet


@pytest.mark.parametrize("matches", [True, False])
def test_an_injection_of_a_namespace_meets_what_selects_that_namespace(matches):
    mine, other = PARTS["container"]
    selecting = {"matchLabels": {"team": "a"}}
    rival = injection("rival", cluster=True, namespaceSelector=selecting, **other)
    others = [namespace_view.Namespace("else", {"team": "a"})]
    own = namespace_view.Namespace("demo", {"team": "a" if matches else "b"})
    found = list(overlap.warnings(injection(**mine), [rival], [*others, own]))
    assert bool(found) is matches
    assert bool(list(overlap.warnings(rival, [injection(**mine)], [*others, own]))) is matches


def test_an_injection_is_no_rival_of_its_own_older_version_nor_of_an_idle_one():
    mine, other = PARTS["container"]
    assert warned(injection("log", **other), **mine) == []
    assert warned(injection("rival", suspend=True, **other), **mine) == []
    assert warned(injection("rival", dryRun=True, **other), **mine) == []
    assert warned(injection("rival", dryRun=True, **other), dryRun=True, **mine)
    assert warned(injection("rival", **other), dryRun=True, **mine)


@pytest.mark.parametrize("odd", [
    {"selector": {"matchExpressions": [{}]}},
    {"selector": {"matchExpressions": [{"key": "a", "operator": "In"}]}},
    {"selector": {"matchLabels": ["a"]}},
    {"selector": "text"},
    {"selector": {"matchExpressions": "text"}},
    {"template": "text"},
    {"applicationContainers": "text"},
])  # fmt: skip
def test_a_stored_injection_of_any_shape_does_not_stop_the_judgement_of_another(odd):
    competitor = injection("rival", cluster=True, **odd)

    assert competitor.errors
    assert warned(competitor, **PARTS["container"][0]) == []


def test_an_injection_is_compared_with_few_others_and_says_so():
    mine, other = PARTS["container"]
    count = overlap.MAX_COMPETING + 5
    others = [injection(f"rival-{number}", **other) for number in range(count)]

    texts = warned(*others, **mine)

    assert f"may meet {count} injections" in texts[0]
    assert len(texts) == overlap.MAX_COMPETING + 1


@pytest.mark.parametrize(
    ("own", "other", "meet"),
    [("Linux", "Windows", False), ("Linux", "Linux", True), ("Any", "Windows", True)],
)
def test_injections_for_different_systems_cause_no_warning(own, other, meet):
    mine, theirs = PARTS["label"]
    competitor = injection("rival", cluster=True, operatingSystem=other, **theirs)
    assert bool(warned(competitor, operatingSystem=own, **mine)) is meet


def test_a_port_that_another_injection_opens_too_is_a_warning():
    daprd = injection("a", template=template(containers=[quiet("daprd", ports=PORT)]))
    agent = injection("b", template=template(containers=[quiet("agent", ports=PORT)]))
    setup = injection("c", template=template(initContainers=[quiet("setup", ports=PORT)]))
    (warning,) = overlap.warnings(daprd, [agent, setup])
    assert warning.path == "spec.template.spec.containers[0].ports[0]"
    assert warning.sentence == (
        "port TCP 3500 is also of 'agent' in b: in one pod only one can listen"
    )


PORT = [{"containerPort": 3500}]
