"""Load on one port: wrk with kept-alive TLS connections, on a core of its own."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import subprocess
from collections.abc import Sequence
from typing import Final

from benchmarks import errors, machine

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
    cpu: float | None
    """Microseconds of processor time that the server spent on a request, if its pid was known:
    steadier than the rate where other work shares the machine."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """Where the load goes and what it is."""

    name: str
    url: str
    body: pathlib.Path
    pid: int | None = None
    token: str | None = None
    varied: Sequence[str] = ()
    """Texts in the body; each request has hexadecimal digits in their place, as many as they have
    characters."""
    pinned: bool = True
    """Whether the client keeps to a core of its own."""


def run(target: Target, *, seconds: float, connections: int = CONNECTIONS) -> Run:
    """Load for so long. Raises WrongAnswerError if a connection broke or an answer was an error."""
    before = machine.cpu_seconds(target.pid) if target.pid else 0.0
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
    counted = json.loads(result.stdout.splitlines()[-1])
    requests = counted["requests"]
    if counted["broken"] or counted["refused"] or not requests:
        raise errors.WrongAnswerError(server=target.name, seen=counted, wanted="only successes")
    spent = machine.cpu_seconds(target.pid) - before if target.pid else None
    return Run(
        rate=requests / counted["microseconds"] * 1e6,
        p50=counted["p50"] / 1e3,
        p99=counted["p99"] / 1e3,
        slowest=counted["max"] / 1e3,
        cpu=None if spent is None else spent / requests * 1e6,
    )


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
