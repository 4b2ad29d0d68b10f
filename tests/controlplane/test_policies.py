"""A compiled policy alone does exactly what `decide` does, or nothing: on the real API server.

POLICY_PODS=5000 is the long run: a few minutes. The control plane is one of its own: policies and
webhooks of other tests would change the pods, too.
"""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import json
import os
import pathlib
import re
from collections.abc import Iterator, Sequence
from concurrent import futures
from typing import Any, Final

import pytest
import yaml

from sidecar_injector import crds, names
from sidecar_injector.core import decision
from sidecar_injector.core.injections import model
from sidecar_injector.core.policies import chain, guard, scope
from sidecar_injector.core.reasons import Reason
from tests.kits import installation, policy_cases, random_pods, samples
from tests.kits import policies as kit
from tools.controlplane import cluster, policies
from tools.crds.__main__ import OPENAPI
from tools.fuzz.pods import campaign, drawing

Json = dict[str, Any]
PODS: Final = int(os.environ.get("POLICY_PODS", "600"))
HALVES: Final = PODS // 3
TEXTS: Final = 60
SETS: Final = max(20, PODS // 50)
PODS_PER_SET: Final = 5
"""Of each of two kinds."""
THREADS: Final = 3
"""Each has one connection: the API server judges while Python decides."""
MOST_DEFERRED: Final = 0.25
LEAST_CHANGED: Final = 0.4
SITUATIONS: Final = {
    "none": {"team": "red"},
    "baseline": {"team": "blue", names.POD_SECURITY_ENFORCE_LABEL: "baseline"},
    "restricted": {names.POD_SECURITY_ENFORCE_LABEL: "restricted"},
}
PLAIN: Final[Json] = {
    "metadata": {"generateName": "a-", "annotations": {names.INJECT_ANNOTATION: "yes"}},
    "spec": {"containers": [{"name": "app", "image": "x", "securityContext": kit.Pods.SECURE}]},
}
MERGE: Final = pathlib.Path(__file__).parents[2] / "docs" / "merge.md"
FENCE: Final = re.compile(r"^```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ERRORS: Final = re.compile(
    r'^apiserver_mutating_admission_policy_check_total\{error_type="(?!no_error)', re.MULTILINE
)


@pytest.fixture(scope="module")
def caller(plane: cluster.ControlPlane) -> Iterator[kit.Caller]:
    with contextlib.closing(kit.Caller(plane)) as caller:
        yield caller


def in_force(plane: cluster.ControlPlane, caller: kit.Caller) -> None:
    """Wait until everything that was installed so far is in force: what comes last is, too."""
    name = installation.unused_name()
    marker = samples.injection(
        "marker", cluster=True, template={"metadata": {"labels": {"m": "1"}}}
    )
    situation = kit.Situation.create(plane, name, [marker])
    kit.wait_in_force(plane, caller, situation.enabled, PLAIN)
    policies.delete(
        plane.client, chain.manifests(situation.chain, name=f"test-{name}", guarded=False)
    )


@pytest.mark.timeout(900)
def test_a_policy_does_what_the_decision_does_or_nothing(
    plane: cluster.ControlPlane, caller: kit.Caller
) -> None:
    openapi = json.loads(plane.kubectl("get", "--raw", OPENAPI).stdout)
    situations = [
        kit.Situation.create(
            plane, name, kit.injections(f"enabled-{name}"), labels=labels,
            annotations={"example.com/center": "c1"},
        )
        for name, labels in SITUATIONS.items()
    ]  # fmt: skip
    in_force(plane, caller)
    tally = kit.Tally()

    def compare(number: int) -> None:
        seed = f"{random_pods.SEED}/{number}"
        # One of eight has any field that the API server knows.
        pod = kit.drawn(openapi, seed) if number % 8 == 3 else kit.Pods(seed).pod()
        kit.compare(caller, situations[number % len(situations)], pod, tally)

    with futures.ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(compare, range(PODS)))
    for situation in situations:
        name = f"test-{situation.enabled.removeprefix('enabled-')}"
        policies.delete(plane.client, chain.manifests(situation.chain, name=name, guarded=False))
    print(f"seed {random_pods.SEED}:", *tally.lines(), sep="\n")  # noqa: T201 - shown on failure
    assert tally.failures == []
    # A policy that defers everything would do nothing wrong.
    accepted = PODS - tally.counts["not accepted without us"]
    assert tally.counts["deferred"] <= MOST_DEFERRED * accepted
    assert tally.counts["equal, changed"] >= LEAST_CHANGED * accepted
    assert not ERRORS.search(plane.kubectl("get", "--raw", "/metrics").stdout)


