"""Whatever makes a decision cheaper must not change it: not a line, not a byte of the patch."""

from __future__ import annotations

import collections
import concurrent.futures
import dataclasses
import gc
import sys
import weakref

import pytest

from sidecar_injector import names
from sidecar_injector.core import decide
from sidecar_injector.core.injections import namespace_view
from sidecar_injector.core.merging import render, status_annotation
from sidecar_injector.core.reasons import Reason
from sidecar_injector.core.validity import container as container_rules
from sidecar_injector.core.validity import pod as pod_rules
from tests.kits import broken_pods
from tests.kits.random_pods import SEED, Draw
from tests.kits.samples import NAMESPACE, container, injection, namespace_with, pod

every_size = pytest.mark.parametrize("size", [120, pytest.param(600, marks=pytest.mark.long)])
KEYS, VALUES = ("app", "tier"), ("web", "db", "")


def selector(draw):
    """Of every kind: equal labels, sets, existence, several at once, none."""
    expressions = [
        {"key": draw.choice(KEYS), "operator": "In", "values": draw.some(VALUES) or ["web"]},
        {"key": draw.choice(KEYS), "operator": "NotIn", "values": ["web"]},
        {"key": draw.choice(KEYS), "operator": draw.choice(["Exists", "DoesNotExist"])},
    ]
    return draw.members(
        0.5,
        matchLabels=lambda: {key: draw.choice(VALUES) for key in draw.some(KEYS)},
        matchExpressions=lambda: draw.some(expressions, most=2),
    )


def scene(seed):
    """A pod with some labels, in a namespace with injections that select by them."""
    draw = Draw(seed)
    subject = draw.pod()
    labels = draw.members(0.7, **{key: lambda: draw.choice([*VALUES, None, 7]) for key in KEYS})
    subject["metadata"]["labels"] = (subject["metadata"].get("labels") or {}) | labels
    injections = []
    for number, drawn in enumerate([*draw.injections(), *draw.injections()]):
        spec = {**drawn.spec, "selector": selector(draw)}
        if drawn.is_cluster:
            spec["namespaceSelector"] = selector(draw)
        name = f"{drawn.name}{number}"
        injections.append(injection(name, cluster=drawn.is_cluster, **spec))
    return subject, namespace_with(*injections, app="web")


class Unindexed(namespace_view.NamespaceView):
    """A namespace in which every injection is tried."""

    def candidates(self, _):
        indexes = self.cluster, self.own
        return namespace_view.Candidates(
            tuple(namespace_view.Part(index, index.all, index.all) for index in indexes)
        )


def unindexed(view):
    return Unindexed(namespace=view.namespace, cluster=view.cluster, own=view.own)


def decided(subject, view):
    return decide.decide(namespace_view.PodRequest(namespace=NAMESPACE, pod=subject), view)


def result(decision):
    """Everything that a decision says."""
    lines = [
        dataclasses.replace(line, injection=line.injection.identity) for line in decision.lines
    ]
    fields = ("verdict", "reason", "message", "annotation_findings", "pod", "operations")
    rest = [getattr(decision, field) for field in fields]
    return sorted(lines, key=str), rest, set(decision.reasons)


@every_size
def test_the_index_changes_no_decision(size):
    omitted = collections.Counter()
    for seed in range(SEED, SEED + size):
        subject, view = scene(seed)
        plain, quick = decided(subject, unindexed(view)), decided(subject, view)
        assert result(quick) == result(plain), seed
        omitted.update(line.reason for line in quick.lines if line not in quick.evaluated)
    assert set(omitted) == {Reason.SELECTOR_MISMATCH, Reason.NAMESPACE_SELECTOR_MISMATCH}
    assert min(omitted.values()) > size // 10


@every_size
def test_an_injection_that_has_seen_many_pods_decides_like_one_that_has_seen_none(size):
    injections = [injection for seed in range(SEED, SEED + 40)
                  for injection in Draw(seed).injections()]  # fmt: skip
    for seed in range(SEED, SEED + size):
        used = [injections[index] for index in range(seed % 40, len(injections), 40)]
        fresh = [dataclasses.replace(injection) for injection in used]
        subject = Draw(seed).pod()
        expected = result(decided(subject, namespace_with(*fresh)))
        assert result(decided(subject, namespace_with(*used))) == expected, seed


