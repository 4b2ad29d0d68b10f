"""The command `inject`: files in, manifests out, one line for everything that is wrong."""

from __future__ import annotations

import copy
import functools
import json
import re
import subprocess
import sys

import pytest
import yaml

from sidecar_injector.cli import main
from sidecar_injector.cli.commands import inject
from sidecar_injector.cli.input import manifests, yaml_documents
from tests.kits import cli as kit
from tests.kits.cli import INJECTION, placed
from tests.kits.samples import MARK, container, pod, resource


@pytest.fixture
def run(tmp_path):
    """`inject` in a folder of the test's own."""
    return functools.partial(kit.on_files, tmp_path, "inject")


def documents(result):
    return list(yaml_documents.load_all(result.stdout))


def containers(result):
    """The names of the containers of the first pod."""
    return [container["name"] for container in documents(result)[0]["spec"]["containers"]]


def test_a_pod_is_injected_and_nothing_is_said(run):
    result = run(placed())
    assert (result.exit_code, result.stderr) == (0, "")
    assert len(documents(result)) == 1
    assert containers(result) == ["app", "sidecar"]


def test_a_null_in_a_map_of_strings_is_an_empty_string_as_for_the_api_server(run):
    author = placed()
    author["metadata"]["labels"] = {"team": None}
    result = run(author)
    assert (result.exit_code, result.stderr) == (0, "")
    # It is printed as it was written, and the API server reads it as the empty string.
    assert documents(result)[0]["metadata"]["labels"] == {"team": None, **MARK}
    selecting = resource(selector={"matchLabels": {"team": ""}})
    assert containers(run(author, injections=selecting)) == ["app", "sidecar"]


def test_an_injection_that_cannot_be_done_is_reported_with_exit_status_1(run):
    clash = pod(containers=[container("app"), container("sidecar", image="other")])
    result = run(clash, "-n", "demo")
    assert result.exit_code == 1
    assert documents(result)[0]["spec"] == clash["spec"]
    assert result.stderr.startswith("demo/Pod/web log Skipped ContainerConflict ")


def test_a_name_that_does_not_exist_is_reported_without_an_option(run):
    asking = pod(annotations={"sidecar-injector.dev/inject": "ghost"})
    result = run(asking, "-n", "demo")
    assert result.exit_code == 0
    assert result.stderr.startswith("demo/Pod/web - Injected UnknownInjection ")


def test_the_namespace_option_is_for_objects_that_carry_none(run):
    elsewhere = resource("elsewhere")
    del elsewhere["metadata"]["namespace"]
    here = run(pod(), "-n", "there", "--report", injections=elsewhere)
    assert "there/Pod/web elsewhere Injected" in here.stderr
    other = run(placed(), "-n", "there", "--report", injections=elsewhere)
    assert other.stderr.splitlines() == [
        "demo/Pod/web - Unchanged - nothing to inject",
        "note: no injection is for namespace demo; there are there/elsewhere",
    ]


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
    assert "'tier' is not a label; write key=value" in result.stderr


def test_the_json_report_has_its_documented_shape(run):
    result = run([placed(), placed(name="x")], "--report", "json")
    report = json.loads(result.stderr)
    (line,) = report["pods"][0].pop("injections")
    assert report["pods"][0] == {
        "namespace": "demo", "kind": "Pod", "name": "web", "verdict": "Injected", "reason": "",
        "remedy": "", "command": "",
    }  # fmt: skip
    assert line.pop("message")
    assert line == {
        "kind": "SidecarInjection", "name": "log", "verdict": "Injected", "reason": "Injected",
        "remedy": "", "command": "", "details": {},
    }  # fmt: skip
    assert [pod["name"] for pod in report["pods"]] == ["web", "x"]


def test_the_pods_may_come_from_standard_input_as_json(run):
    result = run(None, "-f", "-", stdin=json.dumps(placed()))
    assert result.exit_code == 0
    assert containers(result) == ["app", "sidecar"]


