"""What the command line does where the packages of the extra `operator` are not installed."""

from __future__ import annotations

import json
import pathlib
import re
import subprocess
import sys
import tomllib

import pytest

from sidecar_injector.cli import cluster as cluster_package
from sidecar_injector.cli import operator_extra
from tests.kits import cluster as kit
from tests.kits.cli import run

ROOT = pathlib.Path(__file__).parents[3]
EXTRA = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"][
    "operator"
]
SENTENCE = "reading certificates needs the package cryptography, which is not installed"
PROGRAM = f"""
import importlib, sys
for package in {sorted(operator_extra.PACKAGES)}:
    sys.modules[package] = None  # An import of it fails.
from sidecar_injector.cli import main
sys.argv[0] = "sidecar-injector"
main.main()
"""


def without_extra(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture
def no_cryptography(monkeypatch):
    """As if the package was not installed, for the modules that read certificates."""
    monkeypatch.setitem(sys.modules, "cryptography", None)
    name = "sidecar_injector.cli.cluster.certificates"
    monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.delattr(cluster_package, "certificates", raising=False)


def test_the_packages_are_those_of_the_extra():
    names = {re.split("[>=]", entry)[0].replace("-", "_") for entry in EXTRA}
    assert names == operator_extra.PACKAGES


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("version",),
        ("completion", "bash"),
        ("inject", "-f", "tools/demo/silent.yaml", "-i", "tools/demo/injection.yaml"),
        ("lint", "-f", "tools/demo/injection.yaml"),
        ("diff", "-f", "tools/demo/deployment.yaml", "-i", "tools/demo/injection.yaml"),
        ("explain", "-f", "tools/demo/silent.yaml", "-i", "tools/demo/injection.yaml"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_verbs_on_files_do_not_need_them(arguments):
    result = without_extra(*arguments)
    assert result.returncode in (0, 1)  # 1: diff has found a difference.
    assert result.stdout
    assert "not installed" not in result.stderr
    assert "Traceback" not in result.stderr


def test_a_cluster_is_reached_without_them(tmp_path):
    kubeconfig = tmp_path / "kubeconfig"
    cluster = {"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}
    context = {"name": "c", "context": {"cluster": "c", "user": "u"}}
    user = {"name": "u", "user": {"token": "t"}}
    kubeconfig.write_text(
        json.dumps(
            {"clusters": [cluster], "contexts": [context], "users": [user], "current-context": "c"}
        )
    )
    result = without_extra("status", "--kubeconfig", str(kubeconfig))
    assert result.returncode == 2
    assert "127.0.0.1:1" in result.stderr


def test_run_says_in_one_line_what_installs_them():
    result = without_extra("run")
    assert result.returncode == 2
    assert re.fullmatch(
        r"Error: the operator needs the package \w+, which is not installed:"
        r" pip install 'sidecar-injector\[operator\]'\n",
        result.stderr,
    )


def test_certificates_say_what_installs_them(monkeypatch, no_cryptography):
    with kit.served(monkeypatch, kit.installed()):
        result = run("certificates", "show")
    assert result.exit_code == 2
    assert f"Error: {SENTENCE}: {operator_extra.INSTALL}\n" in result.stderr


def test_check_and_status_go_on_without_certificates(monkeypatch, no_cryptography):
    with kit.served(monkeypatch, kit.installed()):
        checked = run("check", "-o", "json")
        status = run("status", "-o", "json")
    (line,) = (
        finding
        for finding in json.loads(checked.stdout)["findings"]
        if finding["check"] == "certificates"
    )
    assert (line["level"], line["message"]) == ("warning", SENTENCE)
    assert line["remedy"] == operator_extra.INSTALL
    assert json.loads(status.stdout)["certificates"] is None
    assert f"note: {SENTENCE}: {operator_extra.INSTALL}\n" in status.stderr


def test_a_package_that_is_not_of_the_extra_is_an_error_of_its_own():
    with pytest.raises(ModuleNotFoundError), operator_extra.needed("the operator"):
        import sidecar_injector.there_is_no_such_module  # noqa: F401
