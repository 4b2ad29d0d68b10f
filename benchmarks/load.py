"""Load on one port: wrk with kept-alive TLS connections, on a core of its own."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import statistics
import subprocess
from collections.abc import Callable, Sequence
from typing import Final

from benchmarks import errors, machine
from tools.controlplane import processes, progress

SCRIPT: Final = pathlib.Path(__file__).with_name("wrk.lua")
CONNECTIONS: Final = 8


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """What one run has measured. Times are milliseconds."""

    rate: float
    """Answers per second."""
    p50: float
    p99: float
    slowest: float
    cpu: float
    """Microseconds of processor time that the target's process spent on a request: steadier than
    the rate when other work shares the machine."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """A server, and the requests for it."""

    name: str
    url: str
    body: pathlib.Path
    process: processes.Process | None = None
    token: str | None = None
    varied: Sequence[str] = ()
    """Texts in the body; each request has as many other hexadecimal digits in their place."""
    pinned: bool = True
    """Whether the client has a core of its own."""


def run(target: Target, *, seconds: float, connections: int = CONNECTIONS) -> Run:
    """Load for so long. Raises WrongAnswerError if a connection broke or an answer was an error."""
    before = target.process.cpu_seconds() if target.process else 0.0
    result = subprocess.run(
        _command(target, seconds=seconds, connections=connections),
        env={**os.environ, "BENCH_BODY": str(target.body)}
        | {"BENCH_VARIED": "\n".join(target.varied)}
        | ({"BENCH_TOKEN": target.token} if target.token else {}),
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode != 0:
        raise errors.BenchError(f"wrk on {target.name}: {result.stderr or result.stdout}")
    counts = json.loads(result.stdout.splitlines()[-1])
    requests = counts["requests"]
    if counts["broken"] or counts["refused"] or not requests:
        raise errors.WrongAnswerError(server=target.name, seen=counts, wanted="only successes")
    spent = target.process.cpu_seconds() - before if target.process else 0.0
    return Run(
        rate=requests / counts["microseconds"] * 1e6,
        p50=counts["p50"] / 1e3,
        p99=counts["p99"] / 1e3,
        slowest=counts["max"] / 1e3,
        cpu=spent / requests * 1e6,
    )


def interleaved(
    targets: Sequence[Target],
    *,
    rounds: int,
    seconds: float,
    report: progress.Progress,
    warm_up: bool = True,
) -> dict[str, list[Run]]:
    """The runs of each target, by its name; targets take turns within a round.

    With `warm_up` a first, short round is not counted: caches fill, heaps and logs grow.
    """
    runs: dict[str, list[Run]] = {target.name: [] for target in targets}
    for number in range(0 if warm_up else 1, rounds + 1):
        for target in targets:
            report.tick(f"round {number} of {rounds}: {target.name}" if number else "warming up")
            result = run(target, seconds=seconds if number else 1)
            if number:
                runs[target.name].append(result)
    return runs


def median(runs: Sequence[Run], value: Callable[[Run], float]) -> float:
    """Of one value of each run."""
    return statistics.median(map(value, runs))


def rate(runs: Sequence[Run]) -> float:
    """The median of the answers per second."""
    return median(runs, lambda run: run.rate)


def _command(target: Target, *, seconds: float, connections: int) -> tuple[str, ...]:
    return (
        *(machine.on_core(machine.CLIENT_CORE) if target.pinned else ()),
        "wrk",
        "--threads=1",
        f"--connections={connections}",
        f"--duration={max(1, round(seconds))}s",
        "--timeout=10s",
        f"--script={SCRIPT}",
        target.url,
    )
