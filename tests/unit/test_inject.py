"""The command `inject`: files in, manifests out, one line for everything that is wrong."""

from __future__ import annotations

import copy
import json
import os
import re
import subprocess
import sys

import click.testing
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from samples import container, pod, resource

from sidecar_injector.cli import inject, main, manifests, yamls

INJECTION = resource()


def as_bytes(content):
    if isinstance(content, bytes):
        return content
    if not isinstance(content, str):
        content = yamls.dump_all(content if isinstance(content, list) else [content])
    return content.encode()


@pytest.fixture
def run(tmp_path):
    """Runs `inject` on a text or an object and on injections; both may be a list of documents."""

    def call(manifest, *arguments, injections=INJECTION, stdin=None):
        command = ["inject"]
        for option, name, content in (("-f", "pods.yaml", manifest), ("-i", "in.yaml", injections)):
            file = tmp_path / name
            if content is None:
                continue
            file.write_bytes(as_bytes(content))
            command += [option, str(file)]
        runner = click.testing.CliRunner()
        return runner.invoke(
            main.cli, [*command, *arguments], input=stdin, prog_name="sidecar-injector"
        )

    return call


def placed(**metadata):
    """A pod in the namespace of the injection."""
    made = pod()
    made["metadata"] |= {"namespace": "demo", **metadata}
    return made


def documents(result):
    return list(yamls.load_all(result.stdout))


def test_a_pod_is_injected_and_nothing_is_said(run):
    result = run(placed())
    assert (result.exit_code, result.stderr) == (0, "")
    (made,) = documents(result)
    assert [one["name"] for one in made["spec"]["containers"]] == ["app", "sidecar"]


def test_an_injection_that_cannot_be_done_is_told_and_is_exit_status_1(run):
    clash = pod(containers=[container("app"), container("sidecar", image="other")])
    result = run(clash, "-n", "demo")
    assert result.exit_code == 1
    assert documents(result)[0]["spec"] == clash["spec"]
    assert result.stderr.startswith("demo/Pod/web log Skipped ContainerConflict ")


def test_a_name_that_does_not_exist_is_told_without_being_asked(run):
    asking = pod(annotations={"sidecar-injector.dev/inject": "ghost"})
    result = run(asking, "-n", "demo")
    assert result.exit_code == 0
    assert result.stderr.startswith("demo/Pod/web - Unchanged UnknownInjection ")


def test_the_namespace_option_is_for_objects_that_carry_none(run):
    elsewhere = resource("elsewhere")
    del elsewhere["metadata"]["namespace"]
    here = run(pod(), "-n", "there", "--report", injections=elsewhere)
    assert "there/Pod/web elsewhere Injected" in here.stderr
    other = run(placed(), "-n", "there", "--report", injections=elsewhere)
    assert other.stderr == "demo/Pod/web - Unchanged - nothing to inject\n"


def test_namespace_labels_select_and_opt_out(run):
    cluster = resource("c", cluster=True, namespaceSelector={"matchLabels": {"tier": "a"}})
    assert "NamespaceSelectorMismatch" in run(pod(), "--report", injections=cluster).stderr
    labels = ("--namespace-labels", "tier=a, other=", "--report")
    assert "cluster/c Injected" in run(pod(), *labels, injections=cluster).stderr
    out = run(placed(), "--namespace-labels", "sidecar-injection=disabled", "--report")
    assert "OutOfScope NamespaceNotEnabled" in out.stderr


def test_a_label_without_a_value_is_wrong_usage(run):
    result = run(placed(), "--namespace-labels", "tier")
    assert result.exit_code == 2
    assert "'tier' is no label; write key=value" in result.stderr


def test_the_json_report_has_its_documented_shape(run):
    result = run([placed(), placed(name="x")], "--report", "json")
    report = json.loads(result.stderr)
    (line,) = report["pods"][0].pop("injections")
    assert report["pods"][0] == {
        "namespace": "demo", "kind": "Pod", "name": "web", "verdict": "Injected", "reason": "",
    }  # fmt: skip
    assert line.pop("message")
    assert line == {
        "kind": "SidecarInjection", "name": "log", "verdict": "Injected", "reason": "Injected",
        "details": {},
    }  # fmt: skip
    assert [one["name"] for one in report["pods"]] == ["web", "x"]


def test_the_pods_may_come_from_standard_input_as_json(run):
    result = run(None, "-f", "-", stdin=json.dumps(placed()))
    assert result.exit_code == 0
    assert [one["name"] for one in documents(result)[0]["spec"]["containers"]] == ["app", "sidecar"]


def test_the_injections_may_come_from_standard_input(run):
    result = run(placed(), "-i", "-", injections=None, stdin=yamls.dump_all([INJECTION]))
    assert "- name: sidecar" in result.stdout


