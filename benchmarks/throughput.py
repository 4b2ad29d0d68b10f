"""Answers per second on one core, beside others that do the same."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from benchmarks import figures, golang, load, product, reviews, servers, stage
from tools.controlplane import guard

TITLE: Final = "Admissions per second on one core"
STRANGERS: Final = f"{product.OURS}, new templates"
TEXT: Final = """\
The recorded review of a Deployment's pod, each time with another number and another name of the
token volume, as pods of one template come; {connections} kept-alive TLS connections, server and
client on a core each, one server after the other in {rounds} rounds of {seconds:g} s; medians, with
the least and the most of the rounds. CPU is what the server's process spends on one request: other
work on the machine disturbs it less than the rate. In the row of new templates no pod is like
another: that is what the first pod of each template costs."""

Runs = Mapping[str, Sequence[load.Run]]


def measure(scene: stage.Stage) -> stage.Result:
    """All servers in turn, and the promised ratios."""
    rounds, seconds = int(scene.pick(7, 2)), scene.pick(6, 1)
    with started(scene, stage.folder()) as running:
        runs = interleaved(scene, running, reviews.RECORDED, rounds=rounds, seconds=seconds)
    text = TEXT.format(connections=load.CONNECTIONS, rounds=rounds, seconds=seconds)
    return stage.Result(
        title=TITLE, text=text, tables=[table(runs)], figures=promised(runs), plots=plots(runs)
    )


@contextlib.contextmanager
def started(scene: stage.Stage, folder: pathlib.Path) -> Iterator[list[servers.Server]]:
    """The product and every comparator, each seen to answer as it must."""
    go = golang.ensure(scene.report)
    scene.report.begin("starting the product and the comparators")
    with (
        contextlib.closing(guard.Guard()) as watcher,
        product.started(scene.plane, replicas=1) as operators,
    ):
        comparators = servers.Comparators(watcher=watcher, folder=folder)
        running = [
            product.server(operators.replicas[0]),
            comparators.nothing(),
            comparators.go(servers.TUTORIAL, go["go_tutorial"]),
            comparators.go(servers.RUNTIME, go["go_runtime"]),
            comparators.kopf(scene.plane.kubeconfig),
        ]
        for server in running:
            servers.wait_serving(server, reviews.recorded())
        yield running


def interleaved(
    scene: stage.Stage,
    running: Sequence[servers.Server],
    body: pathlib.Path,
    *,
    rounds: int,
    seconds: float,
) -> Runs:
    """By server's name. A first round is thrown away: caches fill, Go's heap and our logs grow."""
    review = body.read_bytes()
    asked = {server.name: (server, reviews.herd(review)) for server in running}
    asked[STRANGERS] = running[0], reviews.strangers(review)
    runs: dict[str, list[load.Run]] = {name: [] for name in asked}
    for number in range(rounds + 1):
        for name, (server, varied) in asked.items():
            scene.report.tick(f"round {number} of {rounds}: {name}" if number else "warming up")
            target = load.Target(
                name=name, url=server.url, body=body, pid=server.process.pid, varied=varied
            )
            ran = load.run(target, seconds=seconds if number else 1)
            if number:
                runs[name].append(ran)
    return runs


def table(runs: Runs) -> stage.Table:
    """A row for each server, and how the product compares with it."""
    ours = rate(runs, product.OURS)
    rows = [
        (
            name,
            str(figures.Spread.of(run.rate for run in some)),
            "–" if name == product.OURS else f"{ours / rate(runs, name):.2f} ×",
            str(figures.Spread.of(run.p50 for run in some)),
            str(figures.Spread.of(run.p99 for run in some)),
            str(figures.Spread.of(run.cpu or 0.0 for run in some)),
        )
        for name, some in runs.items()
    ]
    headings = ("server", "answers/s", "ours is", "p50 ms", "p99 ms", "CPU µs")
    return stage.Table(headings=headings, rows=rows)


def promised(runs: Runs) -> list[figures.Figure]:
    """What is promised of the ratios."""
    wanted = (
        (servers.NOTHING, 0.8),
        (servers.TUTORIAL, 2.5),
        (servers.RUNTIME, 7.0),
        (servers.KOPF, 15.0),
    )
    ours = rate(runs, product.OURS)
    ratios = [
        figures.Figure(
            name=f"throughput against {name}", value=ours / rate(runs, name), unit="×", least=least
        )
        for name, least in wanted
    ]
    slowest = min(p99(runs, servers.TUTORIAL), p99(runs, servers.RUNTIME))
    late = figures.Figure(
        name="p99 at that load, against the best Go injector's",
        value=p99(runs, product.OURS),
        unit="ms",
        most=slowest,
    )
    return [*ratios, late]


def plots(runs: Runs) -> list[stage.Plot]:
    """Bars of the medians: throughput, then how long one waits for an answer."""
    medians: tuple[tuple[str, str, Callable[[load.Run], float]], ...] = (
        (TITLE, "answers/s", lambda run: run.rate),
        ("p50 at that load", "ms", lambda run: run.p50),
        ("p99 at that load", "ms", lambda run: run.p99),
    )
    return [
        stage.Plot(
            title=title, x_title="", y_title=unit, labels=list(runs),
            lines=[stage.Line(label="", x=(), y=[median(some, of) for some in runs.values()])],
        )
        for title, unit, of in medians
    ]  # fmt: skip


def median(some: Sequence[load.Run], of: Callable[[load.Run], float]) -> float:
    return figures.Spread.of(map(of, some)).median


def rate(runs: Runs, name: str) -> float:
    return median(runs[name], lambda run: run.rate)


def p99(runs: Runs, name: str) -> float:
    return median(runs[name], lambda run: run.p99)
