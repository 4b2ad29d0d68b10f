"""The command `convert`: files in, injections out, a line for everything that was left out."""

from __future__ import annotations

import pathlib

import click.testing
import pytest

from sidecar_injector.cli.input import yaml_documents
from tests.kits import convert as kit
from tests.kits.cli import run

pytestmark = pytest.mark.usefixtures("beside_sources")


@pytest.fixture
def beside_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(kit.DATA)


def converted(*arguments: str, stdin: str | None = None) -> click.testing.Result:
    return run("convert", *arguments, stdin=stdin)


def test_injections_go_to_stdout_and_what_to_know_to_stderr() -> None:
    result = converted("morvencao", "-f", "morvencao.yaml")
    (injection,) = yaml_documents.load_all(result.stdout)
    assert (result.exit_code, injection["kind"]) == (0, "ClusterSidecarInjection")
    (line,) = result.stderr.splitlines()
    assert line.startswith(
        "note: morvencao.yaml, document 1, data[sidecarconfig.yaml]: pods go on asking"
    )


def test_a_warning_says_file_document_and_field_and_is_exit_status_1() -> None:
    result = converted("sidecarset", "-f", "sidecarset-v1beta1.yaml")
    assert result.exit_code == 1
    assert len(list(yaml_documents.load_all(result.stdout))) == 2
    assert (
        "warning: sidecarset-v1beta1.yaml, document 1: spec.containers[1].resourcesPolicy:"
        " has no counterpart:"
    ) in result.stderr


def test_a_namespace_makes_the_namespaced_kind() -> None:
    result = converted("morvencao", "-f", "morvencao.yaml", "-n", "shop")
    (injection,) = yaml_documents.load_all(result.stdout)
    assert (injection["kind"], injection["metadata"]["namespace"]) == ("SidecarInjection", "shop")


def test_the_files_that_a_template_inherits_from_are_read_from_beside_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(kit.DATA.parent)
    result = converted("tumblr", "-f", "convert/tumblr-child.yaml")
    (injection,) = yaml_documents.load_all(result.stdout)
    assert injection["spec"]["template"]["spec"]["serviceAccountName"] == "shipper"


def test_standard_input_inherits_from_the_working_directory() -> None:
    result = converted("tumblr", "-f", "-", stdin="name: a\ninherits: tumblr-base.yaml\n")
    (injection,) = yaml_documents.load_all(result.stdout)
    assert injection["metadata"]["name"] == "a"
    assert injection["spec"]["template"]["spec"]["serviceAccountName"] == "shipper"


def test_two_files_are_one_conversion() -> None:
    result = converted("tumblr", "-f", "tumblr-base.yaml", "-f", "tumblr-child.yaml")
    names = [injection["metadata"]["name"] for injection in yaml_documents.load_all(result.stdout)]
    assert names == ["shipping", "shipping-v2"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "standard input: contains nothing to convert"),
        ("kind: [", "standard input, line 2, column 1: is not valid YAML"),
        ("name: a\ninherits: missing.yaml",
         "standard input, document 1: field inherits: missing.yaml: No such file"),
        ("name: a\ninherits: ../convert/loop.yaml",
         "loop.yaml, document 1: field inherits: 'loop.yaml' leads back to itself"),
    ],
)  # fmt: skip
def test_unreadable_input_is_exit_status_2(
    text: str, message: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "convert"
    folder.mkdir()
    (folder / "loop.yaml").write_text("name: loop\ninherits: loop.yaml\n", encoding="utf-8")
    monkeypatch.chdir(folder)
    result = converted("tumblr", "-f", "-", stdin=text)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr.splitlines()[-1]


def test_a_file_without_anything_to_convert_says_why_first() -> None:
    result = converted("morvencao", "-f", "-", stdin="just text")
    assert result.exit_code == 2
    assert result.stderr.splitlines() == [
        "warning: standard input, document 1: is left out: it is no configuration",
        "Error: standard input: contains nothing to convert",
    ]


def test_standard_input_is_read_once() -> None:
    result = converted("sidecarset", "-f", "-", "-f", "-", stdin="")
    assert result.exit_code == 2
    assert "can be read only once" in result.stderr
