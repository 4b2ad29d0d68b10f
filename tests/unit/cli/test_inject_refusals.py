"""Input that `inject` cannot use: one line that names file, document and field, no traceback."""

from __future__ import annotations

import copy
import functools

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sidecar_injector.cli.input import yaml_documents
from tests.kits.cli import INJECTION, check_refused, on_files, placed
from tests.kits.samples import container, pod, resource


@pytest.fixture
def run(tmp_path):
    """`inject` in a folder of the test's own."""
    return functools.partial(on_files, tmp_path, "inject")


POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\n"
BAD_MANIFESTS = {
    "no-yaml": ("a: [", "pods.yaml, line 2, column 1: is not valid YAML: "),
    "second-document": (POD + "---\na: 1\n", "pods.yaml, document 2: field apiVersion must be"),
    "no-kind": ("apiVersion: v1\n", "document 1: field kind must be a text, and is missing"),
    "kind-of-number": ("apiVersion: v1\nkind: 3\n", "field kind must be a text, and is 3"),
    "text": ("hello\n", "document 1: is not a Kubernetes object but the text 'hello'"),
    "list": ("- a\n", "document 1: is not a Kubernetes object but a list"),
    "number": ("12\n", "is not a Kubernetes object but 12"),
    "empty": ("# nothing\n---\n", "pods.yaml: contains no Kubernetes object"),
    "metadata": ("apiVersion: v1\nkind: A\nmetadata: []\n", "field metadata must be an object"),
    "name": ("apiVersion: v1\nkind: A\nmetadata: {name: 1}\n", "field metadata.name: 1 must be a"),
    "namespace": (POD.replace("name: web", "namespace: on"), "metadata.namespace: true must be a"),
    "item": ("apiVersion: v1\nkind: List\nitems: [{apiVersion: v1, kind: List, items: [3]}]\n",
             "document 1, items[0], items[0]: is not a Kubernetes object but 3"),
    "label": (POD.replace("name: web", "labels: {a: 1}"),
              "document 1: field metadata.labels[a]: 1 must be a string: put it in quotes"),
    "annotation": (POD.replace("name: web", "annotations: {a: yes}"),
                   "field metadata.annotations[a]: True must be a string: put it in quotes"),
    "spec": (POD + "spec: 3\n", "field spec: must be an object"),
    "containers": (POD + "spec: {containers: {}}\n", "field spec.containers: must be a list"),
    "container": (POD + "spec: {containers: [a]}\n", "spec.containers[0]: must be an object"),
    "container-name": (POD + "spec: {containers: [{image: a}]}\n", "[0].name: is required"),
    "env": (POD + "spec: {containers: [{name: a, env: [{name: A, value: 1}]}]}\n",
            "field spec.containers[0].env[0].value: 1 must be a string: put it in quotes"),
    "host-network": (POD + "spec: {hostNetwork: 'yes'}\n", "'yes' must be true or false"),
    "template": ("apiVersion: apps/v1\nkind: Deployment\nspec: {}\n",
                 "field spec.template: must be an object"),
    "in-template": ("apiVersion: batch/v1\nkind: Job\nspec: {template: {spec: {volumes: [1]}}}\n",
                    "field spec.template.spec.volumes[0]: must be an object"),
    "not-utf-8": (b"a: \xff\n", "pods.yaml: is not UTF-8 text (byte 3)"),
    "recursive": ("a: &a [*a]\n", "line 1, column 8: is not valid YAML: anchor &a contains itself"),
    "deep": ("[" * 100_000, "is not valid YAML: it is nested more than 100 levels deep"),
    "not-a-number": (POD + "spec: {x: .nan}\n", "is not valid YAML: nan is not a number in JSON"),
}  # fmt: skip


@pytest.mark.parametrize(("content", "line"), BAD_MANIFESTS.values(), ids=BAD_MANIFESTS)
def test_an_unreadable_manifest_is_one_line_with_its_place_and_exit_status_2(run, content, line):
    check_refused(run(content), line)


INJECTION_TEXT = yaml_documents.dump_all([INJECTION])
BAD_INJECTIONS = {
    "version": (INJECTION_TEXT.replace("v1alpha1", "v2"),
                "document 1: field apiVersion: 'sidecar-injector.dev/v2' is unknown; this"),
    "no-version": (INJECTION_TEXT.replace("/v1alpha1", ""), "'sidecar-injector.dev' is unknown"),
    "kind": (INJECTION_TEXT.replace("kind: SidecarInjection", "kind: Sidecar"),
             "document 1: field kind: 'Sidecar' is unknown"),
    "none": (POD, "in.yaml: contains no SidecarInjection or ClusterSidecarInjection"),
    "nameless": (INJECTION_TEXT.replace("name: log", "a: b"), "field metadata.name is missing"),
    "twice": (INJECTION_TEXT + "---\n" + INJECTION_TEXT,
              "document 2: field metadata.name: SidecarInjection 'log' is given twice; the other "),
}  # fmt: skip


