"""The command `krm`: a ResourceList in, a ResourceList out, findings as results."""

from __future__ import annotations

import copy

import pytest
import yaml

from sidecar_injector.cli import main
from tests.kits import cli as kit
from tests.kits.cli import INJECTION, clashing, placed
from tests.kits.samples import resource

ORCHESTRATED = {
    "config.kubernetes.io/index": "0",
    "config.kubernetes.io/path": "pods.yaml",
    "internal.config.kubernetes.io/id": "1",
    "internal.config.kubernetes.io/path": "pods.yaml",
    "kustomize.config.k8s.io/id": "kind: Pod\nname: web\n",
}


def resource_list(*items, **fields):
    head = {"apiVersion": "config.kubernetes.io/v1", "kind": "ResourceList"}
    return head | {"items": list(items)} | fields


def krm(content, *arguments):
    text = content if isinstance(content, str) else yaml.safe_dump(content, sort_keys=False)
    result = kit.run("krm", *arguments, stdin=text)
    return result, yaml.safe_load(result.stdout)


def injected(folder, manifest, *injections):
    """What `inject` makes of a manifest."""
    result = kit.on_files(folder, "inject", manifest, injections=list(injections))
    return yaml.safe_load(result.stdout)


@pytest.mark.parametrize("where", ["items", "functionConfig", "list", "file"])
def test_the_pods_are_those_of_inject_wherever_the_injections_are(tmp_path, where):
    expected = injected(tmp_path, placed(), INJECTION)
    arguments, items, config = (), [placed()], {}
    if where == "items":
        items.append(INJECTION)
    elif where == "file":
        arguments = ("-i", kit.write(tmp_path, "injection.yaml", INJECTION))
    else:
        wrapped = {"apiVersion": "v1", "kind": "List", "items": [INJECTION]}
        config = {"functionConfig": wrapped if where == "list" else INJECTION}
    asked = resource_list(*items, **config)
    result, answer = krm(asked, *arguments)
    assert (result.exit_code, result.stderr) == (0, "")
    assert answer == resource_list(expected, *items[1:], **config)
    assert krm(answer, *arguments)[1] == answer


def test_the_annotations_of_the_orchestrator_stay_and_change_nothing(tmp_path):
    expected = injected(tmp_path, placed(), INJECTION)
    expected["metadata"]["annotations"] |= ORCHESTRATED
    _, answer = krm(resource_list(placed(annotations=ORCHESTRATED), INJECTION))
    assert answer["items"][0] == expected


def test_a_service_account_among_the_items_counts_wherever_it_is(tmp_path):
    account = {
        "apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": {"name": "default", "namespace": "demo"}, "automountServiceAccountToken": False,
    }  # fmt: skip
    token = "/var/run/secrets/kubernetes.io/serviceaccount"
    injection = resource(
        template={"spec": {"volumes": [{"name": "none", "emptyDir": {}}]}},
        applicationContainers={"volumeMounts": [{"name": "none", "mountPath": token}]},
    )
    result, answer = krm(resource_list(placed(), injection, account))
    assert (result.exit_code, "results" in answer) == (0, False)
    result, answer = krm(resource_list(placed(), injection))
    assert result.exit_code == 1
    severities = {entry["severity"]: entry["message"] for entry in answer["results"]}
    assert "MountPathConflict" in severities["error"]
    assert "which no file says" in severities["info"]


def test_what_cannot_be_done_is_a_result_that_names_the_object(tmp_path):
    expected = injected(tmp_path, placed(), clashing())
    result, answer = krm(resource_list(placed(), clashing()))
    assert result.exit_code == 1
    assert answer["items"] == [expected, clashing()]
    (finding,) = answer["results"]
    assert finding["severity"] == "error"
    assert finding["message"].startswith("demo/Pod/web: clash Skipped ContainerConflict ")
    assert finding["resourceRef"] == {
        "apiVersion": "v1", "kind": "Pod", "name": "web", "namespace": "demo",
    }  # fmt: skip
    # kustomize shows stderr alone.
    assert result.stderr == f"Error: {finding['message']}\n"


def test_a_name_that_does_not_exist_is_a_warning_and_fails_nothing():
    asking = placed(annotations={"sidecar-injector.dev/inject": "ghost"})
    result, answer = krm(resource_list(asking, INJECTION))
    assert (result.exit_code, result.stderr) == (0, "")
    assert [entry["severity"] for entry in answer["results"]] == ["warning"]
    assert "ghost" in answer["results"][0]["message"]


def broken_pod():
    pod = placed()
    pod["spec"]["containers"] = "none"
    return pod


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([INJECTION, INJECTION], "'log' is given twice"),
        ([INJECTION | {"kind": "Injection"}], "demo/Injection/log: field kind: 'Injection' is"),
        ([INJECTION, broken_pod()], "demo/Pod/web: field spec.containers: "),
        ([placed()], "no SidecarInjection or ClusterSidecarInjection is among the items"),
        ([INJECTION, "text"], "standard input, items[1]: is not a Kubernetes object"),
    ],
)
def test_what_cannot_be_read_fails_with_the_items_as_they_were(items, message):
    result, answer = krm(resource_list(*items))
    assert result.exit_code == 2
    assert message in result.stderr
    if answer is not None:
        assert answer["items"] == items
        assert [entry["severity"] for entry in answer["results"]] == ["error"]
        assert message in answer["results"][0]["message"]


def test_settings_in_a_config_map_are_refused_and_one_without_is_nothing():
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "input"}, "data": {}}
    items = [placed(), INJECTION]
    assert krm(resource_list(*items, functionConfig=config))[0].exit_code == 0
    config = config | {"data": {"namespace": "demo"}}
    result, _ = krm(resource_list(*items, functionConfig=config))
    assert result.exit_code == 2
    assert "functionConfig: field data: namespace is not used here" in result.stderr


def test_results_of_a_function_before_are_replaced():
    before = [{"message": "fine", "severity": "info"}]
    _, answer = krm(resource_list(placed(), INJECTION, results=before))
    assert "results" not in answer


@pytest.mark.parametrize("content", [placed(), resource_list() | {"items": "none"}])
def test_other_input_is_refused(content):
    result = kit.run("krm", stdin=yaml.safe_dump(content))
    kit.check_refused(result, "a KRM function reads one ResourceList of config.kubernetes.io/v1")


def test_the_style_of_the_items_is_kept():
    pod = copy.deepcopy(placed())
    del pod["spec"]
    text = yaml.safe_dump(resource_list(INJECTION, pod), sort_keys=False)
    text += '  spec: {containers: [{name: "app", image: app}]}\n'
    assert 'containers: [{name: "app"' in kit.run("krm", stdin=text).stdout


@pytest.mark.parametrize(
    ("environment", "words", "namespace"),
    [
        ({"HELM_PLUGIN_NAME": "sidecar-injector", "HELM_NAMESPACE": "demo"}, [], "demo"),
        ({"HELM_PLUGIN_NAME": "sidecar-injector", "HELM_NAMESPACE": "demo"}, ["-A"], None),
        ({"HELM_PLUGIN_NAME": "sidecar-injector", "HELM_NAMESPACE": "default"}, [], None),
        ({"HELM_PLUGIN_NAME": "sidecar-injector"}, [], None),
        ({"HELM_NAMESPACE": "demo"}, [], None),
    ],
)
def test_the_namespace_that_helm_keeps_counts(environment, words, namespace):
    defaults = main.helm_defaults(environment, ["sidecar-injector", "inject", *words])
    assert defaults.get("inject", {}).get("namespace") == namespace
