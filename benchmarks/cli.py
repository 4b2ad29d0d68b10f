"""Processor time of the command line: what a person, or a shell at a TAB, waits for."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Final

from benchmarks import machine, product, results
from sidecar_injector.cli import main
from sidecar_injector.cli.input import yaml_documents
from tools.controlplane import release

TITLE: Final = "The command line"
TEXT: Final = """\
User and system time of one process in seconds: medians of {rounds} rounds, with the least and the
most; in each round every command runs once. The compiled modules are on the disk, as pip leaves
them. `status`, `explain` and `check` ask the control plane, with the product installed and
{pods} pods in a namespace. `python` starts and ends the interpreter."""
PODS: Final = 20
PYTHON: Final = "python"
MOST: Final[Mapping[str, float]] = {
    "version": 0.15, "TAB": 0.15, "inject": 0.3, "explain": 0.6, "status": 0.6, "check": 0.6,
}  # fmt: skip
Command = tuple[Sequence[str], Mapping[str, str]]
"""Arguments of Python, and variables."""


def measure(bench: product.Bench) -> results.Result:
    """All commands in turn."""
    rounds = int(bench.pick(15, 5))
    with product.started(bench.plane, replicas=1):
        body = {"metadata": {"generateName": "web-", "labels": {"app": "web"}},
                "spec": {"containers": [{"name": "app", "image": "app:1"}]}}  # fmt: skip
        for _ in range(PODS):
            bench.plane.client.request("POST", release.pods(product.NAMESPACE), body)
        names = bench.plane.client.get(release.pods(product.NAMESPACE))["items"]
        commands = _commands(bench, pod=names[0]["metadata"]["name"])
        seconds: dict[str, list[float]] = {name: [] for name in commands}
        for number in range(rounds + 1):
            bench.report.begin(f"round {number} of {rounds} of the command line")
            for name, command in commands.items():
                used = processor_seconds(*command)
                if number:  # The first one compiles the modules.
                    seconds[name].append(used)
    spreads = {name: results.Spread.of(values) for name, values in seconds.items()}
    figures = [
        results.Figure(name=f"processor time of {name}", value=spreads[name].median, unit="s",
                       most=most) for name, most in MOST.items()
    ]  # fmt: skip
    rows = [(name, str(spread)) for name, spread in spreads.items()]
    return results.Result(
        title=TITLE, text=TEXT.format(rounds=rounds, pods=PODS), figures=figures,
        tables=[results.Table(headings=("command", "processor time, s"), rows=rows)],
    )  # fmt: skip


def processor_seconds(arguments: Sequence[str], variables: Mapping[str, str]) -> float:
    """What one process and its children have used; it may find something, but not fail."""
    environment = {**os.environ, **variables, "PYTHONPYCACHEPREFIX": str(machine.folder() / "pyc")}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    process = subprocess.Popen(
        [sys.executable, *arguments], env=environment, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    _, status, usage = os.wait4(process.pid, 0)
    # Popen must not wait for it once more.
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 1):
        raise subprocess.CalledProcessError(process.returncode, process.args)
    return usage.ru_utime + usage.ru_stime


def _commands(bench: product.Bench, *, pod: str) -> Mapping[str, Command]:
    folder = machine.folder()
    (folder / "injection.yaml").write_text(_manifest(product.injection(), product.NAMESPACE))
    template = {
        "metadata": {"labels": {"app": "web"}},
        "spec": {"containers": [{"name": "app", "image": "app:1"}]},
    }
    deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
                  "spec": {"template": template}}  # fmt: skip
    (folder / "deployment.yaml").write_text(_manifest(deployment, product.NAMESPACE))
    live = ("-n", product.NAMESPACE, "--kubeconfig", str(bench.plane.kubeconfig))
    files = ("-f", str(folder / "deployment.yaml"), "-i", str(folder / "injection.yaml"))
    verbs = {
        "version": ("version",),
        "inject": ("inject", *files),
        "explain": ("explain", f"pod/{pod}", *live),
        "status": ("status", *live),
        "check": ("check", *live),
    }
    module = ("-m", "sidecar_injector")
    tab = {main.COMPLETE: "bash_complete", "COMP_WORDS": "sidecar-injector ", "COMP_CWORD": "1"}
    return {
        PYTHON: (("-c", "pass"), {}),
        "TAB": (module, tab),
        **{name: ((*module, *arguments), {}) for name, arguments in verbs.items()},
    }


def _manifest(manifest: product.Json, namespace: str) -> str:

    placed = {**manifest, "metadata": {**manifest["metadata"], "namespace": namespace}}
    return yaml_documents.dump_all([placed])