def test_standard_input_is_read_only_once(run):
    result = run(None, "-f", "-", "-i", "-", injections=None, stdin="")
    assert result.exit_code == 2
    assert "can be read only once" in result.stderr


def test_several_files_are_printed_in_their_order(run, tmp_path):
    second = tmp_path / "second.yaml"
    second.write_text(yamls.dump_all([placed(name="second")]))
    first = (
        yamls.dump_all([placed()]) + "---\n# empty\n---\n" + yamls.dump_all([placed(name="other")])
    )
    result = run(first, "-f", str(second))
    assert [one["metadata"]["name"] for one in documents(result)] == ["web", "other", "second"]


def test_the_items_of_a_list_of_pods_need_no_kind(run):
    bare = {key: value for key, value in placed().items() if key not in ("apiVersion", "kind")}
    result = run({"apiVersion": "v1", "kind": "PodList", "items": [bare]}, "--report")
    assert "demo/Pod/web log Injected" in result.stderr


def test_what_the_author_wrote_is_not_read_as_commands_of_a_terminal(run):
    clash = placed(name="\x1b[2J\nweb\u2028x")
    clash["spec"]["containers"].append(container("sidecar", image="other"))
    result = run(clash)
    assert result.stderr.count("\n") == 1
    assert "\x1b" not in result.stderr
    assert r"\x1b[2J\nweb\u2028x" in result.stderr


POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\n"
BAD_MANIFESTS = {
    "no-yaml": ("a: [", "pods.yaml, line 2, column 1: is no YAML: "),
    "second-document": (POD + "---\na: 1\n", "pods.yaml, document 2: field apiVersion must be"),
    "no-kind": ("apiVersion: v1\n", "document 1: field kind must be a text, and is missing"),
    "kind-of-number": ("apiVersion: v1\nkind: 3\n", "field kind must be a text, and is 3"),
    "text": ("hello\n", "document 1: is no Kubernetes object but the text 'hello'"),
    "list": ("- a\n", "document 1: is no Kubernetes object but a list"),
    "number": ("12\n", "is no Kubernetes object but 12"),
    "empty": ("# nothing\n---\n", "pods.yaml: holds no Kubernetes object"),
    "metadata": ("apiVersion: v1\nkind: A\nmetadata: []\n", "field metadata must be an object"),
    "name": ("apiVersion: v1\nkind: A\nmetadata: {name: 1}\n", "field metadata.name: 1 must be a"),
    "namespace": (POD.replace("name: web", "namespace: on"), "metadata.namespace: true must be a"),
    "item": ("apiVersion: v1\nkind: List\nitems: [{apiVersion: v1, kind: List, items: [3]}]\n",
             "document 1, items[0], items[0]: is no Kubernetes object but 3"),
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
    "recursive": ("a: &a [*a]\n", "line 1, column 8: is no YAML: anchor &a contains itself"),
    "deep": ("[" * 100_000, "is no YAML: it is nested more than 100 levels deep"),
    "not-a-number": (POD + "spec: {x: .nan}\n", "is no YAML: nan is no number that JSON has"),
}  # fmt: skip


@pytest.mark.parametrize(("content", "line"), BAD_MANIFESTS.values(), ids=BAD_MANIFESTS)
def test_an_unreadable_manifest_is_one_line_with_its_place_and_exit_status_2(run, content, line):
    check_refused(run(content), line)


INJECTION_TEXT = yamls.dump_all([INJECTION])
BAD_INJECTIONS = {
    "version": (INJECTION_TEXT.replace("v1alpha1", "v2"),
                "document 1: field apiVersion: 'sidecar-injector.dev/v2' is unknown; this"),
    "no-version": (INJECTION_TEXT.replace("/v1alpha1", ""), "'sidecar-injector.dev' is unknown"),
    "kind": (INJECTION_TEXT.replace("kind: SidecarInjection", "kind: Sidecar"),
             "document 1: field kind: 'Sidecar' is unknown"),
    "none": (POD, "in.yaml: holds no SidecarInjection or ClusterSidecarInjection"),
    "nameless": (INJECTION_TEXT.replace("name: log", "a: b"), "field metadata.name is missing"),
    "twice": (INJECTION_TEXT + "---\n" + INJECTION_TEXT,
              "document 2: field metadata.name: SidecarInjection 'log' is given twice; the other "),
}  # fmt: skip


@pytest.mark.parametrize(("content", "line"), BAD_INJECTIONS.values(), ids=BAD_INJECTIONS)
def test_an_unreadable_injection_is_one_line_with_its_place_and_exit_status_2(run, content, line):
    check_refused(run(placed(), injections=content), line)


def check_refused(result, line):
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1
    assert line in result.stderr


