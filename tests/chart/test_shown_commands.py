"""Every command of kubectl and Helm that a page, the notes or an alert shows can be run.

The real programs read them. They are to reach a server that does not exist, so they do nothing: a
command that is understood fails because of that server, or gives a result without one.
"""

from __future__ import annotations

import concurrent.futures
import os
import pathlib
import re
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from tests.kits import shown_commands
from tests.kits.shown_commands import PAGES, ROOT
from tools.controlplane import binaries

NO_SERVER = """
apiVersion: v1
kind: Config
clusters: [{name: none, cluster: {server: "http://127.0.0.1:1"}}]
contexts: [{name: none, context: {cluster: none, user: none}}]
users: [{name: none, user: {}}]
current-context: none
"""
UNDERSTOOD = ("connection refused", "was refused", "cluster unreachable")
"""What kubectl and Helm say about the server."""
NEEDS_INPUT = ("no objects passed to",)
"""What they say about an input that only the page has."""
OF_THE_READER = re.compile(r'the path "[^"]+" does not exist|path "[^"]+" not found')
"""A file that the reader writes."""
RUNBOOKS = ROOT / "docs/operations.md"


class Programs:
    """kubectl and helm without a cluster."""

    def __init__(self, folder: pathlib.Path) -> None:
        built = binaries.ensure()
        self._paths = {"kubectl": built.kubectl, "helm": built.helm}
        config = folder / "kubeconfig"
        config.write_text(NO_SERVER)
        self._environment = {
            "PATH": os.environ["PATH"], "HOME": str(folder), "KUBECONFIG": str(config)
        }  # fmt: skip

    def problem(self, words: list[str]) -> str:
        """Why a command cannot be run; empty if it can."""
        result = subprocess.run(
            [self._paths[words[0]], *words[1:]],
            env=self._environment,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        error = result.stderr.lower()
        if result.returncode == 0 or any(text in error for text in (*UNDERSTOOD, *NEEDS_INPUT)):
            return ""
        return "" if OF_THE_READER.search(error) else f"{' '.join(words)}\n{result.stderr}"

    def problems(self, commands: list[list[str]]) -> list[str]:
        """The problems of all commands, each tried once."""
        distinct = list(dict.fromkeys(map(tuple, commands)))
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            return [
                text for text in pool.map(lambda words: self.problem([*words]), distinct) if text
            ]


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Programs:
    return Programs(tmp_path_factory.mktemp("programs"))


def of_the_programs(commands: list[list[str]]) -> list[list[str]]:
    """The commands of kubectl and helm; our own one, also as a plugin, is parsed elsewhere."""
    return [
        words
        for words in commands
        if words and words[0] in ("kubectl", "helm") and words[1:2] != ["sidecar-injector"]
    ]


def test_the_commands_of_the_pages_can_be_run(programs: Programs) -> None:
    commands = [
        words
        for page in PAGES
        for words in shown_commands.of_page(page.read_text(encoding="utf-8"))
    ]
    shown = of_the_programs(commands)
    assert len(shown) >= 25
    assert programs.problems(shown) == []


def test_the_commands_in_the_sentences_of_the_runbooks_can_be_run(programs: Programs) -> None:
    commands = list(shown_commands.of_sentences(RUNBOOKS.read_text(encoding="utf-8")))
    assert len(commands) >= 5
    assert programs.problems(of_the_programs(commands)) == []


def test_the_commands_of_the_notes_can_be_run(
    programs: Programs, helm: Any, chart: pathlib.Path
) -> None:
    result = helm.run(
        *("install", "sidecar-injector", str(chart), "--dry-run=client"),
        *("-n", "sidecar-injector", "--set=helmTest.enabled=true"),
    )
    notes = result.stdout.split("NOTES:\n", maxsplit=1)[1]
    lines = [line.strip() for line in notes.splitlines()]
    commands = [
        words
        for line in lines
        if re.match(r"(kubectl|helm) ", line)
        for words in shown_commands.stages(line.partition("<<")[0])
    ]
    assert len(commands) >= 4
    assert programs.problems(of_the_programs(commands)) == []


def test_every_alert_has_a_runbook(render: Callable[..., Any]) -> None:
    (group,) = render({"prometheusRule": {"enabled": True}}).one("PrometheusRule")["spec"]["groups"]
    headings = re.findall(r"^### (\w+)$", RUNBOOKS.read_text(encoding="utf-8"), re.MULTILINE)
    assert [rule["alert"] for rule in group["rules"]] == headings


@pytest.mark.parametrize(
    "command",
    [
        "helm upgrade --reuse-values --set webhook.failurePolicy=Ignore",
        "kubectl get pods --all-namespace",
        "kubectl lable namespace demo a=b",
        "helm test",
        "kubectl patch pod",
    ],
)
def test_a_command_that_is_wrong_is_noticed(programs: Programs, command: str) -> None:
    assert programs.problems([command.split()])
