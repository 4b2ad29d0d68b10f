"""The command `inject`: files in, manifests out, one line for everything that is wrong."""

from __future__ import annotations

import copy
import functools
import json
import os
import re
import subprocess
import sys

import click.testing
import pytest
import yaml

from sidecar_injector.cli import main
from sidecar_injector.cli.commands import inject
from sidecar_injector.cli.input import manifests, yaml_documents
from tests.kits.cli import placed
from tests.kits.inject import INJECTION, invoke
from tests.kits.samples import container, pod, resource


@pytest.fixture
def run(tmp_path):
    """`invoke` in a folder of the test's own."""
    return functools.partial(invoke, tmp_path)


def documents(result):
    return list(yaml_documents.load_all(result.stdout))


def test_a_pod_is_injected_and_nothing_is_said(run):
    result = run(placed())
    assert (result.exit_code, result.stderr) == (0, "")
    (injected_pod,) = documents(result)
    assert [container["name"] for container in injected_pod["spec"]["containers"]] == [
        "app",
        "sidecar",
    ]


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
    assert [pod["name"] for pod in report["pods"]] == ["web", "x"]


def test_the_pods_may_come_from_standard_input_as_json(run):
    result = run(None, "-f", "-", stdin=json.dumps(placed()))
    assert result.exit_code == 0
    assert [container["name"] for container in documents(result)[0]["spec"]["containers"]] == [
        "app",
        "sidecar",
    ]


def test_the_injections_may_come_from_standard_input(run):
    result = run(placed(), "-i", "-", injections=None, stdin=yaml_documents.dump_all([INJECTION]))
    assert "- name: sidecar" in result.stdout


def test_standard_input_is_read_only_once(run):
    result = run(None, "-f", "-", "-i", "-", injections=None, stdin="")
    assert result.exit_code == 2
    assert "can be read only once" in result.stderr


def test_several_files_are_printed_in_their_order(run, tmp_path):
    second = tmp_path / "second.yaml"
    second.write_text(yaml_documents.dump_all([placed(name="second")]))
    first = (
        yaml_documents.dump_all([placed()])
        + "---\n# empty\n---\n"
        + yaml_documents.dump_all([placed(name="other")])
    )
    result = run(first, "-f", str(second))
    assert [document["metadata"]["name"] for document in documents(result)] == [
        "web",
        "other",
        "second",
    ]


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
    (tmp_path / "pod.yaml").write_text(yaml_documents.dump_all([placed(name="näme")]))
    (tmp_path / "in.yaml").write_text(yaml_documents.dump_all([INJECTION]))
    return ["-f", str(tmp_path / "pod.yaml"), "-i", str(tmp_path / "in.yaml")]


def test_the_output_is_utf_8_in_any_locale_and_never_coloured(files):
    for environment in ({"PYTHONIOENCODING": "ascii"}, {"NO_COLOR": "1"}, {"FORCE_COLOR": "1"}):
        result = process(*files, "--report", **environment)
        assert result.returncode == 0
        assert yaml.safe_load(result.stdout.decode())["metadata"]["name"] == "näme"
        assert b"\x1b" not in result.stdout + result.stderr


def test_a_reader_that_goes_away_is_no_error(tmp_path, files):
    many = tmp_path / "many.yaml"
    many.write_text("---\n".join([yaml_documents.dump_all([placed()])] * 300))
    command = [sys.executable, "-m", "sidecar_injector", "inject", "-f", str(many), *files[2:]]
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
    injector = inject.offline(injections=[], namespace="demo", namespace_labels={})
    injector.document(manifests.Document("here", manifest))
    assert manifest == before
