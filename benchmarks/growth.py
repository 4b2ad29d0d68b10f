"""What a pod costs as the cluster grows: injections in scope, namespaces, the size of the pod."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Final

from benchmarks import figures, grounds, moments, post, reviews, scrape, stage

TITLE: Final = "As the cluster grows"
TEXT: Final = """\
Two installations on control planes of their own, measured in turn: one has a single injection, the
other grows. Cost is processor time a pod, of a template that was seen before and of a new one;
medians of {rounds} rounds of {seconds:g} s, with least and most. Namespaces are all enabled; memory
is resident."""
KIB: Final = 1024
ALONE: Final = "1, and nothing else"
VARIABLES: Final = 2_000


def measure(scene: stage.Stage) -> stage.Result:
    """Everything that grows, and what takes its time when it has grown."""
    with grounds.prepared(scene) as here:
        memory = {"at rest": here.memory()}
        by_injections = grow_injections(here)
        memory[with_many(here)] = here.memory()
        by_namespaces, last = grow_namespaces(here, memory)
        by_size = grow_pods(here)
        promised = [*flat(here, last), *memory_kept(here, memory), *small_patch(here)]
        timed = moments.measure(here)
    rounds, seconds = grounds.effort(scene)
    rows = [(when, f"{value:.0f}") for when, value in memory.items()]
    return stage.Result(
        title=TITLE,
        text=TEXT.format(rounds=rounds, seconds=seconds),
        tables=[
            table("injections in scope", by_injections),
            table(f"namespaces, {here.most:,} injections in scope", by_namespaces),
            table("size of the pod", by_size),
            stage.Table(headings=("memory of a replica", "MiB"), rows=rows),
            timed.table,
        ],
        figures=[*promised, *timed.figures],
        plots=[
            plot("Cost by injections in scope", "injections", by_injections),
            plot("Cost by namespaces", "namespaces", by_namespaces),
            plot("Cost by size of the pod", "KiB", by_size),
            memory_plot(memory),
        ],
    )


def grow_injections(here: grounds.Grounds) -> list[grounds.Cost]:
    """One of so many matches; then all of so many."""
    cases = [here.one(ALONE)]
    for count in (here.most,) if here.scene.quick else (1, 10, 100, here.most):
        space = f"scope-{count}"
        here.filled.injections(space, count, matching=1)
        cases.append(here.many(f"{count:,}, one matching", space, series="one matches", x=count))
    for count in () if here.scene.quick else (5, 20):
        space = f"all-{count}"
        here.filled.injections(space, count, matching=count)
        cases.append(here.many(f"{count}, all matching", space, series="all match", x=count))
    return grounds.costs(here.scene, cases)


def grow_namespaces(
    here: grounds.Grounds, memory: dict[str, float]
) -> tuple[list[grounds.Cost], list[grounds.Cost]]:
    """By number of namespaces; and, with the most of them, one injection and 1,000."""
    found, last = [], []
    for count in (300,) if here.scene.quick else (10, 1_000, 5_000):
        here.filled.namespaces(count)
        memory[f"and {count:,} namespaces"] = here.memory()
        largest = here.many(f"{count:,}", here.space, x=count)
        last = grounds.costs(here.scene, [here.one(ALONE), largest])
        found.append(last[1])
    return found, last


def grow_pods(here: grounds.Grounds) -> list[grounds.Cost]:
    """Pods of 2 KB to 1 MB; what they have more is variables."""
    sizes = (64,) if here.scene.quick else (2, 6, 16, 64, 256, 1_000)
    cases = [
        here.one(f"{size:,} KiB", review=reviews.of_size(size * KIB), x=size) for size in sizes
    ]
    return grounds.costs(here.scene, cases)


def with_many(here: grounds.Grounds) -> str:
    return f"with {here.most:,} injections"


def flat(here: grounds.Grounds, last: Sequence[grounds.Cost]) -> list[figures.Figure]:
    """The promise about growth, from runs that were interleaved."""
    alone, largest = last
    name = f"cost {with_many(here)} and {largest.case.name} namespaces, against one"
    ratios = {
        "": largest.known.median / alone.known.median,
        ", new templates": largest.new.median / alone.new.median,
    }
    return [
        figures.Figure(name=f"{name}{what}", value=ratio, unit="×", most=1.3)
        for what, ratio in ratios.items()
    ]


def memory_kept(here: grounds.Grounds, memory: Mapping[str, float]) -> list[figures.Figure]:
    """The promises about memory."""
    return [
        figures.Figure(
            name=f"memory of a replica {when}", value=memory[when], unit="MiB", most=most
        )
        for when, most in (("at rest", 90), (with_many(here), 130))
    ]


def small_patch(here: grounds.Grounds) -> list[figures.Figure]:
    """The promises about a pod with very many variables."""
    replica, review = here.alone.replicas[0], reviews.with_variables(VARIABLES)
    calls = int(here.scene.pick(200, 50))
    meter = scrape.Meter(replica)
    with post.Connection(replica.backend.port) as connection:
        # Each of a new template, so that each is decided about.
        varied = reviews.strangers(review)[-1].encode()
        bodies = [review.replace(varied, b"%010x" % number) for number in range(calls)]
        answers = [connection.post("/mutate", body) for body in bodies]
    seen = meter.since()
    patch = base64.b64decode(answers[0]["response"]["patch"])
    name = f"a pod with {VARIABLES:,} variables"
    return [
        figures.Figure(name=f"{name}: patch", value=len(patch) / KIB, unit="KiB", most=5),
        figures.Figure(
            name=f"{name}: from body to answer",
            value=seen.admission_seconds / seen.admissions * 1e3,
            unit="ms",
            most=2,
        ),
    ]


def table(of: str, found: Sequence[grounds.Cost]) -> stage.Table:
    rows = [(cost.case.name, str(cost.known), str(cost.new)) for cost in found]
    return stage.Table(headings=(of, "µs a pod", "of a new template"), rows=rows)


def plot(title: str, x_title: str, found: Sequence[grounds.Cost]) -> stage.Plot:
    """Medians, two lines for each series."""
    groups: dict[str, list[grounds.Cost]] = {}
    for cost in found:
        groups.setdefault(cost.case.series, []).append(cost)
    lines = [
        stage.Line(
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
    return stage.Plot(
        title=title,
        x_title=x_title,
        y_title="µs a pod",
        logarithmic=True,
        lines=lines,
    )


def memory_plot(memory: Mapping[str, float]) -> stage.Plot:
    """Bars, as each comes on top of the one before."""
    values = list(memory.values())
    return stage.Plot(
        title="Memory of a replica", x_title="", y_title="MiB", labels=list(memory),
        lines=[stage.Line(label="", x=(), y=values)],
    )  # fmt: skip
