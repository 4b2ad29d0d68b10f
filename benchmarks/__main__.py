"""`python -m benchmarks [--quick] [PART ...]`: measure, print, and write .run/bench/."""

from __future__ import annotations

import argparse
import datetime
import pathlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from benchmarks import (
    burst,
    creations,
    drawing,
    errors,
    growth,
    machine,
    markdown,
    stage,
    throughput,
)
from tools.controlplane import binaries, progress
from tools.controlplane import errors as controlplane

PARTS: Final[Mapping[str, Callable[[stage.Stage], stage.Result]]] = {
    "throughput": throughput.measure,
    "burst": burst.measure,
    "creations": creations.measure,
    "growth": growth.measure,
}
INTERRUPTED: Final = 130
DOCUMENTS: Final = pathlib.Path(__file__).parents[1] / "docs"


def main() -> int:
    """0 if everything could be measured, whatever the figures are."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--quick", action="store_true", help="two minutes instead of twenty")
    parser.add_argument("--keep", action="store_true", help="write docs/benchmarks.md as well")
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.parts) - set(PARTS))
    if unknown:
        parser.error(f"there is no part {unknown[0]}; parts are {', '.join(PARTS)}")
    try:
        machine.require()
        busy = machine.load_average()
        report = progress.Progress(sys.stderr)
        scene = stage.Stage(programs=binaries.cached(), report=report, quick=arguments.quick)
        results = run(scene, arguments.parts or list(PARTS))
        write(results, stage.folder(), conditions(scene, busy))
        if arguments.keep:
            write(results, DOCUMENTS, conditions(scene, busy))
    except KeyboardInterrupt:
        print("interrupted; everything that was started has ended", file=sys.stderr)
        return INTERRUPTED
    except (controlplane.ControlPlaneError, errors.BenchError) as error:
        print(f"the benchmark failed: {error}", file=sys.stderr)
        return 1
    return 0


def run(scene: stage.Stage, parts: Sequence[str]) -> list[stage.Result]:
    """Measure the parts in this order, print each as it is done, and all promised figures."""
    results = []
    for name in parts:
        results.append(PARTS[name](scene))
        for table in results[-1].tables:
            print(f"\n{markdown.plain(table)}", flush=True)
    print()
    for result in results:
        for figure in result.figures:
            print(figure)
    return results


def write(results: Sequence[stage.Result], folder: pathlib.Path, conditions: str) -> None:
    """The page and, if there is anything to draw, its picture."""
    page, picture = folder / "benchmarks.md", folder / "benchmarks.png"
    plots = [plot for result in results for plot in result.plots]
    if plots:
        drawing.draw(plots, picture)
    name = picture.name if plots else None
    page.write_text(markdown.page(results, conditions=conditions, picture=name), "utf-8")
    print(f"written: {page}")


def conditions(scene: stage.Stage, busy: float) -> str:
    """Where and when, and what else was going on."""
    today = datetime.datetime.now(datetime.UTC).date()
    kind = "quick run, " if scene.quick else ""
    return (
        f"{today}, {kind}{machine.description()}. Load average before the run: {busy:.1f}"
        " (whatever is above 0 was other work on the same machine)."
    )


if __name__ == "__main__":
    sys.exit(main())
