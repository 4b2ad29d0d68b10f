"""What the demo looks at: the command line's answers, pods, and the replicas' counters."""

from __future__ import annotations

import pathlib
import subprocess
from collections.abc import Iterable
from typing import Any, Final

import prometheus_client.parser

from sidecar_injector import names
from tools.controlplane import operators
from tools.demo import narration

ROOT: Final = pathlib.Path(__file__).parents[2]
_SECONDS: Final = 60
_DECISIONS: Final = "sidecar_injector_decisions_total"


def cli(*words: str) -> tuple[str, str]:
    """What `sidecar-injector WORDS` writes to stdout and stderr; raises DemoError if it fails."""
    answer = subprocess.run(
        [operators.PROGRAMS / names.PRODUCT, *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    if answer.returncode != 0:
        what = f"exit status of {names.PRODUCT} {' '.join(words)}, which said {answer.stderr!r}"
        raise narration.DemoError(what=what, seen=answer.returncode, wanted=0)
    return answer.stdout, answer.stderr


def report_columns(line: str) -> tuple[str, str]:
    """Place and reason of a report of one line, or the line and nothing if it is none.

    Its columns are NAMESPACE/KIND/NAME INJECTION VERDICT REASON sentence.
    """
    columns = line.split(maxsplit=4)
    return (columns[0], columns[3]) if len(columns) > 4 else (line, "")


def containers(pod: dict[str, Any]) -> str:
    """The names of a pod's containers in their order."""
    return " ".join(container["name"] for container in pod["spec"]["containers"])


def counted(texts: Iterable[str], *, reason: str) -> int:
    """How often all replicas together have decided so, by the metrics of each."""
    return int(
        sum(
            sample.value
            for text in texts
            for family in prometheus_client.parser.text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == _DECISIONS and sample.labels["reason"] == reason
        )
    )
