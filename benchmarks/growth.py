"""What a pod costs as the cluster grows: injections in scope, namespaces, the size of the pod."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Final

from benchmarks import event_loop, product, results, reviews, two_clusters
from tools.controlplane import webhook

TITLE: Final = "As the cluster grows"
TEXT: Final = """\
Two installations on control planes of their own, measured in turn: one has a single injection, the
other grows. Cost is processor time a pod, of a template that was seen before and of a new one;
medians of {rounds} rounds of {seconds:g} s, with least and most. Namespaces are all enabled; memory
is resident."""
KIB: Final = 1024
ALONE: Final = "1, and nothing else"
VARIABLES: Final = 2_000


def measure(bench: product.Bench) -> results.Result:
    """Everything that grows, and what takes its time when it has grown."""
    with two_clusters.started(bench) as clusters:
        memory = {"at rest": clusters.memory()}
        by_injections = grow_injections(clusters)
        memory[with_many(clusters)] = clusters.memory()
        by_namespaces, last = grow_namespaces(clusters, memory)
        by_size = grow_pods(clusters)
        promised = [
            *flat(clusters, last), *memory_kept(clusters, memory), *small_patch(clusters)
        ]  # fmt: skip
        event_loop_table, event_loop_figures = event_loop.measure(clusters)
    rounds, seconds = two_clusters.effort(bench)
    rows = [(when, f"{value:.0f}") for when, value in memory.items()]
    return results.Result(
        title=TITLE,
        text=TEXT.format(rounds=rounds, seconds=seconds),
        tables=[
            table("injections in scope", by_injections),
            table(f"namespaces, {clusters.most:,} injections in scope", by_namespaces),
            table("size of the pod", by_size),
            results.Table(headings=("memory of a replica", "MiB"), rows=rows),
            event_loop_table,
        ],
        figures=[*promised, *event_loop_figures],
        plots=[
            plot("Cost by injections in scope", "injections", by_injections),
            plot("Cost by namespaces", "namespaces", by_namespaces),
            plot("Cost by size of the pod", "KiB", by_size),
            results.bars("Memory of a replica", "MiB", memory),
        ],
    )


def grow_injections(clusters: two_clusters.TwoClusters) -> list[two_clusters.Cost]:
    """One of so many matches; then all of so many."""
    cases = [clusters.in_small(ALONE)]
    for count in (clusters.most,) if clusters.bench.quick else (1, 10, 100, clusters.most):
        namespace = f"scope-{count}"
        clusters.add_injections(namespace, count, matching=1)
        name = f"{count:,}, one matching"
        cases.append(clusters.in_large(name, namespace, series="one matches", x=count))
    for count in () if clusters.bench.quick else (5, 20):
        namespace = f"all-{count}"
        clusters.add_injections(namespace, count, matching=count)
        cases.append(
            clusters.in_large(f"{count}, all matching", namespace, series="all match", x=count)
        )
    return two_clusters.costs(clusters.bench, cases)


def grow_namespaces(
    clusters: two_clusters.TwoClusters, memory: dict[str, float]
) -> tuple[list[two_clusters.Cost], list[two_clusters.Cost]]:
    """By number of namespaces; and, with the most of them, one injection and 1,000."""
    every: list[two_clusters.Cost] = []
    last: list[two_clusters.Cost] = []
    before = 0
    for count in (300,) if clusters.bench.quick else (10, 1_000, 5_000):
        clusters.add_namespaces(before, count)
        before = count
        memory[f"and {count:,} namespaces"] = clusters.memory()
        largest = clusters.in_large(f"{count:,}", clusters.namespace, x=count)
        last = two_clusters.costs(clusters.bench, [clusters.in_small(ALONE), largest])
        every.append(last[1])
    return every, last


def grow_pods(clusters: two_clusters.TwoClusters) -> list[two_clusters.Cost]:
    """Pods of 2 KB to 1 MB; what they have more is variables."""
    sizes = (64,) if clusters.bench.quick else (2, 6, 16, 64, 256, 1_000)
    cases = [
        clusters.in_small(f"{size:,} KiB", review=reviews.of_size(size * KIB), x=size)
        for size in sizes
    ]
    return two_clusters.costs(clusters.bench, cases)


def with_many(clusters: two_clusters.TwoClusters) -> str:
    return f"with {clusters.most:,} injections"


def flat(
    clusters: two_clusters.TwoClusters, last: Sequence[two_clusters.Cost]
) -> list[results.Figure]:
    """The promise about growth, from runs that were interleaved."""
    alone, largest = last
    name = f"cost {with_many(clusters)} and {largest.case.name} namespaces, against one"
    ratios = {
        "": largest.known.median / alone.known.median,
        ", new templates": largest.new.median / alone.new.median,
    }
    return [
        results.Figure(name=f"{name}{what}", value=ratio, unit="×", most=1.3)
        for what, ratio in ratios.items()
    ]


def memory_kept(
    clusters: two_clusters.TwoClusters, memory: Mapping[str, float]
) -> list[results.Figure]:
    """The promises about memory."""
    return [
        results.Figure(
            name=f"memory of a replica {when}", value=memory[when], unit="MiB", most=most
        )
        for when, most in (("at rest", 90), (with_many(clusters), 130))
    ]


def small_patch(clusters: two_clusters.TwoClusters) -> list[results.Figure]:
    """The promises about a pod with very many variables."""
    replica, review = clusters.small.replicas[0], reviews.with_variables(VARIABLES)
    calls = int(clusters.bench.pick(200, 50))
    meter = event_loop.Meter(replica)
    with webhook.Connection(replica.backend.port) as connection:
        # Each of a new template, so that each is decided.
        template = reviews.new_templates(review)[-1].encode()
        bodies = [review.replace(template, b"%010x" % number) for number in range(calls)]
        answers = [connection.post(body) for body in bodies]
    growth = meter.growth()
    patch = base64.b64decode(answers[0]["response"]["patch"])
    name = f"a pod with {VARIABLES:,} variables"
    return [
        results.Figure(name=f"{name}: patch", value=len(patch) / KIB, unit="KiB", most=5),
        results.Figure(
            name=f"{name}: from body to answer",
            value=growth.admission_seconds / growth.admissions * 1e3,
            unit="ms",
            most=2,
        ),
    ]


def table(heading: str, every: Sequence[two_clusters.Cost]) -> results.Table:
    rows = [(cost.case.name, str(cost.known), str(cost.new)) for cost in every]
    return results.Table(headings=(heading, "µs a pod", "of a new template"), rows=rows)


def plot(title: str, x_title: str, every: Sequence[two_clusters.Cost]) -> results.Plot:
    """Medians, two lines for each series."""
    groups: dict[str, list[two_clusters.Cost]] = {}
    for cost in every:
        groups.setdefault(cost.case.series, []).append(cost)
    lines = [
        results.Line(
            label=", ".join(filter(None, (series, what))),
            x=[cost.case.x for cost in some],
            y=[spread.median for spread in spreads],
        )
        for series, some in groups.items()
        for what, spreads in (
            ("known template", [cost.known for cost in some]),
            ("new template", [cost.new for cost in some]),
        )
    ]
    return results.Plot(
        title=title, x_title=x_title, y_title="µs a pod", logarithmic=True, lines=lines
    )