def test_a_file_that_is_not_there_is_named(run):
    check_refused(run(None, "-f", "/nowhere/pod.yaml"), "/nowhere/pod.yaml: No such file")


def test_a_folder_is_no_file(run, tmp_path):
    check_refused(run(None, "-f", str(tmp_path)), "Is a directory")


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


FULL = pod(
    annotations={"sidecar-injector.dev/inject": "yes", "sidecar-injector.dev/status": "{}"},
    labels={"a": "b"},
    hostNetwork=True,
    volumes=[{"name": "v", "configMap": {"name": "x"}}],
    initContainers=[
        container("sidecar", env=[{"name": "A", "value": "1"}], ports=[{"containerPort": 80}],
                  resources={"limits": {"cpu": 1}}, volumeMounts=[{"name": "v", "mountPath": "/"}])
    ],
)  # fmt: skip
WISHES = resource(
    hostNetworkPods="Inject",
    template={
        "metadata": {"labels": {"a": "c"}},
        "spec": {
            "containers": [FULL["spec"]["initContainers"][0]],
            "volumes": FULL["spec"]["volumes"],
        },
    },
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.sampled_from(list(paths(FULL))), JUNK)
def test_whatever_stands_in_a_pod_there_is_no_traceback(run, path, junk):
    result = run(replaced(FULL, path, junk), "-n", "demo", injections=WISHES)
    assert result.exit_code in (0, 1, 2)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.sampled_from(list(paths(WISHES))), JUNK)
def test_whatever_stands_in_an_injection_there_is_no_traceback(run, path, junk):
    result = run(FULL, "-n", "demo", injections=replaced(WISHES, path, junk))
    assert result.exit_code in (0, 1, 2)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception


def process(*arguments, stdin=None, **environment):
    return subprocess.run(
        [sys.executable, "-m", "sidecar_injector", "inject", *arguments],
        input=stdin,
        capture_output=True,
        timeout=60,
        check=False,
        env={**os.environ, **environment},
    )


@pytest.fixture
def files(tmp_path):
    (tmp_path / "pod.yaml").write_text(yamls.dump_all([placed(name="näme")]))
    (tmp_path / "in.yaml").write_text(yamls.dump_all([INJECTION]))
    return ["-f", str(tmp_path / "pod.yaml"), "-i", str(tmp_path / "in.yaml")]


def test_the_output_is_utf_8_in_any_locale_and_never_coloured(files):
    for environment in ({"PYTHONIOENCODING": "ascii"}, {"NO_COLOR": "1"}, {"FORCE_COLOR": "1"}):
        result = process(*files, "--report", **environment)
        assert result.returncode == 0
        assert yaml.safe_load(result.stdout.decode())["metadata"]["name"] == "näme"
        assert b"\x1b" not in result.stdout + result.stderr


def test_a_reader_that_goes_away_is_no_error(tmp_path, files):
    many = tmp_path / "many.yaml"
    many.write_text("---\n".join([yamls.dump_all([placed()])] * 300))
    command = [sys.executable, "-m", "sidecar_injector", "inject", "-f", str(many), *files[2:]]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stdout.readline() == b"---\n"
        running.stdout.close()
        assert running.stderr.read() == b""


@pytest.mark.parametrize(
    ("called", "shown"),
    [("/usr/bin/sidecar-injector", "sidecar-injector"),
     ("/usr/bin/kubectl-sidecar_injector", "kubectl sidecar-injector")],
)  # fmt: skip
def test_the_usage_names_the_command_as_it_was_called(monkeypatch, capsys, called, shown):
    monkeypatch.setattr(sys, "argv", [called, "inject", "--nonsense"])
    with pytest.raises(SystemExit) as ended:
        main.main()
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith(f"Usage: {shown} inject ")


def test_version_names_the_program_and_its_api():
    result = click.testing.CliRunner().invoke(main.cli, ["version"])
    assert re.fullmatch(
        r"sidecar-injector \d+\.\d+\.\d+ \(sidecar-injector\.dev/v1alpha1\)\n", result.stdout
    )


def test_run_with_a_setting_that_cannot_be_used_names_it():
    environment = {"SIDECAR_INJECTOR_LOG_LEVEL": "loud"}
    result = click.testing.CliRunner().invoke(main.cli, ["run"], env=environment)
    assert result.exit_code == 2
    assert "SIDECAR_INJECTOR_LOG_LEVEL=loud: must be one of" in result.stderr


def test_the_given_manifest_is_not_changed_by_injecting_it():
    manifest = {"apiVersion": "v1", "kind": "List", "items": [placed()]}
    before = copy.deepcopy(manifest)
    injector = inject.Injector(injections=[], namespace="demo", namespace_labels={})
    injector.document(manifests.Document("here", manifest))
    assert manifest == before