def examples() -> Iterator[tuple[list[Json], list[Json]]]:
    """Injections and pods of every example in docs/merge.md."""
    for block in FENCE.findall(MERGE.read_text("utf-8")):
        case = yaml.safe_load(block)
        if isinstance(case, dict) and {"injections", "objects"} <= case.keys():
            yield case["injections"], [one for one in case["objects"] if is_pod(one)]


def is_pod(resource: Json) -> bool:
    return resource.get("kind", "Pod") == "Pod" and "containers" in resource.get("spec", {})


def read(resource: Json, namespace: str) -> model.Injection:
    kind = resource.get("kind", names.KIND)
    metadata = {**resource["metadata"], "generation": 1}
    if kind == names.KIND:
        metadata["namespace"] = namespace
    whole = {"kind": kind, "metadata": metadata, "spec": resource["spec"]}
    return model.read(whole, spec_schema=crds.spec_schema(kind))


def test_every_example_of_the_merge_is_done_or_left(
    plane: cluster.ControlPlane, caller: kit.Caller
) -> None:
    tally, situations, left = kit.Tally(), [], []
    for injections, pods in examples():
        name = installation.unused_name()
        wanted = [read(one, f"enabled-{name}") for one in injections]
        situation = kit.Situation.create(plane, name, wanted)
        situations.append((name, situation, pods))
        left += situation.chain.left
    in_force(plane, caller)
    for name, situation, pods in situations:
        for pod in pods:
            metadata = {"generateName": "a-", **pod.get("metadata", {})}
            kit.compare(caller, situation, {**pod, "metadata": metadata}, tally)
        policies.delete(
            plane.client, chain.manifests(situation.chain, name=f"test-{name}", guarded=False)
        )
    reasons = ((one.path, one.why) for one in left)
    print(*tally.lines(), *reasons, sep="\n")  # noqa: T201 - shown on failure
    assert tally.failures == []
    assert tally.counts["equal, changed"] >= 12
    assert len(situations) >= 20
    assert len(left) <= len(situations) // 3


def affinity(*terms: tuple[str, str, list[str]]) -> Json:
    """Nodes that fulfil one of these terms: a key, an operator and values."""
    selected = [
        {"matchExpressions": [{"key": key, "operator": operator, "values": values}]}
        for key, operator, values in terms
    ]
    required = {"nodeSelectorTerms": selected}
    return {
        "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}
    }


