"""`python -m benchmarks.profile [--whole]`: where the time of an admission goes.

Alone, the handler of `/mutate` is called with the recorded review: microseconds, then the functions
that take most of them. (cProfile counts calls exactly, and makes short functions look dearer than
they are.) With --whole, the installed operator is sampled under load, see `sampling`.
"""

from __future__ import annotations

import argparse
import contextlib
import cProfile
import json
import logging
import pathlib
import pstats
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from benchmarks import load, machine, product, results, reviews, servers
from sidecar_injector import names
from sidecar_injector.httpserver import messages
from sidecar_injector.observability import logs
from tools import trace
from tools.controlplane import binaries, cluster, operators, release

TOP: Final = 15
ROUNDS, CALLS = 7, 2_000
PARTS: Final = ("sidecar_injector/", "benchmarks/")


def main() -> int:
    """Print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profile", description=__doc__)
    parser.add_argument("--whole", action="store_true", help="sample the whole operator under load")
    arguments = parser.parse_args()
    if arguments.whole:
        machine.require()
        whole(seconds=10)
    else:
        alone()
    return 0


def alone() -> None:
    """The handler by itself, with matching, checks, a JSON log to a file and metrics."""
    with tempfile.TemporaryFile("w+", encoding="utf-8") as log:
        sys.stderr, terminal = log, sys.stderr
        try:
            logs.configure_logging(log_format="json", log_level="info")
        finally:
            sys.stderr = terminal
        call = handler()
        call()
        spread = results.Spread.of(_timed(call) for _ in range(ROUNDS))
        print(f"one admission, from body to answer: {spread} µs")
        watcher = cProfile.Profile()
        watcher.runcall(_repeat, call)
    rows = [_row(*item) for item in _dearest(watcher)]
    headings = ("function", "own µs", "with callees µs", "calls")
    print(results.plain(results.Table(headings=headings, rows=rows)))


def handler() -> Callable[[], messages.Response]:
    """Calls the product's handler with the recorded pod."""
    webhook = trace.pod_webhook(
        product.injection(), namespace=product.NAMESPACE, handlers=logging.getLogger().handlers
    )
    request = messages.Request(method="POST", path=names.MUTATE_PATH, headers={})
    request.body = reviews.recorded()

    def call() -> messages.Response:
        answer = webhook.mutate(request)
        assert isinstance(answer, messages.Response), "the recorded review is small"
        return answer

    servers.require_injected("the handler", request.body, json.loads(call().body))
    return call


def whole(*, seconds: float) -> None:
    """The operator as installed, sampled from its start to its end, mostly under load."""
    samples = machine.folder() / "samples.json"
    with contextlib.ExitStack() as stack:
        plane = stack.enter_context(cluster.ControlPlane(binaries.cached()))
        product.install(plane)
        (replica,) = stack.enter_context(product.started(plane, replicas=1)).replicas
        _start_sampled(replica, samples)
        server = product.server(replica)
        servers.wait_serving(server, reviews.recorded())
        target = load.Target(
            name=server.name, url=server.url, body=reviews.RECORDED, process=replica,
            varied=reviews.same_template(reviews.recorded()),
        )  # fmt: skip
        run = load.run(target, seconds=seconds)
        replica.terminate()
    print(f"{run.rate:,.0f} answers/s while sampled, {run.cpu:.0f} µs of processor time each")
    counts = json.loads(samples.read_text("utf-8"))
    everything = sum(count for _, count in counts["own"])
    total = dict(counts["total"])
    rows = [
        (name, f"{count / everything:.1%}", f"{total[name] / everything:.1%}")
        for name, count in counts["own"][:TOP]
    ]
    headings = ("function", "own", "with callees")
    print(results.plain(results.Table(headings=headings, rows=rows)))


def _start_sampled(replica: operators.Replica, target: pathlib.Path) -> None:
    """The same replica again, with its command inside the sampler."""
    replica.terminate()
    process = replica
    words = process.command[1:]
    process.command = (sys.executable, "-m", "benchmarks.sampling", str(target), *words)
    assert process.environment is not None
    process.environment["PYTHONPATH"] = str(release.ROOT)
    replica.start()
    replica.wait_ready()


def _timed(call: Callable[[], object]) -> float:
    """Microseconds a call."""
    begin = time.perf_counter()
    _repeat(call)
    return (time.perf_counter() - begin) / CALLS * 1e6


def _repeat(call: Callable[[], object]) -> None:
    for _ in range(CALLS):
        call()


Timing = tuple[str, float, float, int]


def _dearest(watcher: cProfile.Profile) -> Sequence[Timing]:
    """The functions with most time of their own: name, own and whole seconds, calls."""
    stats: Any = pstats.Stats(watcher)
    timings = [
        (_label(*function), own, whole, calls)
        for function, (_, calls, own, whole, _) in stats.stats.items()
    ]
    return sorted(timings, key=lambda timing: -timing[1])[:TOP]


def _label(file: str, line: int, function: str) -> str:
    for part in PARTS:
        if part in file:
            return f"{file.partition(part)[2]}:{line} {function}"
    return f"{pathlib.PurePath(file).name} {function}" if line else function


def _row(name: str, own: float, whole: float, calls: int) -> tuple[str, ...]:
    micro = 1e6 / CALLS
    return name, f"{own * micro:.1f}", f"{whole * micro:.1f}", f"{calls / CALLS:g}"


if __name__ == "__main__":
    sys.exit(main())