def test_the_parts_of_a_template_are_made_once_and_die_with_their_injection():
    first = injection(template={"spec": {"containers": [container()]}})
    parts = render.constant(first, "Native")
    assert render.constant(first, "Native") is parts
    assert render.constant(first, "Container") is not parts
    assert render.constant(dataclasses.replace(first), "Native") is not parts
    dead = weakref.ref(first)
    del first
    gc.collect()
    assert dead() is None


@pytest.mark.parametrize(
    ("part", "good", "bad"),
    [
        (
            {"lifecycle": {"preStop": {"sleep": {"seconds": 20}}}},
            {"terminationGracePeriodSeconds": 30},
            {"terminationGracePeriodSeconds": 10},
        ),
        ({"securityContext": {"runAsUser": 1}}, {}, {"os": {"name": "windows"}}),
        ({"securityContext": {"procMount": "Unmasked"}}, {"hostUsers": False}, {"hostUsers": True}),
        (
            {"resizePolicy": [{"resourceName": "cpu", "restartPolicy": "RestartContainer"}]},
            {"restartPolicy": "Always"},
            {"restartPolicy": "Never"},
        ),
        (
            {"resources": {"claims": [{"name": "gpu"}]}},
            {"resourceClaims": [{"name": "gpu", "resourceClaimName": "g"}]},
            {},
        ),
    ],
)
def test_what_was_found_for_one_pod_is_not_held_for_another(part, good, bad):
    template = {"spec": {"containers": [container(**part)]}}
    view = namespace_with(
        injection(sidecarMode="Container", operatingSystem="Any", template=template)
    )
    for fields, reason in [(good, Reason.INJECTED), (bad, Reason.POD_WOULD_BE_INVALID)] * 2:
        (line,) = decided(pod(**fields), view).lines
        assert line.reason is reason, line.message


def test_several_threads_may_decide_with_the_same_injections():
    template = {"spec": {"containers": [container(livenessProbe={"tcpSocket": {"port": 80}})]}}
    view = namespace_with(*(injection(f"i{number}", template=template) for number in range(5)))
    pods = [pod(terminationGracePeriodSeconds=seconds % 100) for seconds in range(400)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with concurrent.futures.ThreadPoolExecutor(8) as threads:
            decisions = list(threads.map(lambda subject: decided(subject, view), pods))
    finally:
        sys.setswitchinterval(interval)
    expected = result(decided(pods[0], view))[1][-1]
    assert len(expected) > 1
    assert all(result(decision)[1][-1] == expected for decision in decisions)


@every_size
def test_what_is_surely_valid_for_a_merge_has_no_problem(size, monkeypatch):
    surely_valid = pod_rules.is_surely_valid
    answers = collections.Counter()

    def checked(*, before, after, precomputed):
        sure = surely_valid(before=before, after=after, precomputed=precomputed)
        answers[sure] += 1
        assert not sure or pod_rules.problem(before=before, after=after) is None
        return sure

    monkeypatch.setattr(pod_rules, "is_surely_valid", checked)
    for seed in range(SEED, SEED + size):
        draw = Draw(seed)
        decided(draw.pod(), namespace_with(*draw.injections()))
        broken = broken_pods.Draw(seed)
        author, _, _ = broken.pair()
        mounts = [{"name": "v", "mountPath": "/v"}]
        containers = [broken.container("s"), container("t", volumeMounts=mounts)]
        template = {"spec": {"containers": containers, "volumes": [broken.volume("v")]}}
        decided(author, namespace_with(injection(template=template)))
    assert min(answers[True], answers[False]) > size // 10


@every_size
def test_a_record_is_never_longer_than_the_estimate_that_saves_its_count(size, monkeypatch):
    most_bytes = status_annotation.Entry.most_bytes
    texts = ("x", "é", "\u2028", "😀", "\x00", "\x7f", '"', "\ud800")
    estimates = collections.Counter()

    def checked(entry, values):
        most = most_bytes(entry, values)
        assert most >= entry.length
        estimates[bool(entry.patched)] += 1
        return most

    monkeypatch.setattr(status_annotation.Entry, "most_bytes", checked)
    for seed in range(SEED, SEED + size):
        draw = Draw(seed)
        subject, injections = draw.pod(), draw.injections()
        text = draw.choice(texts) * draw.choice([1, 5000])
        for own in subject["spec"]["containers"]:
            own["name"] += draw.choice(texts) * 50
        env = {"env": [{"name": f"{text}1", "value": text}], "appendEnv": [
            {"name": "A", "value": text}, {"name": "N", "value": text, "separator": text}
        ]}  # fmt: skip
        metadata = {"annotations": {"k" * 63: text}, "labels": {"k" * 63: text}}
        last = injection("last", template={"metadata": metadata}, applicationContainers=env)
        decided(subject, namespace_with(*injections, last))
    assert min(estimates[True], estimates[False]) > size // 20


MATCHING = {
    "topologyKey": "k",
    "matchLabelKeys": ["l"],
    "labelSelector": {"matchLabels": {"l": "m"}},
}


@pytest.mark.parametrize(
    ("author", "template", "spec"),
    [
        (
            {"affinity": {"podAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": [MATCHING]}}},
            {"metadata": {"labels": {"l": "m"}}},
            {},
        ),
        (
            {"dnsConfig": {"searches": ["a" * 60 + ".b"] * 30}},
            {"spec": {"dnsConfig": {"searches": ["c" * 60 + ".d" * 90, "e" * 60 + ".f" * 60]}}},
            {},
        ),
        (
            {"volumes": [{"name": "v"}],
             "containers": [container("app", volumeMounts=[
                 {"name": "v", "mountPath": "/v", "subPath": "/s"}])]},
            {},
            {"inherit": {"volumeMounts": {}}},
        ),
    ],
)  # fmt: skip
def test_what_comes_besides_items_of_the_template_is_judged_with_the_pod(author, template, spec):
    spec = {"sidecarMode": "Container", **spec}
    containers = {"containers": [container()]}
    good = injection(template={"spec": containers}, **spec)
    whole = {**template, "spec": {**containers, **template.get("spec", {})}}
    (line,) = decided(pod(**author), namespace_with(injection(template=whole, **spec))).lines
    assert line.reason is Reason.POD_WOULD_BE_INVALID, line.message
    (line,) = decided(pod(), namespace_with(good)).lines
    assert line.reason is Reason.INJECTED, line.message