def test_a_guard_refuses_what_must_be_there_and_is_not(
    plane: cluster.ControlPlane, caller: kit.Caller
) -> None:
    name = installation.unused_name()
    needed = samples.injection(
        "needed", cluster=True, failurePolicy="Fail", selector={"matchLabels": {"app": "web"}},
        template={"spec": {"containers": [samples.container(image="x/$(injection.name):1")]}},
    )  # fmt: skip
    situation = kit.Situation.create(plane, name, [needed])
    guarded = chain.manifests(situation.chain, name=f"test-{name}", guarded=True)[2:]
    kit.install(plane, guarded, situation.enabled)
    pod = {**PLAIN, "metadata": {"generateName": "a-", "labels": {"app": "web"}}}
    # The name is taken by another container, so the policy cannot do it.
    in_the_way = {"name": "sidecar", "image": "other"}
    conflicting = {**pod, "spec": {"containers": [in_the_way]}}

    def is_refused() -> bool:
        status, _ = caller.pod(situation.enabled, conflicting)
        return status == http.client.UNPROCESSABLE_ENTITY

    plane.wait("the guard is in force", is_refused)
    kit.wait_in_force(plane, caller, situation.enabled, pod)
    _, answer = caller.pod(situation.enabled, conflicting)
    assert "ClusterSidecarInjection cluster/needed is required" in answer["message"]
    assert "the pod lacks sidecar" in answer["message"]
    requests = [
        {**pod, "metadata": {**pod["metadata"], "annotations": {names.INJECT_ANNOTATION: text}}}
        for text in ("no", "\x1cno", "needed," * 1300)
    ]
    windows = [{"os": {"name": "windows"}}, {"nodeSelector": {"kubernetes.io/os": "windows"}}]
    windows += [affinity(("kubernetes.io/os", operator, values)) for operator, values in (
        ("In", ["windows"]), ("NotIn", ["linux"]), ("DoesNotExist", []))]  # fmt: skip
    linux = [
        affinity(("kubernetes.io/os", "In", ["linux"])), affinity(("zone", "In", ["a"])),
        affinity(("kubernetes.io/os", "In", ["windows"]), ("beta.kubernetes.io/os", "Exists", [])),
    ]  # fmt: skip
    plain = {"containers": [{"name": "app", "image": "x"}]}
    elsewhere = [{**pod, "spec": {**plain, **fields}} for fields in windows]
    for other in (pod, PLAIN, *requests, *elsewhere):
        status, _ = caller.pod(situation.enabled, other)
        assert status == http.client.CREATED, other
    for fields in linux:
        status, _ = caller.pod(
            situation.enabled, {**conflicting, "spec": {**conflicting["spec"], **fields}}
        )
        assert status == http.client.UNPROCESSABLE_ENTITY, fields
    policies.delete(plane.client, [*chain.manifests(
        situation.chain, name=f"test-{name}", guarded=False), *guarded])  # fmt: skip


def test_a_guard_knows_what_is_merged_into_by_its_name(
    plane: cluster.ControlPlane, caller: kit.Caller
) -> None:
    name = installation.unused_name()
    needed = samples.injection("needed", cluster=True, failurePolicy="Fail", onConflict="Merge")
    situation = kit.Situation.create(plane, name, [needed])
    guarded = chain.manifests(situation.chain, name=f"test-{name}", guarded=True)[2:]
    kit.install(plane, guarded, situation.enabled)
    # The policy leaves it alone.
    for_linux = affinity(("kubernetes.io/os", "In", ["linux"]))
    lacking = {**PLAIN, "spec": {**PLAIN["spec"], **for_linux}}
    plane.wait(
        "the guard is in force",
        lambda: caller.pod(situation.enabled, lacking)[0] == http.client.UNPROCESSABLE_ENTITY,
    )
    merged = {**PLAIN, "spec": {"containers": [{"name": "sidecar", "image": "other"}]}}
    status, _ = caller.pod(situation.enabled, merged)
    assert status == http.client.CREATED
    policies.delete(plane.client, [*chain.manifests(
        situation.chain, name=f"test-{name}", guarded=False), *guarded])  # fmt: skip


