"""What files do not say: which injections are left to the webhook, and what is noted."""

from __future__ import annotations

import functools
import json
from typing import Any

import pytest

from sidecar_injector import names
from sidecar_injector.core.pods import controllers
from tests.kits import cli as kit
from tests.kits.samples import container, pod, resource

SPEC = pod()["spec"]
TEMPLATE = {"metadata": {"labels": {"app": "web"}}, "spec": SPEC}


def workload(version: str, kind: str, **spec: Any) -> dict[str, Any]:
    spec = {"template": TEMPLATE, **spec}
    return {
        "apiVersion": version, "kind": kind, "metadata": {"name": "web", "namespace": "demo"},
        "spec": {"jobTemplate": {"spec": spec}} if kind == "CronJob" else spec,
    }  # fmt: skip


STATEFUL_SET = workload("apps/v1", "StatefulSet")
JOB, CRON_JOB = workload("batch/v1", "Job"), workload("batch/v1", "CronJob")
INDEX = "apps.kubernetes.io/pod-index"


@pytest.fixture
def run(tmp_path):
    """`inject --report json` in a folder of the test's own: reasons by injection, and notes."""

    def on_files(pods, *injections, arguments=()):
        result = kit.on_files(
            tmp_path, "inject", pods, "--report", "json", *arguments, injections=list(injections)
        )
        report = json.loads(result.stderr)
        lines = [line for subject in report["pods"] for line in subject["injections"]]
        return {line["name"]: line["reason"] for line in lines}, report.get("notes", [])

    return on_files


def reading(key: str, *, source: str = "podLabel", **fields: Any) -> dict[str, Any]:
    parameter = {"name": "p", "from": {source: key}, **fields}
    template = {"spec": {"containers": [container(args=["$(params.p)"])]}}
    return resource(parameters=[parameter], template=template)


@pytest.mark.parametrize(
    ("manifest", "injection", "key"),
    [
        (STATEFUL_SET, resource(selector={"matchLabels": {INDEX: "0"}}), INDEX),
        (STATEFUL_SET, resource(selector={"matchExpressions": [
            {"key": INDEX, "operator": "NotIn", "values": ["0"]}]}), INDEX),
        (STATEFUL_SET, reading(INDEX), INDEX),
        (STATEFUL_SET, reading(INDEX, default="x"), INDEX),
        (CRON_JOB, reading("job-name"), "job-name"),
        (workload("batch/v1", "Job", completionMode="Indexed"),
         reading(controllers.COMPLETION_INDEX, source="podAnnotation"),
         controllers.COMPLETION_INDEX),
    ],
)  # fmt: skip
def test_what_depends_on_a_value_that_only_the_cluster_knows_is_left_to_the_webhook(
    run, manifest, injection, key
):
    reasons, notes = run(manifest, injection, resource("other"))
    assert reasons == {"other": "Injected"}
    (note,) = notes
    assert note.endswith(
        f"log depends on {key!r}, whose value only the cluster knows: it is left to the webhook"
    )


def test_an_injection_that_is_left_to_the_webhook_is_known_by_its_name(tmp_path):
    annotated = {
        **TEMPLATE["metadata"],
        "annotations": {"sidecar-injector.dev/inject": "log,ghost"},
    }
    manifest = workload("apps/v1", "StatefulSet", template={**TEMPLATE, "metadata": annotated})
    injection = resource(selector={"matchLabels": {INDEX: "0"}})
    result = kit.on_files(tmp_path, "inject", manifest, injections=injection)
    unknown, remedy, note = result.stderr.splitlines()
    assert remedy.startswith("  → ")
    assert "UnknownInjection" in unknown
    assert "'ghost'" in unknown
    assert note.startswith("note: demo/StatefulSet/web: log depends on ")


@pytest.mark.parametrize(
    ("manifest", "injection", "reason"),
    [
        (STATEFUL_SET, resource(selector={"matchExpressions": [
            {"key": INDEX, "operator": "Exists"}]}), "Injected"),
        (STATEFUL_SET, resource(selector={"matchExpressions": [
            {"key": INDEX, "operator": "DoesNotExist"}]}), "SelectorMismatch"),
        (STATEFUL_SET, resource(selector={"matchLabels": {INDEX: "0", "app": "db"}}),
         "SelectorMismatch"),
        (STATEFUL_SET, resource(suspend=True, selector={"matchLabels": {INDEX: "0"}}),
         "SelectorMismatch"),
        (JOB, resource(selector={"matchLabels": {"job-name": "web"}}), "Injected"),
        (JOB, resource(selector={"matchLabels": {"job-name": "other"}}), "SelectorMismatch"),
        (JOB, reading("batch.kubernetes.io/job-name"), "Injected"),
    ],
)  # fmt: skip
def test_what_can_be_decided_is_decided(run, manifest, injection, reason):
    reasons, notes = run(manifest, injection)
    assert notes == []
    assert reasons == {"log": reason}


