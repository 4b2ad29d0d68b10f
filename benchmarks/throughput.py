"""Answers per second on one core, beside others that do the same."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from benchmarks import load, machine, product, results, reviews, servers
from tools.controlplane import guard

TITLE: Final = "Admissions per second on one core"
NEW_TEMPLATES: Final = f"{product.OURS}, new templates"
TEXT: Final = """\
The recorded review of a Deployment's pod, each time with another number and another name of the
token volume, as pods of one template come; {connections} kept-alive TLS connections, server and
client on a core each, one server after the other in {rounds} rounds of {seconds:g} s; medians, with
the least and the most of the rounds. CPU is what the server's process spends on one request: other
work on the machine disturbs it less than the rate. In the row of new templates no pod is like
another: that is what the first pod of each template costs."""

Runs = Mapping[str, Sequence[load.Run]]


def measure(bench: product.Bench) -> results.Result:
    """All servers in turn, and the promised ratios."""
    rounds, seconds = int(bench.pick(7, 2)), bench.pick(6, 1)
    review = reviews.recorded()
    with started(bench, machine.folder()) as running:
        targets = [
            load.Target(
                name=name, url=server.url, body=reviews.RECORDED, process=server.process,
                varied=varied,
            )
            for name, server, varied in (
                *((server.name, server, reviews.same_template(review)) for server in running),
                (NEW_TEMPLATES, running[0], reviews.new_templates(review)),
            )
        ]  # fmt: skip
        runs = load.interleaved(targets, rounds=rounds, seconds=seconds, report=bench.report)
    text = TEXT.format(connections=load.CONNECTIONS, rounds=rounds, seconds=seconds)
    return results.Result(
        title=TITLE, text=text, tables=[table(runs)], figures=promised(runs), plots=plots(runs)
    )


@contextlib.contextmanager
def started(bench: product.Bench, folder: pathlib.Path) -> Iterator[list[servers.Server]]:
    """The product and every comparator, after each has answered as it must."""
    go = servers.build(bench.report)
    bench.report.begin("starting the product and the comparators")
    with (
        contextlib.closing(guard.Guard()) as watcher,
        product.started(bench.plane, replicas=1) as operators,
    ):
        comparators = servers.Comparators(watcher=watcher, folder=folder)
        running = [
            product.server(operators.replicas[0]),
            comparators.nothing(),
            comparators.go(servers.TUTORIAL, go["go_tutorial"]),
            comparators.go(servers.RUNTIME, go["go_runtime"]),
            comparators.kopf(bench.plane.kubeconfig),
        ]
        for server in running:
            servers.wait_serving(server, reviews.recorded())
        yield running


def table(runs: Runs) -> results.Table:
    """A row for each server, and how the product compares with it."""
    ours = load.rate(runs[product.OURS])
    rows = [
        (
            name,
            str(results.Spread.of(run.rate for run in some)),
            "–" if name == product.OURS else f"{ours / load.rate(some):.2f} ×",
            str(results.Spread.of(run.p50 for run in some)),
            str(results.Spread.of(run.p99 for run in some)),
            str(results.Spread.of(run.cpu for run in some)),
        )
        for name, some in runs.items()
    ]
    headings = ("server", "answers/s", "ours is", "p50 ms", "p99 ms", "CPU µs")
    return results.Table(headings=headings, rows=rows)


def promised(runs: Runs) -> list[results.Figure]:
    """What is promised of the ratios."""
    targets = (
        (servers.NOTHING, 0.8),
        (servers.TUTORIAL, 2.5),
        (servers.RUNTIME, 7.0),
        (servers.KOPF, 15.0),
    )
    ours = load.rate(runs[product.OURS])
    ratios = [
        results.Figure(
            name=f"throughput against {name}",
            value=ours / load.rate(runs[name]),
            unit="×",
            least=least,
        )
        for name, least in targets
    ]
    slowest = min(_p99(runs[name]) for name in (servers.TUTORIAL, servers.RUNTIME))
    late = results.Figure(
        name="p99 at that load, against the best Go injector's",
        value=_p99(runs[product.OURS]),
        unit="ms",
        most=slowest,
    )
    return [*ratios, late]


def plots(runs: Runs) -> list[results.Plot]:
    """Bars of the medians: throughput, then how long one waits for an answer."""
    values: tuple[tuple[str, str, Callable[[load.Run], float]], ...] = (
        (TITLE, "answers/s", lambda run: run.rate),
        ("p50 at that load", "ms", lambda run: run.p50),
        ("p99 at that load", "ms", lambda run: run.p99),
    )
    return [
        results.bars(title, unit, {name: load.median(some, value) for name, some in runs.items()})
        for title, unit, value in values
    ]


def _p99(some: Sequence[load.Run]) -> float:
    return load.median(some, lambda run: run.p99)