def of_sleeper(template, sleeper, *, seconds):
    context = container_rules.context_of({"terminationGracePeriodSeconds": seconds})
    return template.of_container(sleeper, context, is_init=False)


def test_a_container_is_judged_once_for_all_pods_and_kept_in_bounds():
    sleeper = container(lifecycle={"preStop": {"sleep": {"seconds": 20}}})
    template = container_rules.TemplateProblems([sleeper], ())
    for seconds in range(1000):
        problems = of_sleeper(template, sleeper, seconds=seconds)
        assert bool(list(problems)) is (seconds < 20)
        assert of_sleeper(template, sleeper, seconds=seconds) is problems
    kept = of_sleeper(template, sleeper, seconds=19)
    for seconds in range(1000, 1000 + container_rules.MOST_CONTEXTS):
        of_sleeper(template, sleeper, seconds=seconds)
    assert of_sleeper(template, sleeper, seconds=19) is not kept


def test_a_changed_part_of_a_template_is_judged_again():
    sleeper = container(lifecycle={"preStop": {"sleep": {"seconds": 20}}})
    volume = {"name": "v", "configMap": {"name": "c"}}
    template = container_rules.TemplateProblems([sleeper], [volume])
    assert not list(of_sleeper(template, sleeper, seconds=30))
    assert not list(template.of_volume(volume))
    sleeper["lifecycle"]["preStop"]["sleep"]["seconds"] = 40
    volume["configMap"]["name"] = ""
    assert list(of_sleeper(template, sleeper, seconds=30))
    assert list(template.of_volume(volume))


def test_an_injection_that_requires_another_label_is_not_tried():
    called = []

    def watched(name):
        subject = injection(name, selector={"matchLabels": {"app": name}})
        select = subject.selector
        return dataclasses.replace(
            subject, selector=lambda labels: called.append(name) or select(labels)
        )

    view = namespace_with(*(watched(f"a{number}") for number in range(1000)))
    decision = decided(pod(labels={"app": "a7"}), view)
    assert called == ["a7"]
    assert [line.injection.name for line in decision.injected] == ["a7"]
    assert len(decision.lines) == 1000
    assert {line.reason for line in decision.lines} == {Reason.INJECTED, Reason.SELECTOR_MISMATCH}


@pytest.mark.parametrize("value", [None, 7, [], {}])
def test_a_label_value_that_is_not_text_matches_no_selector(value):
    view = namespace_with(injection(selector={"matchLabels": {"app": "web"}}))
    decision = decided(pod(labels={"app": value, names.APP_NAME_LABEL: "x"}), view)
    assert decision.reasons == [Reason.SELECTOR_MISMATCH]