def test_the_injections_may_come_from_standard_input(run):
    result = run(placed(), "-i", "-", injections=None, stdin=yaml_documents.dump_all([INJECTION]))
    assert "- name: sidecar" in result.stdout


def test_standard_input_is_read_only_once(run):
    result = run(None, "-f", "-", "-i", "-", injections=None, stdin="")
    assert result.exit_code == 2
    assert "can be read only once" in result.stderr


def test_several_files_are_printed_in_their_order(run, tmp_path):
    second = kit.write(tmp_path, "second.yaml", placed(name="second"))
    web, other = (yaml_documents.dump_all([placed(name=name)]) for name in ("web", "other"))
    result = run(f"{web}---\n# empty\n---\n{other}", "-f", second)
    names = [document["metadata"]["name"] for document in documents(result)]
    assert names == ["web", "other", "second"]


def test_the_items_of_a_list_of_pods_need_no_kind(run):
    bare = {key: value for key, value in placed().items() if key not in ("apiVersion", "kind")}
    result = run({"apiVersion": "v1", "kind": "PodList", "items": [bare]}, "--report")
    assert "demo/Pod/web log Injected" in result.stderr


def test_what_the_author_wrote_is_not_read_as_commands_of_a_terminal(run):
    clash = placed(name="\x1b[2J\nweb\u2028x")
    clash["spec"]["containers"].append(container("sidecar", image="other"))
    result = run(clash)
    assert result.stderr.count("\n") == 2
    assert "\x1b" not in result.stderr
    assert r"\x1b[2J\nweb\u2028x" in result.stderr


@pytest.fixture
def files(tmp_path):
    pods, injections = placed(name="näme"), kit.write(tmp_path, "in.yaml", INJECTION)
    return ["-f", kit.write(tmp_path, "pod.yaml", pods), "-i", injections]


def test_the_output_is_utf_8_in_any_locale_and_never_coloured(files):
    for environment in ({"PYTHONIOENCODING": "ascii"}, {"NO_COLOR": "1"}, {"FORCE_COLOR": "1"}):
        result = kit.process("inject", *files, "--report", **environment)
        assert result.returncode == 0
        assert yaml.safe_load(result.stdout)["metadata"]["name"] == "näme"
        assert "\x1b" not in result.stdout + result.stderr


def test_a_reader_that_goes_away_is_no_error(tmp_path, files):
    many = kit.write(tmp_path, "many.yaml", [placed()] * 300)
    command = [sys.executable, "-m", "sidecar_injector", "inject", "-f", many, *files[2:],
               "--namespace-labels", "sidecar-injection=enabled"]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stdout.readline() == b"---\n"
        running.stdout.close()
        assert running.stderr.read() == b""


@pytest.mark.parametrize(
    ("path", "name"),
    [("/usr/bin/sidecar-injector", "sidecar-injector"),
     ("/usr/bin/kubectl-sidecar_injector", "kubectl sidecar-injector")],
)  # fmt: skip
def test_the_usage_names_the_command_as_it_was_called(monkeypatch, capsys, path, name):
    monkeypatch.setattr(sys, "argv", [path, "inject", "--nonsense"])
    with pytest.raises(SystemExit) as ended:
        main.main()
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith(f"Usage: {name} inject ")


def test_version_names_the_program_and_its_api():
    pattern = r"sidecar-injector \d+\.\d+\.\d+ \(sidecar-injector\.dev/v1alpha1\)\n"
    assert re.fullmatch(pattern, kit.run("version").stdout)


def test_run_with_a_setting_that_cannot_be_used_names_it():
    result = kit.run("run", SIDECAR_INJECTOR_LOG_LEVEL="loud")
    assert result.exit_code == 2
    assert "SIDECAR_INJECTOR_LOG_LEVEL=loud: must be one of" in result.stderr


def test_the_given_manifest_is_not_changed_by_injecting_it():
    manifest = {"apiVersion": "v1", "kind": "List", "items": [placed()]}
    before = copy.deepcopy(manifest)
    injector = inject.offline(injections=[], namespace="demo", namespace_labels={})
    injector.document(manifests.Document("here", manifest))
    assert manifest == before