def test_a_policy_and_its_guard_mean_the_pods_of_the_webhook(
    plane: cluster.ControlPlane, caller: kit.Caller
) -> None:
    name = installation.unused_name()
    place = chain.Place(scope=scope.Scope(
        namespaces={"matchLabels": {"stage": "new"}},
        pods={"matchExpressions": [{"key": "tier", "operator": "In", "values": ["web"]}]},
        conditions=(
            scope.NOT_A_MIRROR_POD,
            {"name": "not-of-the-ci", "expression": "!('ci' in object.metadata.labels) // yet"},
            {"name": "not-batch", "expression": "object.metadata.labels['tier'] != 'batch'"},
        ),
    ))  # fmt: skip
    needed = samples.injection("needed", cluster=True, failurePolicy="Fail")
    situation = kit.Situation.create(plane, name, [needed], labels={"stage": "new"}, place=place)
    guarded = chain.manifests(situation.chain, name=f"test-{name}", guarded=True)[2:]
    elsewhere = f"elsewhere-{name}"
    plane.create_namespace(elsewhere, labels={names.INJECTION_LABEL: names.ENABLED})
    kit.install(plane, guarded)

    def answer(namespace: str, *, image: str = "x", mirror: bool = False, **labels: str) -> Any:
        metadata: Json = {"name": "a", "labels": labels}
        if mirror:
            metadata["annotations"] = {names.MIRROR_ANNOTATION: "x"}
        # The name is taken by another container, so the policy cannot do it.
        spec = {"containers": [{"name": "sidecar" if image == "other" else "app", "image": image}]}
        if mirror:
            spec |= {"nodeName": "node", "automountServiceAccountToken": False}
        status, body = caller.pod(namespace, {"metadata": metadata, "spec": spec})
        is_created = status == http.client.CREATED
        return len(body["spec"]["containers"]) if is_created else body["message"]

    plane.wait(
        "the guard is in force",
        lambda: "is required" in str(answer(situation.enabled, image="other", tier="web")),
    )
    marked = {"metadata": {"generateName": "a-", "labels": {"tier": "web"}}, "spec": PLAIN["spec"]}
    kit.wait_in_force(plane, caller, situation.enabled, marked)
    assert answer(situation.enabled, tier="web") == 2, "the sidecar is added"
    for image in ("x", "other"):
        assert answer(situation.enabled, image=image) == 1, "without the label"
        assert answer(situation.enabled, image=image, tier="web", ci="x") == 1
        assert answer(elsewhere, image=image, tier="web") == 1
        assert answer(situation.enabled, image=image, tier="web", mirror=True) == 1
    policies.delete(plane.client, [*chain.manifests(
        situation.chain, name=f"test-{name}", guarded=False), *guarded])  # fmt: skip


@pytest.mark.timeout(600)
def test_the_webhook_completes_what_a_policy_has_begun(
    plane: cluster.ControlPlane, caller: kit.Caller
) -> None:
    """Half of the injections are compiled: the pod has the same parts as with the webhook alone."""
    every = kit.injections("enabled-halves")
    situation = kit.Situation.create(
        plane, "halves", every[::2], labels=SITUATIONS["none"],
        annotations={"example.com/center": "c1"},
    )  # fmt: skip
    kit.wait_in_force(plane, caller, situation.enabled, PLAIN)
    changed = 0
    for number in range(HALVES):
        pod = kit.Pods(f"{random_pods.SEED}/halves/{number}").pod()
        status, bare = caller.pod(situation.plain, pod)
        if status != http.client.CREATED:
            continue
        _, begun = caller.pod(situation.enabled, pod)
        alone, after = (
            situation.decide(kit.cleaned(each), every) for each in (bare, begun)
        )  # fmt: skip
        changed += kit.cleaned(bare) != kit.cleaned(begun)
        assert reasons(after) == reasons(alone), pod
        wanted, got = (
            unordered(kit.cleaned(caller.pod(situation.plain, dict(made.pod))[1]))
            for made in (alone, after)
        )
        assert [*kit.differences(wanted, got)] == [], pod
    assert changed >= HALVES // 2
    policies.delete(
        plane.client, chain.manifests(situation.chain, name="test-halves", guarded=False)
    )  # fmt: skip


def reasons(made: decision.Decision) -> dict[str, str]:
    """What each injection has become, as after a first call of the webhook."""
    found = {line.injection.name: line.reason for line in made.lines}
    done = {Reason.INJECTED, Reason.ALREADY_INJECTED}
    return {name: "done" if each in done else each.value for name, each in found.items()}


UNORDERED: Final = {"volumes", "volumeMounts", "env", "envFrom", "tolerations"}


def unordered(value: Any, key: str = "") -> Any:
    """A pod without the order of what was added, and without what is recorded about it."""
    if isinstance(value, dict):
        return {
            name: unordered(member, name)
            for name, member in value.items()
            if not name.startswith(f"{names.GROUP}/")
        }
    if isinstance(value, list):
        items = [unordered(item) for item in value]
        return sorted(items, key=json.dumps) if key in UNORDERED else items
    return sorted(value.split(",")) if key == names.SAFE_TO_EVICT_ANNOTATION else value


