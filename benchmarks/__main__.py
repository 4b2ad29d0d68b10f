"""`python -m benchmarks [--quick] [PART ...]`: measure, print, and write .run/bench/."""

from __future__ import annotations

import argparse
import datetime
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from benchmarks import creations, errors, growth, machine, markdown, stage, throughput
from tools.controlplane import binaries, progress
from tools.controlplane import errors as controlplane

PARTS: Final[Mapping[str, Callable[[stage.Stage], stage.Result]]] = {
    "throughput": throughput.measure,
    "creations": creations.measure,
    "growth": growth.measure,
}
INTERRUPTED: Final = 130


def main() -> int:
    """0 if everything could be measured, whatever the figures are."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--quick", action="store_true", help="two minutes instead of twenty")
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.parts) - set(PARTS))
    if unknown:
        parser.error(f"there is no part {unknown[0]}; parts are {', '.join(PARTS)}")
    try:
        machine.require()
        report = progress.Progress(sys.stderr)
        scene = stage.Stage(programs=binaries.cached(), report=report, quick=arguments.quick)
        run(scene, arguments.parts or list(PARTS))
    except KeyboardInterrupt:
        print("interrupted; everything that was started has ended", file=sys.stderr)
        return INTERRUPTED
    except (controlplane.ControlPlaneError, errors.BenchError) as error:
        print(f"the benchmark failed: {error}", file=sys.stderr)
        return 1
    return 0


def run(scene: stage.Stage, parts: Sequence[str]) -> None:
    """Measure the parts in this order, print each as it is done, write the page at the end."""
    busy, results = machine.load_average(), []
    for name in parts:
        results.append(PARTS[name](scene))
        for table in results[-1].tables:
            print(markdown.plain(table), flush=True)
    for result in results:
        for figure in result.figures:
            print(figure)
    stage.RESULTS.mkdir(parents=True, exist_ok=True)
    page = stage.RESULTS / "benchmarks.md"
    page.write_text(
        markdown.page(results, conditions=conditions(scene, busy), picture=None), "utf-8"
    )
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
