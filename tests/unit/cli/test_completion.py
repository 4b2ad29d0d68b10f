"""Completion in shells, under both names of the command."""

from __future__ import annotations

import contextlib
import os
import pathlib
import socket
import subprocess
import sys
import tomllib

import pytest
from click import shell_completion

from sidecar_injector.cli import commands, main
from sidecar_injector.cli import proposals as of_cluster
from sidecar_injector.cli.commands import completion
from sidecar_injector.kube import api
from tests.kits import api_server
from tests.kits import cluster as kit
from tests.kits.cli import run

ROOT = pathlib.Path(__file__).parents[3]
PROGRAM = "kubectl_complete-sidecar_injector"


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
        "certificates", "check", "compile", "completion", "convert", "diff", "explain", "inject",
        "krm", "lint", "plan", "playground", "restart", "status", "test", "uninject", "version",
    ]  # fmt: skip
    assert [line.partition("\t")[0] for line in proposals("")] == [*verbs, ":4"]
    assert proposals("ex") == ["explain\tsay why a pod is injected or not", ":4"]
    assert any(line.startswith("--namespace-labels\t") for line in proposals("explain", "--"))
    assert proposals("explain", "-o", "") == ["table", "json", "yaml", ":4"]
    assert proposals("explain", "-f", "") == [":0"]


def test_the_program_that_kubectl_looks_for_is_installed_with_the_package():
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    module, _, function = scripts[PROGRAM].partition(":")
    code = f"import sys; sys.argv = [{PROGRAM!r}, 'uni']; import {module}; {module}.{function}()"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert result.stdout.splitlines() == [f"uninject\t{main.SUMMARIES['uninject']}", ":4"]


@pytest.mark.parametrize("verb", ["check", "explain", "inject", "restart", "status"])
def test_options_are_completed_without_what_the_verb_needs(verb):
    """A shell waits for this at every TAB."""
    code = (
        "import os, sys\n"
        f"os.environ |= {{'COMP_WORDS': 'sidecar-injector {verb} --', 'COMP_CWORD': '2',"
        f" {main.COMPLETE!r}: 'bash_complete'}}\n"
        "from sidecar_injector.cli import main\n"
        "try:\n    main.main()\n"
        "except SystemExit:\n    print(*(name for name, module in sys.modules.items()"
        " if type(module).__name__ != '_LazyModule'))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    *options, loaded = result.stdout.splitlines()
    assert "plain,--help" in options
    assert not set(loaded.split()) & {
        "aiohttp", "asyncio.base_events", "cryptography", "http.client", "kubernetes",
        "rich.console", "yaml.loader",
    }  # fmt: skip


def test_the_list_of_verbs_imports_none_of_them():
    code = (
        "import sys; from sidecar_injector.cli import main\n"
        "try:\n    main.cli(['--help'])\n"
        "except SystemExit:\n    print(*sys.modules)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert "sidecar_injector.cli.commands" not in result.stdout.splitlines()[-1]


def test_each_summary_is_of_a_verb_and_each_verb_has_one():
    files = pathlib.Path(commands.__path__[0]).glob("[!_]*.py")
    assert {file.stem for file in files} == set(main.SUMMARIES)


@pytest.fixture
def proposed(monkeypatch):
    """What would be proposed after words, with this cluster or with none."""

    def ask(*words, fake=None):
        context = shell_completion.ShellComplete(main.cli, {}, "sidecar-injector", main.COMPLETE)
        with kit.served(monkeypatch, fake) if fake else contextlib.nullcontext():
            items = context.get_completions(list(words[:-1]), words[-1])
        return [item.value for item in items]

    return ask


@pytest.fixture
def fake():
    fake = kit.installed()
    for name in ("web", "worker", "db"):
        fake.seed(api.WORKLOADS["Deployment"], kit.deployment("demo", name))
    fake.seed(api.NAMESPACES, kit.namespace("shop"))
    return fake


@pytest.mark.parametrize(
    ("words", "proposals"),
    [
        (("explain", "dep"), ["deployment"]),
        (("explain", "deploy/w"), ["deploy/web", "deploy/worker"]),
        (("explain", "deploy", "w"), ["web", "worker"]),
        (("explain", "deploy", "web", "wo"), ["worker"]),
        (("explain", "-n", "elsewhere", "deploy/"), []),
        (("diff", "deployments.apps/d"), ["deployments.apps/db"]),
        (("explain", "-n", "sh"), ["shop"]),
        (("status", "--namespace", "de"), ["demo"]),
        (("restart", "-n", "x"), []),
    ],
)
def test_names_of_the_cluster_are_proposed(proposed, fake, words, proposals):
    assert proposed(*words, fake=fake) == proposals


def test_contexts_are_proposed(proposed, tmp_path):
    path = api_server.kubeconfig(tmp_path / "config", name="prod", server="https://127.0.0.1:1")
    words = ("status", "--kubeconfig", path, "--context")
    assert proposed(*words, "p") == ["prod"]
    assert proposed(*words, "x") == []
    assert proposed("status", "--kubeconfig", str(tmp_path / "none"), "--context", "") == []


def test_a_cluster_that_does_not_answer_proposes_nothing_and_says_nothing(
    proposed, tmp_path, monkeypatch, capfd
):
    monkeypatch.setattr(of_cluster, "SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        path = api_server.kubeconfig(tmp_path / "config", server=url)
        for words in (("explain", "deploy/"), ("explain", "-n", "")):
            assert proposed(words[0], "--kubeconfig", path, *words[1:]) == []
    assert capfd.readouterr() == ("", "")
