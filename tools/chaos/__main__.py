"""`python -m tools.chaos [--quick] [--rows NAME,NAME] [--times N]`; see docs/chaos.md."""

from __future__ import annotations

import argparse
import json
import logging
import os
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from typing import Final

import sidecar_injector
from tools.chaos import cluster, report, run, table
from tools.controlplane import binaries, errors, progress, release

FOLDER: Final = release.ROOT / ".run" / "chaos"
REPORT: Final = FOLDER / "report.json"
SERVERS: Final = FOLDER / "servers"
INTERRUPTED: Final = 130


def main() -> int:
    """0 only if no row fails."""
    arguments = _arguments()
    # API servers that are down are expected here.
    logging.getLogger(sidecar_injector.__name__).setLevel(logging.ERROR)
    # As Ctrl-C: everything that was started ends on the way out.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    shutil.rmtree(FOLDER, ignore_errors=True)
    results: list[run.Result] = []
    begun = time.monotonic()
    try:
        _play(arguments, results)
    except KeyboardInterrupt:
        print("interrupted; everything that was started has ended", file=sys.stderr)
        return INTERRUPTED
    except (errors.ControlPlaneError, OSError) as error:
        print(f"chaos could not begin: {error}", file=sys.stderr)
        return 1
    finally:
        _print(results, seconds=time.monotonic() - begun, quick=arguments.quick)
    if report.failed(results):
        print(f"logs: {SERVERS}", file=sys.stderr)
        return 1
    shutil.rmtree(SERVERS, ignore_errors=True)
    return 0


def chosen(text: str) -> tuple[run.Row, ...]:
    """The rows of these names, in the table's order; all for no text."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in {row.name for row in table.ROWS}:
            accepted = ", ".join(row.name for row in table.ROWS)
            raise argparse.ArgumentTypeError(f"there is no row {name!r}; rows are {accepted}")
    return tuple(row for row in table.ROWS if not names or row.name in names)


def in_turn(rows: Sequence[run.Row]) -> list[run.Row]:
    """The order in which rows are played: few changes of settings and few new replicas."""
    return sorted(rows, key=lambda row: (bool(row.settings), row.spoils))


def positive(text: str) -> int | None:
    """A number of 1 or more; nothing for no text."""
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 1 or more")
    return int(text)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tools.chaos", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few repetitions of each row")
    parser.add_argument("--rows", type=chosen, default="", help="only these, by name")
    parser.add_argument("--times", type=positive, default="", help="repetitions of each row")
    return parser.parse_args()


def _play(arguments: argparse.Namespace, results: list[run.Result]) -> None:
    speaker = progress.Progress(sys.stderr)
    speaker.begin("starting two API servers and three replicas")
    SERVERS.mkdir(parents=True)
    with cluster.Cluster(binaries.cached(), folder=SERVERS) as servers:
        for row in in_turn(arguments.rows):
            times = arguments.times or (row.quick if arguments.quick else row.times)
            speaker.begin(f"{row.name}: {row.title}, {times} times")
            servers.prepare(row.settings)
            played = run.Run(servers, row, times=times, quick=arguments.quick, tick=speaker.tick)
            result = played.play()
            results.append(result)
            speaker.say(f"{row.name}: {_verdict(result)} after {result.seconds:.0f} s")
            if row.spoils or result.failures:
                servers.spoil()


def _verdict(result: run.Result) -> str:
    return f"FAILED ({'; '.join(result.failures)})" if result.failures else "ok"


def _print(played: Sequence[run.Result], *, seconds: float, quick: bool) -> None:
    if not played:
        return
    results = sorted(played, key=lambda result: table.ROWS.index(result.row))
    print(report.table(results))
    load = os.getloadavg()[1]
    facts = report.document(results, seconds=round(seconds), quick=quick, load_average=load)
    FOLDER.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(json.dumps(facts, indent=1), "utf-8")
    print(
        f"\n{progress.minutes(seconds)} min; every figure is in {REPORT.relative_to(release.ROOT)}"
    )


if __name__ == "__main__":
    sys.exit(main())