def test_a_default_in_place_of_an_annotation_of_the_namespace_is_noted(run):
    injection = reading("team", source="namespaceAnnotation", default="x")
    reasons, (note,) = run(STATEFUL_SET, injection)
    assert reasons == {"log": "Injected"}
    assert note.endswith(
        "log reads the annotation 'team' of the namespace, which is in no file: the default counts"
    )


@pytest.mark.parametrize(
    ("spec", "noted"), [({}, True), ({"imagePullSecrets": [{"name": "own"}]}, False)]
)
def test_the_pull_secrets_of_an_account_that_no_longer_come_are_noted(run, spec, noted):
    author = kit.placed()
    author["spec"] |= spec
    wants = resource(template={"spec": {"imagePullSecrets": [{"name": "ours"}]}})
    reasons, notes = run(author, wants)
    assert reasons == {"log": "Injected"}
    assert [note.partition(": ")[2] for note in notes] == [
        (
            "the manifest has imagePullSecrets now, so the pod no longer gets those of the"
            " ServiceAccount 'default': name them in the manifest if it has any"
        )
    ] * noted


TOKEN = resource(
    template={"spec": {"volumes": [{"name": "none", "emptyDir": {}}]}},
    applicationContainers={"volumeMounts": [{"name": "none", "mountPath": names.TOKEN_PATH}]},
)


def test_a_service_account_among_the_manifests_counts(run):
    reasons, (note,) = run(kit.placed(), TOKEN)
    assert reasons == {"log": "MountPathConflict"}
    assert "would fit if the ServiceAccount had automountServiceAccountToken: false" in note
    account = {
        "apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": {"name": "default", "namespace": "demo"},
    }  # fmt: skip
    assert run([kit.placed(), account], TOKEN) == ({"log": "MountPathConflict"}, [])
    account["automountServiceAccountToken"] = False
    for listed in ([kit.placed(), account], {"apiVersion": "v1", "kind": "List", "items": [
            account, kit.placed()]}):  # fmt: skip
        assert run(listed, TOKEN) == ({"log": "Injected"}, [])
    account["metadata"]["namespace"] = "elsewhere"
    assert run([kit.placed(), account], TOKEN)[0] == {"log": "MountPathConflict"}


def test_a_claim_of_a_stateful_set_is_a_volume(run):
    claims = [{"metadata": {"name": "data"}, "spec": {}}]
    manifest = workload("apps/v1", "StatefulSet", volumeClaimTemplates=claims)
    mounts = [{"name": "data", "mountPath": "/data"}]
    backup = resource(template={"spec": {"containers": [container(volumeMounts=mounts)]}})
    assert run(manifest, backup) == ({"log": "Injected"}, [])
    assert run(STATEFUL_SET, backup) == ({"log": "MissingVolume"}, [])


MISSPELT = workload("v1", "Deployment")
NAMELESS = workload("serving.knative.dev/v1", "Service", template={
    "spec": {"containers": [{"image": "app:1"}]}})  # fmt: skip


@pytest.mark.parametrize("verb", ["inject", "explain", "diff", "uninject"])
def test_what_may_be_a_mistake_is_named_on_stderr(tmp_path, verb):
    injections = None if verb == "uninject" else kit.INJECTION
    result = kit.on_files(tmp_path, verb, [MISSPELT, NAMELESS], injections=injections)
    assert result.exit_code == 0
    path = tmp_path / "pods.yaml"
    assert result.stderr.splitlines() == [
        (
            f"note: {path}, document 1: Deployment/web: apiVersion v1 has no kind Deployment that"
            " makes pods"
        ),
        (
            f"note: {path}, document 2: Service/web: spec.template.spec looks like a pod, and is no"
            " pod template: it is left as it is"
        ),
    ]


def test_every_template_of_a_custom_resource_is_injected(tmp_path):
    manifest = {
        "apiVersion": "example.com/v1", "kind": "Training", "metadata": {"name": "x"},
        "spec": {"leaderTemplate": TEMPLATE, "roles": [{"template": TEMPLATE}]},
    }  # fmt: skip
    inject = functools.partial(kit.on_files, tmp_path, "inject")
    result = inject(manifest, "-n", "demo", "--report")
    path = tmp_path / "pods.yaml"
    assert result.stderr.splitlines() == [
        *["demo/Training/x log Injected added: container sidecar"] * 2,
        *(
            f"note: {path}, document 1: Training/x: spec.{field} is taken for a pod template"
            for field in ("leaderTemplate", "roles[0].template")
        ),
    ]
    assert result.stdout.count("name: sidecar\n") == 2
