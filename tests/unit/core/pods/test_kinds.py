"""The table of kinds that make pods, and the texts that add to it."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar_injector.core import remedies
from sidecar_injector.core.pods import controllers, kinds, workloads
from sidecar_injector.core.reasons import Reason
from sidecar_injector.kube import api
from tests.kits.samples import injection, pod

TEMPLATE = {"metadata": {"labels": {"app": "web"}}, "spec": pod()["spec"]}
LETTERS = st.text(string.ascii_letters, min_size=1, max_size=8)
STEPS = st.one_of(LETTERS, LETTERS.map("{}[*]".format), st.just("*"))


def build(path, value):
    """The smallest object with the value at the path, in a list for each `EACH`."""
    for step in reversed(path):
        value = [value, value] if step == kinds.EACH else {step: value}
    return value


def manifest(entry, path, value=TEMPLATE):
    return {"apiVersion": f"{entry.group}/v1", "kind": entry.kind,
            "metadata": {"name": "web"}, **build(path, value)}  # fmt: skip


@pytest.mark.parametrize("entry", kinds.CUSTOM.values(), ids=lambda entry: entry.resource)
def test_each_template_of_each_custom_kind_is_found_and_no_guess(entry):
    for path in entry.paths:
        written = manifest(entry, path)
        places = workloads.pod_paths(written)
        assert len(places) == 2 ** path.count(kinds.EACH)
        assert all(workloads.at(written, place) == TEMPLATE for place in places)
        assert not [*workloads.not_understood(written)]
        expected = controllers.expected(written, places[0], TEMPLATE, account=None)
        assert expected.unknown >= set(entry.labels)
        assert not workloads.pod_paths(manifest(entry, path, {"spec": {"containers": [{}]}}))


def test_members_of_a_map_are_templates_of_their_own():
    entry = kinds.CUSTOM["kubeflow.org", "PyTorchJob"]
    roles = {"Master": {"template": TEMPLATE}, "Worker": {"template": TEMPLATE}}
    written = manifest(entry, ("spec", "pytorchReplicaSpecs"), roles)
    assert [workloads.field(path) for path in workloads.pod_paths(written)] == [
        f"spec.pytorchReplicaSpecs.{role}.template" for role in roles
    ]


@pytest.mark.parametrize("kind", ["SidecarSet", "Revision"])
def test_what_only_looks_like_a_pod_is_no_workload(kind):
    (entry,) = (entry for entry in kinds.CUSTOM.values() if entry.kind == kind)
    written = manifest(entry, ("spec",), TEMPLATE["spec"])
    assert workloads.pod_paths(written) == []
    assert [*workloads.not_understood(written)] == []


def test_a_known_kind_with_a_template_in_a_new_place_is_read_as_any_other():
    entry = kinds.CUSTOM["argoproj.io", "Rollout"]
    written = manifest(entry, ("spec", "canary", "template"))
    assert [workloads.field(path) for path in workloads.pod_paths(written)] == [
        "spec.canary.template"
    ]


def test_the_table_has_each_kind_once_and_names_what_makes_it():
    entries = [*kinds.BUILT_IN.values(), *kinds.CUSTOM.values()]
    assert len({entry.resource for entry in entries}) == len(entries)
    of_table = {entry.kind for entry in entries}
    assert all(set(entry.makers) <= of_table for entry in entries)
    assert all(entry.source for entry in kinds.CUSTOM.values())
    assert all(entry.labels for entry in kinds.CUSTOM.values() if entry.paths)
    assert {kind for kind in kinds.BUILT_IN if kind != "PodTemplate"} == set(api.WORKLOADS)


@given(st.lists(STEPS, max_size=6))
def test_a_path_is_read_as_it_is_written(steps):
    text = ".".join(("spec", *steps))
    (entry,) = kinds.from_texts([f"example.com/Foo={text}"])
    (path,) = entry.paths
    written = ".".join(map(str, path)).replace(f".{kinds.EACH}", "[*]")
    assert written == text.replace(".*", "[*]")
    with kinds.declared([entry]):
        places = workloads.pod_paths(manifest(entry, path))
        assert len(places) == 2 ** path.count(kinds.EACH)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("Foo=spec.template", "is not GROUP/KIND=PATH"),
        ("apps/Deployment=spec.template", "the group of a custom kind has a dot"),
        ("v1/Pod=spec", "the group of a custom kind has a dot"),
        ("/Foo=spec.template", "is not GROUP/KIND=PATH"),
        ("example.com/v1/Foo=spec.template", "is not GROUP/KIND=PATH"),
        ("example.com/foo=spec.template", "is not GROUP/KIND=PATH"),
        ("example.com/Foo", "is not GROUP/KIND=PATH"),
        ("example.com/Foo=", "wrong at ''"),
        ("example.com/Foo=spec..template", "wrong at ''"),
        ("example.com/Foo=spec[0].template", "wrong at 'spec[0]'"),
        ("example.com/Foo=spec.a b", "wrong at 'a b'"),
        ("example.com/Foo=spec['a']", "wrong at \"spec['a']\""),
        ("example.com/Foo=spec.0", "wrong at '0'"),
        ("example.com/Foo=/spec/pod", "wrong at '/spec/pod'"),
        ("example.com/Foo=spec.a\nb", "wrong at 'a\\nb'"),
        ("example.com/Foo=metadata.template", "no pod template in metadata"),
        ("example.com/Foo=*.template", "no pod template in *"),
        ("example.com/Foo=" + "a." * 30 + "a", "the path is too long"),
    ],
)
def test_a_mistake_in_a_path_is_named(text, sentence):
    with pytest.raises(kinds.InvalidKindPathError) as caught:
        kinds.from_texts([text])
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    "paths",
    [("spec", "spec.template"), ("spec.a[*]", "spec.a[*].template"), ("spec.*", "spec.a.template")],
)
def test_a_path_into_the_template_of_another_one_is_refused(paths):
    texts = [f"example.com/Foo={path}" for path in paths]
    for order in (texts, texts[::-1]):
        with pytest.raises(kinds.InvalidKindPathError, match="into"):
            kinds.from_texts(order)
    others = ["example.com/Bar=spec.template", "example.com/Foo=spec.b"]
    assert len(kinds.from_texts(["example.com/Foo=spec.a", *others])) == 2


@given(st.text())
def test_any_other_text_is_refused_and_never_an_accident(text):
    with pytest.raises(kinds.InvalidKindPathError):
        kinds.from_texts([text])


def test_a_declared_path_comes_before_the_table_and_ends_with_the_context():
    texts = ["argoproj.io/Rollout=spec.pod", "argoproj.io/Rollout=spec.other"]
    rollout = kinds.CUSTOM["argoproj.io", "Rollout"]
    usual, other = (manifest(rollout, ("spec", key)) for key in ("template", "other"))
    with kinds.declared(kinds.from_texts(texts)):
        assert workloads.pod_paths(usual) == []
        assert [*workloads.not_understood(usual)] == [
            "there is no pod template, with metadata and spec.containers, at spec.pod or spec.other"
        ]
        assert workloads.pod_paths(other) == [("spec", "other")]
        assert kinds.find("apps.kruise.io", "CloneSet")
        with kinds.declared(kinds.from_texts(["example.com/Foo=spec.pod"])):
            assert workloads.pod_paths(other) == [("spec", "other")]
    assert workloads.pod_paths(usual) == [("spec", "template")]


@pytest.mark.parametrize(
    ("group", "kind", "custom"),
    [
        ("apps", "Deployment", ""),
        ("extensions", "ReplicaSet", ""),
        ("apps.kruise.io", "StatefulSet", "apps.kruise.io"),
        ("example.com", "Foo", "example.com"),
        ("", "Pod", ""),
    ],
)
def test_a_kind_of_kubernetes_has_no_custom_group(group, kind, custom):
    assert kinds.custom_group(group, kind) == custom
    entry = kinds.of_owner(custom, kind)
    assert (entry is None) is (kind == "Foo")


@pytest.mark.parametrize(
    "path", ["spec", "spec.pod.spec", "spec.pods", "spec.pods.pod", "spec.nothing"]
)
def test_a_declared_path_to_what_is_no_template_is_named(path):
    (entry,) = kinds.from_texts([f"example.com/Foo={path}"])
    written = manifest(entry, ("spec",), {
        "pod": TEMPLATE, "pods": [TEMPLATE], "nothing": None,
    })  # fmt: skip
    with kinds.declared([entry]):
        assert workloads.pod_paths(written) == []
        (sentence,) = workloads.not_understood(written)
    assert sentence == f"there is no pod template, with metadata and spec.containers, at {path}"


def test_a_template_to_which_several_paths_lead_is_one():
    (entry,) = kinds.from_texts(["example.com/Foo=spec.pod", "example.com/Foo=spec.*"])
    with kinds.declared([entry]):
        written = manifest(entry, ("spec",), {"pod": TEMPLATE, "other": TEMPLATE})
        assert workloads.pod_paths(written) == [("spec", "pod"), ("spec", "other")]


@pytest.mark.parametrize(
    ("group", "kind", "restart", "patch"),
    [
        ("argoproj.io", "Rollout", "rollouts.argoproj.io/web", "rollouts.argoproj.io web"),
        ("apps.kruise.io", "StatefulSet", "statefulsets.apps.kruise.io/web",
         "statefulsets.apps.kruise.io web"),
        ("", "StatefulSet", None, "statefulset web"),
        ("batch.volcano.sh", "Job", "", ""),
        ("batch.volcano.sh", "CronJob", "", ""),
        ("apps.kruise.io", "BroadcastJob", "", ""),
        ("jobset.x-k8s.io", "JobSet", "", ""),
        ("example.com", "Foo", "", ""),
    ],
)  # fmt: skip
def test_commands_are_those_of_the_kind(group, kind, restart, patch):
    subject = remedies.Subject(namespace="demo", kind=kind, name="web", group=group)
    command = remedies.of(Reason.NOT_A_CREATE, subject).command
    usual = "kubectl rollout restart statefulset/web -n demo"
    ours = f"kubectl sidecar-injector restart {restart} -n demo" if restart else ""
    assert command == (usual if restart is None else ours)
    command = remedies.of(Reason.NOT_REQUESTED, subject, injection()).command
    assert command.startswith(f"kubectl patch {patch} -n demo" if patch else "")
    assert bool(command) is bool(patch)
    assert ("--type=merge" in command) is bool(group and patch)
