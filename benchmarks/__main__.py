"""`python -m benchmarks [--quick] [PART ...]`: measure, print, and write .run/bench/."""

from __future__ import annotations

import argparse
import datetime
import os
import pathlib
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

from benchmarks import (
    cli,
    creations,
    deployments,
    disturbance,
    errors,
    growth,
    hostile,
    machine,
    plan,
    policies,
    product,
    results,
    throughput,
)
from tools.controlplane import binaries, cluster, progress
from tools.controlplane import errors as controlplane

PARTS: Final[Mapping[str, Callable[[product.Bench], results.Result]]] = {
    "throughput": throughput.measure,
    "burst": disturbance.measure,
    "hostile": hostile.measure,
    "growth": growth.measure,
    "cli": cli.measure,
    "plan": plan.measure,
    "policies": policies.measure,
    "deployments": deployments.measure,
    "creations": creations.measure,
}
"""Measured in this order."""
INTERRUPTED: Final = 130
DOCUMENTS: Final = pathlib.Path(__file__).parents[1] / "docs"


def main() -> int:
    """0 if everything could be measured, whatever the figures are."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--quick", action="store_true", help="six minutes instead of thirty")
    parser.add_argument("--keep", action="store_true", help="write docs/benchmarks.md as well")
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.parts) - set(PARTS))
    if unknown:
        parser.error(f"there is no part {unknown[0]}; parts are {', '.join(PARTS)}")
    try:
        machine.require()
        load_average = os.getloadavg()[0]
        measured = run(arguments.parts or list(PARTS), quick=arguments.quick)
        text = conditions(load_average, quick=arguments.quick)
        for folder in (machine.folder(), *((DOCUMENTS,) if arguments.keep else ())):
            write(measured, folder, text)
    except KeyboardInterrupt:
        print("interrupted; everything that was started has ended", file=sys.stderr)
        return INTERRUPTED
    except (controlplane.ControlPlaneError, errors.BenchError) as error:
        print(f"the benchmark failed: {error}", file=sys.stderr)
        return 1
    return 0


def run(parts: Collection[str], *, quick: bool) -> list[results.Result]:
    """Measure the parts, print each as it is done, and all promised figures at the end."""
    report = progress.Progress(sys.stderr)
    measured = []
    report.begin("starting a control plane")
    with cluster.ControlPlane(binaries.cached()) as plane:
        product.install(plane)
        bench = product.Bench(plane=plane, report=report, quick=quick)
        for name, measure in PARTS.items():
            if name not in parts:
                continue
            measured.append(measure(bench))
            for table in measured[-1].tables:
                print(f"\n{results.plain(table)}", flush=True)
    print()
    for result in measured:
        for figure in result.figures:
            print(figure)
    return measured


def write(measured: Sequence[results.Result], folder: pathlib.Path, conditions: str) -> None:
    """The page and, if there is anything to draw, its picture."""
    page, picture = folder / "benchmarks.md", folder / "benchmarks.png"
    plots = [plot for result in measured for plot in result.plots]
    if plots:
        results.draw(plots, picture)
    name = picture.name if plots else None
    page.write_text(results.page(measured, conditions=conditions, picture=name), "utf-8")
    print(f"written: {page}")


def conditions(load_average: float, *, quick: bool) -> str:
    """Where and when, and what else was going on."""
    today = datetime.datetime.now(datetime.UTC).date()
    kind = "quick run, " if quick else ""
    return (
        f"{today}, {kind}{machine.description()}. Load average before the run: {load_average:.1f}"
        " (whatever is above 0 was other work on the same machine)."
    )


if __name__ == "__main__":
    sys.exit(main())
