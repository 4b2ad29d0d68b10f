"""What the playground offers of a cluster, which it only reads."""

from __future__ import annotations

import pytest

from sidecar_injector import names
from sidecar_injector.cli.cluster import client
from sidecar_injector.cli.input import yaml_documents
from sidecar_injector.cli.playground import answers, live
from sidecar_injector.kube import api
from tests.kits import cluster as kit
from tests.kits.samples import resource

LAST_APPLIED = {live.LAST_APPLIED: "{}", "team": "blue"}


@pytest.fixture
def fake():
    fake = kit.seeded()
    fake.seed(api.CLUSTER_INJECTIONS, resource("everywhere", cluster=True))
    fake.seed(api.INJECTIONS, {**resource("far"), "metadata": {"name": "far", "namespace": "far"}})
    web = kit.deployment("demo", "web")
    web["metadata"] |= {"annotations": LAST_APPLIED, "managedFields": [{}], "generation": 3}
    fake.seed(api.DEPLOYMENTS, web)
    fake.seed(api.PODS, kit.pod("bare"))
    fake.seed(api.PODS, kit.pod("web-1", owner=("ReplicaSet", "web")))
    return fake


async def test_injections_and_what_nothing_else_has_made_are_offered(fake):
    offered = await live.choices(fake, "demo", {})
    assert offered == {
        "injections": ["all", "SidecarInjection/log", "ClusterSidecarInjection/everywhere"],
        "pods": ["Pod/bare", "Deployment/web"],
        "namespace": "demo",
        "notes": [],
    }


async def test_a_custom_kind_is_offered_with_its_group(fake):
    rollouts = api.Resource("argoproj.io/v1alpha1", "rollouts", "Rollout")
    fake.custom_kinds.append(rollouts)
    fake.seed(rollouts, kit.deployment("demo", "canary"))
    offered = await live.choices(fake, "demo", {})
    assert offered["pods"] == ["Pod/bare", "Deployment/web", "Rollout.argoproj.io/canary"]
    text, _ = await chosen(fake, answers.PODS, offered["pods"][-1])
    assert [each["kind"] for each in yaml_documents.load_all(text)] == ["Namespace", "Rollout"]


async def test_where_there_is_nothing_nothing_is_offered(fake):
    fake.take(api.CLUSTER_INJECTIONS, name="everywhere")
    offered = await live.choices(fake, "empty", {})
    assert (offered["injections"], offered["pods"]) == ([], [])
    assert offered["notes"] == ["namespace empty has neither injections nor workloads"]


async def test_a_kind_that_may_not_be_listed_is_a_note(fake):
    fake.failures["list", "pods"] = [kit.forbidden(api.PODS)]
    offered = await live.choices(fake, "demo", {})
    assert offered["pods"] == ["Deployment/web"]
    (note,) = offered["notes"]
    assert note.endswith(": they are not offered")


async def chosen(fake, editor, choice):
    content = await live.manifests(fake, "demo", {"editor": editor, "choice": choice})
    return content["text"], content["notes"]


async def test_a_workload_comes_as_it_may_have_been_written_after_its_namespace(fake):
    text, notes = await chosen(fake, answers.PODS, "Deployment/web")
    namespace, deployment = yaml_documents.load_all(text)
    assert notes == []
    labels = {names.INJECTION_LABEL: names.ENABLED}
    assert namespace == {
        "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "demo", "labels": labels},
    }  # fmt: skip
    assert [*deployment][:2] == ["apiVersion", "kind"]
    assert deployment["metadata"].keys() == {"name", "namespace", "labels", "annotations"}
    assert deployment["metadata"]["annotations"] == {"team": "blue"}
    assert "status" not in deployment


async def test_metadata_of_which_nothing_is_left_is_not_in_the_text(fake):
    plain = kit.deployment("demo", "web")
    plain["metadata"]["annotations"] = {live.LAST_APPLIED: "{}"}
    fake.seed(api.DEPLOYMENTS, plain)
    text, _ = await chosen(fake, answers.PODS, "Deployment/web")
    _, deployment = yaml_documents.load_all(text)
    assert "annotations" not in deployment["metadata"]


async def test_a_namespace_that_may_not_be_read_is_a_note(fake):
    fake.failures["get", "namespaces"] = [kit.forbidden(api.NAMESPACES)]
    text, (note,) = await chosen(fake, answers.PODS, "Deployment/web")
    assert [each["kind"] for each in yaml_documents.load_all(text)] == ["Deployment"]
    assert note.endswith(": it does not count")


@pytest.mark.parametrize(
    ("choice", "injections"),
    [
        ("all", ["log", "everywhere"]),
        ("SidecarInjection/log", ["log"]),
        ("ClusterSidecarInjection/everywhere", ["everywhere"]),
    ],
)
async def test_injections_come_all_or_one_by_one(fake, choice, injections):
    text, notes = await chosen(fake, answers.INJECTIONS, choice)
    manifests = list(yaml_documents.load_all(text))
    assert [each["metadata"]["name"] for each in manifests] == injections
    assert all([*each][:2] == ["apiVersion", "kind"] for each in manifests)
    assert notes == []


async def test_what_is_chosen_is_decided_about(fake):
    pods, _ = await chosen(fake, answers.PODS, "Pod/bare")
    injections, _ = await chosen(fake, answers.INJECTIONS, "all")
    content = answers.answer({"pods": pods, "injections": injections}, namespace="demo")
    (result,) = content["pods"]
    assert [line["reason"] for line in result["injections"]] == ["Injected", "AlreadyInjected"]


async def test_nothing_is_written(fake):
    before = fake.calls.copy()
    await live.choices(fake, "demo", {})
    for choice in ("Deployment/web", "Pod/bare"):
        await chosen(fake, answers.PODS, choice)
    await chosen(fake, answers.INJECTIONS, "all")
    assert {method for method, _ in fake.calls - before} == {"document", "get", "list"}


@pytest.mark.parametrize(
    ("choice", "sentence"),
    [
        ("Deployment/none", "does not know"),
        ("Secret/token", "'Secret' is not a kind that has pods"),
        ("", "'' is not"),
    ],
)
def test_an_error_of_the_cluster_is_a_note_on_the_page(monkeypatch, fake, choice, sentence):
    texts = {"editor": answers.PODS, "choice": choice}
    with kit.served(monkeypatch, fake):
        content = live.read(client.Address(), "demo", live.manifests, texts)
    (note,) = content["notes"]
    assert sentence in note
    assert content.keys() == {"notes"}
