"""Every case, the same by core, by command line and by webhook."""

from __future__ import annotations

import base64
import copy
import json
import subprocess
import sys

import click.testing
import jsonpatch
import orjson
import pytest

from sidecar_injector import names
from sidecar_injector.cli import main
from sidecar_injector.cli.input import manifests, yaml_styles
from sidecar_injector.core.merging import transfer
from sidecar_injector.core.pods import controllers, workloads
from sidecar_injector.httpserver import messages
from sidecar_injector.observability.metrics import Metrics
from sidecar_injector.webhook import cluster_state, decision_log, mutate
from tools import cases

ALL = cases.all_cases()
EXIT_STATUS = {True: 1, False: 0}


# A namespace that is not enabled is never asked about: the call itself would prove the contrary.
ASKED = [
    case
    for case in ALL
    if case.namespace_labels.get(names.INJECTION_LABEL, names.ENABLED) == names.ENABLED
]


@pytest.fixture(params=ALL, ids=lambda case: case.folder.name)
def case(request):
    return request.param


def arguments(case):
    known = {names.INJECTION_LABEL: names.ENABLED} | case.namespace_labels
    labels = ",".join(f"{key}={value}" for key, value in known.items())
    return [
        "inject", "-n", cases.NAMESPACE, "--namespace-labels", labels, "--report", "json",
        "-f", str(case.folder / "pod.yaml"), "-i", str(case.folder / "injections.yaml"),
    ]  # fmt: skip


def expected_report(case):
    return json.loads(case.report.read_text())


def has_findings(report):
    verdicts = {line["verdict"] for pod in report["pods"] for line in pod["injections"]}
    return bool(verdicts & {"Skipped", "Refused"})


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
    for namespace in (cases.NAMESPACE, "elsewhere"):
        labels = {names.INJECTION_LABEL: names.ENABLED, names.NAMESPACE_NAME_LABEL: namespace}
        metadata = {"name": namespace, "labels": labels | case.namespace_labels}
        state.namespace_changed(("", namespace), None, {"metadata": metadata})
    for document in manifests.read(str(case.folder / "injections.yaml")):
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


def test_the_expected_files_are_what_make_cases_writes(case):
    expected, report = case.run()
    hint = "run `make cases` and review the difference"
    assert case.expected.read_text() == expected, hint
    assert case.report.read_text() == report, hint


def test_the_command_prints_the_manifests_and_the_report(case):
    result = click.testing.CliRunner().invoke(main.cli, arguments(case))
    assert result.stdout == case.expected.read_text()
    assert json.loads(result.stderr)["pods"] == expected_report(case)["pods"]
    assert result.exit_code == EXIT_STATUS[has_findings(expected_report(case))]


def test_what_comes_out_goes_in_again_without_a_change(case):
    again = [*arguments(case), "-f", str(case.expected)]
    position = again.index(str(case.folder / "pod.yaml"))
    del again[position - 1 : position + 1]
    result = click.testing.CliRunner().invoke(main.cli, again)
    assert result.stdout == case.expected.read_text()


@pytest.mark.parametrize("case", ASKED, ids=lambda case: case.folder.name)
def test_the_webhooks_patch_makes_the_commands_pod(case):
    answering = webhook(case)
    before, after = pods_of(case.folder / "pod.yaml"), pods_of(case.expected)
    verdicts = iter(expected_report(case)["pods"])
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
    tutorial = next(case for case in ALL if case.folder.name == "tutorial")
    command = [sys.executable, "-m", "sidecar_injector", *arguments(tutorial)]
    result = subprocess.run(command, capture_output=True, check=False, timeout=60)
    assert result.returncode == 0
    assert result.stdout.decode() == tutorial.expected.read_text()
    assert json.loads(result.stderr) == expected_report(tutorial)


def test_a_stale_case_is_written_again_and_named(tmp_path, monkeypatch, capsys):
    tutorial = next(case for case in ALL if case.folder.name == "tutorial")
    for file in ("pod.yaml", "injections.yaml"):
        (tmp_path / "tutorial").mkdir(exist_ok=True)
        (tmp_path / "tutorial" / file).write_text((tutorial.folder / file).read_text())
    (tmp_path / "tutorial" / "expected.yaml").write_text("stale")
    monkeypatch.setattr(cases, "FOLDER", tmp_path)

    assert cases.main() == 0
    assert (tmp_path / "tutorial" / "expected.yaml").read_text() == tutorial.expected.read_text()
    assert (tmp_path / "tutorial" / "report.json").read_text() == tutorial.report.read_text()
    assert "tutorial/expected.yaml written" in capsys.readouterr().out
    cases.main()
    assert capsys.readouterr().out.startswith("0 files")


def test_every_kind_that_makes_pods_has_a_case():
    kinds = {
        item.manifest["kind"]
        for case in ALL
        for document in manifests.read(str(case.folder / "pod.yaml"))
        for item in manifests.flattened(document)
    }
    assert {kind for _, kind in workloads.PATHS} <= kinds


def test_only_the_injection_that_is_meant_to_be_broken_is():
    files = [str(case.folder / "injections.yaml") for case in ALL]
    read = [manifests.read_injections([file], namespace=cases.NAMESPACE) for file in files]
    assert {
        injection.name for injections in read for injection in injections if injection.errors
    } == {"broken"}


def test_expected_files_read_as_the_same_values(case):
    documents = manifests.read(str(case.expected))
    contents = [document.manifest for document in documents]
    assert manifests.printed(documents, contents) == case.expected.read_text()
