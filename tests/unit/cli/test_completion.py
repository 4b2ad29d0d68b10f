"""Completion in shells, under both names of the command."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from sidecar_injector.cli.commands import completion
from tests.kits.cli import run


@pytest.mark.parametrize("shell", completion.SHELLS)
def test_each_shell_gets_a_script_that_asks_the_command(shell):
    result = run("completion", shell)
    assert result.exit_code == 0
    assert f"_SIDECAR_INJECTOR_COMPLETE={shell}_complete" in result.stdout
    assert "sidecar-injector" in result.stdout


def test_an_unknown_shell_is_wrong_usage():
    result = run("completion", "tcsh")
    assert result.exit_code == 2
    assert "'tcsh' is not one of 'bash', 'zsh', 'fish', 'kubectl'" in result.stderr


@pytest.fixture
def proposals(tmp_path):
    """What kubectl would propose after the given words, by the script that is printed for it."""
    command = tmp_path / "sidecar-injector"
    text = f"#!{sys.executable}\nfrom sidecar_injector.cli import main\nmain.main()\n"
    command.write_text(text, encoding="utf-8")
    script = tmp_path / "kubectl_complete-sidecar_injector"
    script.write_text(run("completion", "kubectl").stdout, encoding="utf-8")
    for file in (command, script):
        file.chmod(0o700)
    environment = {
        **os.environ,
        "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }

    def ask(*words):
        result = subprocess.run(
            [script, *words], env=environment, capture_output=True, encoding="utf-8",
            timeout=60, check=True,
        )  # fmt: skip
        assert result.stderr == ""
        return result.stdout.splitlines()

    return ask


def test_kubectl_completes_verbs_options_choices_and_files(proposals):
    verbs = [
        "certificates", "check", "completion", "convert", "diff", "explain", "inject", "krm",
        "lint", "restart", "run", "status", "uninject", "version",
    ]  # fmt: skip
    assert proposals("") == [*verbs, ":4"]
    assert proposals("ex") == ["explain", ":4"]
    assert "--namespace-labels" in proposals("explain", "--")
    assert proposals("explain", "-o", "") == ["table", "json", "yaml", ":4"]
    assert proposals("explain", "-f", "") == [":0"]
