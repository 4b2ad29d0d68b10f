"""Every case, the same by core, by command line and by webhook."""

from __future__ import annotations

import base64
import copy
import json

import jsonpatch
import orjson
import pytest

from sidecar_injector import names
from sidecar_injector.cli.commands import inject
from sidecar_injector.cli.input import manifests, yaml_styles
from sidecar_injector.core.merging import transfer
from sidecar_injector.core.pods import controllers, workloads
from sidecar_injector.httpserver import messages
from sidecar_injector.observability.metrics import Metrics
from sidecar_injector.webhook import cluster_state, decision_log, mutate
from tests.kits import cases
from tests.kits.cli import process, run

EXIT_STATUS = {True: 1, False: 0}


def namespaces(case):
    """The labels of each namespace."""
    enabled = {names.INJECTION_LABEL: names.ENABLED}
    labels = {cases.NAMESPACE: enabled, "elsewhere": enabled}
    for namespace in inject.namespaces_among(manifests.read(str(case.manifests))).values():
        labels[namespace.name] = namespace.labels
    return labels


# A namespace that is not enabled is never asked about: the call itself would prove the contrary.
ASKED = [
    case
    for case in cases.ALL
    if namespaces(case)[cases.NAMESPACE][names.INJECTION_LABEL] == names.ENABLED
]


@pytest.fixture(params=cases.ALL, ids=lambda case: case.folder.name)
def case(request):
    return request.param


def arguments(case):
    return [
        "inject", "-n", cases.NAMESPACE, "--report", "json", "-f", str(case.manifests),
        "-i", str(case.injections),
    ]  # fmt: skip


def has_findings(pods):
    lines = [line for pod in pods for line in pod["injections"]]
    return any(line["verdict"] in ("Skipped", "Refused") for line in lines)


def pods_of(file):
    """Every pod or template of a file, with its namespace and the pod that is created for it."""
    for document in manifests.read(str(file)):
        for item in manifests.flattened(document):
            for path in workloads.pod_paths(item.manifest):
                metadata = item.manifest.get("metadata") or {}
                namespace = metadata.get("namespace") or cases.NAMESPACE
                template = workloads.at(yaml_styles.plain(item.manifest), path)
                created = controllers.expected(item.manifest, path, template, account=None)
                yield namespace, template, created.pod


def review(pod, namespace):
    admission_request = {
        "uid": "1-2-3",
        "operation": "CREATE",
        "resource": {"group": "", "version": "v1", "resource": "pods"},
        "namespace": namespace,
        "object": pod,
    }
    body = {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": admission_request,
    }
    request = messages.Request(method="POST", path=names.MUTATE_PATH, headers={})
    request.body = orjson.dumps(body)
    return request


def webhook(case):
    """The webhook's function over caches that hold the case, as the API would have sent it."""
    state = cluster_state.ClusterState(release_namespace=names.PRODUCT)
    for namespace, labels in namespaces(case).items():
        named = labels | {names.NAMESPACE_NAME_LABEL: namespace}
        metadata = {"name": namespace, "labels": named}
        state.namespace_changed(("", namespace), None, {"metadata": metadata})
    for document in manifests.read(str(case.injections)):
        resource = yaml_styles.plain(document.manifest)
        name = resource["metadata"]["name"]
        if resource["kind"] == names.CLUSTER_KIND:
            state.cluster_injection_changed(("", name), None, resource)
        else:
            namespace = resource["metadata"].setdefault("namespace", cases.NAMESPACE)
            state.injection_changed((namespace, name), None, resource)
    return mutate.PodWebhook(
        state=state,
        metrics=Metrics(),
        record_events=lambda pod_response: None,
        log=decision_log.DecisionLog(),
    )


def test_what_comes_out_is_expected(case):
    result = run("test", str(case.folder))
    assert result.exit_code == 0, f"{result.output}\nrun `make cases` and review the difference"
    assert case.pods


def test_the_command_prints_the_manifests_and_the_report(case):
    result = run(*arguments(case))
    assert result.stdout == case.expected.read_text()
    pods = json.loads(result.stderr)["pods"]
    assert [pod["verdict"] for pod in pods] == [pod["verdict"] for pod in case.pods]
    assert result.exit_code == EXIT_STATUS[has_findings(pods)]


def test_what_comes_out_goes_in_again_without_a_change(case):
    again = [*arguments(case), "-f", str(case.expected)]
    position = again.index(str(case.manifests))
    del again[position - 1 : position + 1]
    result = run(*again)
    assert result.stdout == case.expected.read_text()


@pytest.mark.parametrize("case", ASKED, ids=lambda case: case.folder.name)
def test_the_webhooks_patch_makes_the_commands_pod(case):
    answering = webhook(case)
    before, after = pods_of(case.manifests), pods_of(case.expected)
    verdicts = iter(case.pods)
    for (namespace, template, pod), (_, wanted, pod_of_it) in zip(before, after, strict=True):
        response = json.loads(answering.mutate(review(pod, namespace)).body)["response"]
        assert response["allowed"] is (next(verdicts)["verdict"] != "Refused")
        assert transfer.onto_template(template, operations(pod, response)) == wanted

        again = json.loads(answering.mutate(review(pod_of_it, namespace)).body)["response"]
        assert "patch" not in again


def operations(pod, response):
    """The operations of the patch, which apply to the pod."""
    if "patch" not in response:
        return []
    assert response["patchType"] == "JSONPatch"
    patch = json.loads(base64.b64decode(response["patch"], validate=True))
    jsonpatch.apply_patch(copy.deepcopy(pod), patch)
    return patch


def test_the_installed_command_does_the_same_in_a_process_of_its_own():
    (tutorial,) = [case for case in cases.ALL if case.folder.name == "tutorial"]
    result = process(*arguments(tutorial))
    assert result.returncode == 0
    assert result.stdout == tutorial.expected.read_text()
    line = {
        "kind": "SidecarInjection", "name": "nginx", "verdict": "Injected", "reason": "Injected",
        "message": "added: container sidecar-nginx, volume nginx-conf", "remedy": "",
        "command": "", "details": {},
    }  # fmt: skip
    pod = {"namespace": "demo", "kind": "Pod", "name": "alpine", "verdict": "Injected"}
    unused = {"reason": "", "remedy": "", "command": ""}
    assert json.loads(result.stderr)["pods"] == [{**pod, **unused, "injections": [line]}]


def test_every_kind_that_makes_pods_has_a_case():
    kinds = {
        item.manifest["kind"]
        for case in cases.ALL
        for document in manifests.read(str(case.manifests))
        for item in manifests.flattened(document)
    }
    assert {kind for _, kind in workloads.PATHS} <= kinds


def test_only_the_injection_that_is_meant_to_be_broken_is():
    files = [str(case.injections) for case in cases.ALL]
    read = [manifests.read_injections([file], namespace=cases.NAMESPACE) for file in files]
    assert {
        injection.name for injections in read for injection in injections if injection.errors
    } == {"broken"}


def test_expected_files_read_as_the_same_values(case):
    documents = manifests.read(str(case.expected))
    contents = [document.manifest for document in documents]
    assert manifests.printed(documents, contents) == case.expected.read_text()