@pytest.mark.timeout(600)
def test_random_injections_are_compiled_right_or_not_at_all(
    plane: cluster.ControlPlane, caller: kit.Caller
) -> None:
    with contextlib.closing(campaign.Campaign(plane, seed=random_pods.SEED)) as drawn:
        situations = []
        for number in range(SETS):
            name = f"set-{number}"
            few = random_pods.Draw(f"{random_pods.SEED}/{number}")
            of_schema = [read(one, f"enabled-{name}") for one in drawn.injections(number)]
            of_few = [
                dataclasses.replace(one, namespace=None if one.is_cluster else f"enabled-{name}")
                for one in (few.injection("few-1"), few.injection("few-2"))
            ]
            wanted = [*of_schema, *of_few]
            situations.append((name, kit.Situation.create(plane, name, wanted)))
        in_force(plane, caller)
        tally = kit.Tally()
        for number, (name, situation) in enumerate(situations):
            for pod in pods_of_both_kinds(drawn.openapi, f"{random_pods.SEED}/{number}"):
                kit.compare(caller, situation, pod, tally)
            installed = chain.manifests(situation.chain, name=f"test-{name}", guarded=False)
            policies.delete(plane.client, installed)
    compiled = sum(len(situation.chain.compiled) for _, situation in situations)
    print(compiled, *tally.lines(), sep="\n")  # noqa: T201 - shown on failure
    assert tally.failures == []
    assert compiled >= SETS
    assert tally.counts["equal, changed"] >= SETS