@pytest.mark.parametrize(("content", "line"), BAD_INJECTIONS.values(), ids=BAD_INJECTIONS)
def test_an_unreadable_injection_is_one_line_with_its_place_and_exit_status_2(run, content, line):
    check_refused(run(placed(), injections=content), line)


def test_a_file_that_is_not_there_is_named(run):
    check_refused(run(None, "-f", "/nowhere/pod.yaml"), "/nowhere/pod.yaml: No such file")


def test_a_folder_without_manifests_is_refused(run, tmp_path):
    folder = tmp_path / "empty"
    folder.mkdir()
    check_refused(
        run(None, "-f", str(folder)), "contains no file *.yaml, *.yml or *.json; -R looks"
    )


def test_one_name_in_two_namespaces_or_kinds_is_no_duplicate(run):
    other = copy.deepcopy(INJECTION)
    other["metadata"]["namespace"] = "other"
    result = run(placed(), injections=[INJECTION, other, resource(cluster=True)])
    assert result.exit_code != 2


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers(0, 1) | st.sampled_from(["", "x", "name"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["name", "containers", "a"]), inner, max_size=2)
    ),
    max_leaves=4,
)


def paths(value, path=()):
    if path:
        yield path
    members = value.items() if isinstance(value, dict) else ()
    members = enumerate(value) if isinstance(value, list) else members
    for step, inner in members:
        yield from paths(inner, (*path, step))


def replaced(document, path, junk):
    document = copy.deepcopy(document)
    here = document
    for step in path[:-1]:
        here = here[step]
    here[path[-1]] = junk
    return document


SPREAD = {"topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", "maxSkew": 1}
SHARED = {
    "volumes": [{"name": "v", "configMap": {"name": "x"}}],
    "imagePullSecrets": [{"name": "pull"}],
    "hostAliases": [{"ip": "10.0.0.1", "hostnames": ["a"]}],
    "tolerations": [{"key": "a", "operator": "Exists"}],
    "topologySpreadConstraints": [{**SPREAD, "labelSelector": {"matchLabels": {"a": "b"}}}],
    "dnsConfig": {"nameservers": ["10.0.0.2"], "searches": ["a"], "options": [{"name": "a"}]},
    "serviceAccountName": "default",
}
RICH = container(
    "sidecar",
    env=[{"name": "A", "value": "1"}],
    ports=[{"containerPort": 80}],
    resources={"limits": {"cpu": 1}},
    volumeMounts=[{"name": "v", "mountPath": "/"}],
    livenessProbe={"httpGet": {"port": 80, "httpHeaders": [{"name": "a", "value": "b"}]}},
    startupProbe={"grpc": {"port": 80}, "failureThreshold": 1},
    lifecycle={"preStop": {"sleep": {"seconds": 1}}},
    securityContext={"runAsUser": 1, "seccompProfile": {"type": "RuntimeDefault"}},
    resizePolicy=[{"resourceName": "cpu", "restartPolicy": "NotRequired"}],
)
FULL = pod(
    annotations={"sidecar-injector.dev/inject": "yes", "sidecar-injector.dev/status": "{}"},
    labels={"a": "b"},
    hostNetwork=True,
    resources={"limits": {"cpu": 1}},
    securityContext={"runAsUser": 1, "sysctls": [{"name": "a", "value": "b"}]},
    **SHARED,
    containers=[container("app", env=[{"name": "A", "value": "1"}]), RICH],
    initContainers=[container("setup")],
)
WISHES = resource(
    hostNetworkPods="Inject",
    parameters=[{"name": "p", "from": {"podLabel": "a"}, "default": "d", "pattern": "[a-z]+"}],
    inherit={"env": [{"name": "A", "fromContainer": "app"}]},
    applicationContainers={"env": [{"name": "B", "value": "1"}]},
    onConflict="Merge",
    template={
        "metadata": {"labels": {"a": "c"}, "annotations": {"a": "$(params.p)"}},
        "spec": {
            "containers": [{**RICH, "env": [{"name": "C", "value": "1"}]}],
            "initContainers": [container("other")],
            **SHARED,
        },
    },
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data(), JUNK)
@pytest.mark.parametrize("place", ["pod", "injection"])
def test_no_value_in_a_pod_or_an_injection_leads_to_a_traceback(run, place, data, junk):
    manifests = {"pod": FULL, "injection": WISHES}
    path = data.draw(st.sampled_from(list(paths(manifests[place]))))
    manifests[place] = replaced(manifests[place], path, junk)
    result = run(manifests["pod"], "-n", "demo", injections=manifests["injection"])
    assert result.exit_code in (0, 1, 2)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