def pods_of_both_kinds(openapi: Json, seed: str) -> Iterator[Json]:
    """Pods with few names, which meet the injections, and pods with any field."""
    for number in range(PODS_PER_SET):
        few = random_pods.Draw(f"{seed}/few/{number}").pod()
        metadata = {"generateName": "a-", **few["metadata"]}
        metadata.pop("namespace", None)
        yield {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": few["spec"]}
        yield drawing.Draw(openapi, f"{seed}/any/{number}").pod()


def test_what_few_pods_have_is_decided_as_the_webhook_does_or_left(
    plane: cluster.ControlPlane, caller: kit.Caller
) -> None:
    situations = {}
    for case in policy_cases.CASES:
        name, wanted = installation.unused_name(), policy_cases.CASES[case].injections
        labels = policy_cases.CASES[case].labels
        situations[case] = name, kit.Situation.create(plane, name, wanted, labels=labels)
    in_force(plane, caller)
    outcomes = {}
    for case, (name, situation) in situations.items():
        tally = kit.Tally()
        kit.compare(caller, situation, policy_cases.CASES[case].pod, tally)
        outcomes[case] = [*tally.counts]
        policies.delete(
            plane.client, chain.manifests(situation.chain, name=f"test-{name}", guarded=False)
        )
    assert outcomes == {name: [case.comes_to] for name, case in policy_cases.CASES.items()}


@contextlib.contextmanager
def situation_of(
    plane: cluster.ControlPlane, caller: kit.Caller, wanted: Sequence[model.Injection]
) -> Iterator[kit.Situation]:
    """A policy of these injections, while it is in force."""
    name = installation.unused_name()
    situation = kit.Situation.create(plane, name, wanted)
    kit.wait_in_force(plane, caller, situation.enabled, PLAIN)
    yield situation
    policies.delete(
        plane.client, chain.manifests(situation.chain, name=f"test-{name}", guarded=False)
    )


def check_outcome(
    caller: kit.Caller, situation: kit.Situation, pod: kit.Json, *, what: str
) -> None:
    tally = kit.Tally()
    kit.compare(caller, situation, pod, tally)
    assert tally.counts == {what: 1}, tally.failures


@pytest.mark.parametrize(
    ("annotation", "what"),
    [
        (names.INJECT_ANNOTATION, "equal, changed"),
        (names.TUTORIAL_INJECT_ANNOTATION, "equal, changed"),
        ("example.com/inject", "equal, unchanged"),
    ],
)
def test_a_pod_asks_in_each_way_that_the_webhook_knows(
    plane: cluster.ControlPlane, caller: kit.Caller, annotation: str, what: str
) -> None:
    """Where all injections wait for a request, a condition of the policy looks for it first."""
    waiting = samples.injection("waiting", cluster=True, activation="OnRequest")
    with situation_of(plane, caller, [waiting]) as situation:
        metadata = {"generateName": "a-", "annotations": {annotation: "yes"}}
        check_outcome(caller, situation, {**PLAIN, "metadata": metadata}, what=what)


def test_names_that_many_namespaces_have_are_left_to_the_webhook(
    plane: cluster.ControlPlane, caller: kit.Caller
) -> None:
    waiting = samples.injection("waiting", cluster=True, activation="OnRequest")
    own = samples.injection("waiting", suspend=True)
    shadowing = [
        dataclasses.replace(own, namespace=f"n{number}")
        for number in range(guard.MOST_NAMESPACES + 1)
    ]
    with situation_of(plane, caller, [waiting, *shadowing]) as situation:
        for text, what in (("waiting", "deferred"), ("cluster/waiting", "equal, changed")):
            metadata = {"generateName": "a-", "annotations": {names.INJECT_ANNOTATION: text}}
            check_outcome(caller, situation, {**PLAIN, "metadata": metadata}, what=what)


def test_a_pod_with_many_claims_is_as_much_work_as_for_the_webhook(
    plane: cluster.ControlPlane, caller: kit.Caller
) -> None:
    wanted = [
        samples.injection(f"i{number:02}", cluster=True, template={
            "spec": {"containers": [samples.container(f"c{number}")]}})
        for number in range(13)
    ]  # fmt: skip
    claims = [{"name": "c", "request": f"r{number}"} for number in range(32)]
    containers = [
        {"name": f"k{number}", "image": "x", "resources": {"claims": claims}}
        for number in range(20)
    ]
    spec = {"containers": containers, "resourceClaims": [{"name": "c", "resourceClaimName": "x"}]}
    with situation_of(plane, caller, wanted) as situation:
        pod = {"metadata": {"generateName": "a-"}, "spec": spec}
        check_outcome(caller, situation, pod, what="deferred")


def test_any_text_arrives_as_it_was_written(
    plane: cluster.ControlPlane, caller: kit.Caller
) -> None:
    draw = random_pods.Choices(random_pods.SEED)
    alphabet = [
        *map(chr, (*range(0x20, 0x7F), 0x85, 0xA0, 0xE9, 0x2028, 0xFEFF, 0xFFFF, 0x1F600)),
        *"\t\n\r\x01\x1f\x7f", '"', "'", "\\", "\\u0041", "\\x41", "$(A)", "$$", "%s", "{{", '"""',
        'r"', "variables.go", "\\\n", "\\'",
    ]  # fmt: skip
    texts = ["".join(draw.choices(alphabet, k=draw.randint(0, 12))) for _ in range(TEXTS)]
    container = {
        "name": "texts", "image": "x", "args": texts,
        "env": [{"name": f"V{index}", "value": text} for index, text in enumerate(texts)],
    }  # fmt: skip
    annotations = {f"example.com/{index}": text for index, text in enumerate(texts)}
    template = {"metadata": {"annotations": annotations}, "spec": {"containers": [container]}}
    injection = samples.injection("texts", cluster=True, template=template)
    assert injection.errors == ()
    name = installation.unused_name()
    situation = kit.Situation.create(plane, name, [injection])
    assert situation.chain.left == ()
    kit.wait_in_force(plane, caller, situation.enabled, PLAIN)
    tally = kit.Tally()
    kit.compare(caller, situation, PLAIN, tally)
    assert tally.counts == {"equal, changed": 1}, tally.failures
    policies.delete(
        plane.client, chain.manifests(situation.chain, name=f"test-{name}", guarded=False)
    )
