"""`python -m tools.chaos [--quick] [--rows NAME,NAME] [--times N]`; see docs/chaos.md."""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from typing import Final

from tools.chaos import report, scene, stage, table
from tools.controlplane import binaries, errors, progress

FOLDER: Final = stage.ROOT / ".run" / "chaos"
REPORT: Final = FOLDER / "report.json"
SERVERS: Final = FOLDER / "servers"
INTERRUPTED: Final = 130


def main() -> int:
    """0 only if every row holds."""
    arguments = _arguments()
    # As Ctrl-C: everything that was started is ended on the way out.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    shutil.rmtree(FOLDER, ignore_errors=True)
    results: list[scene.Result] = []
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
        _tell(results, seconds=time.monotonic() - begun, quick=arguments.quick)
    if report.failed(results):
        print(f"logs: {SERVERS}", file=sys.stderr)
        return 1
    shutil.rmtree(SERVERS, ignore_errors=True)
    return 0


def chosen(text: str) -> tuple[scene.Row, ...]:
    """The rows of these names, in the table's order; all for no text."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    known = {row.name for row in table.ROWS}
    for name in names:
        if name not in known:
            accepted = ", ".join(row.name for row in table.ROWS)
            raise argparse.ArgumentTypeError(f"there is no row {name!r}; rows are {accepted}")
    return tuple(row for row in table.ROWS if not names or row.name in names)


def in_turn(rows: Sequence[scene.Row]) -> list[scene.Row]:
    """As they are played: new replicas are needed after a change of settings or a spoilt stage."""
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


def _play(arguments: argparse.Namespace, results: list[scene.Result]) -> None:
    speaker = progress.Progress(sys.stderr)
    speaker.begin("starting two API servers and three replicas")
    SERVERS.mkdir(parents=True)
    with stage.Stage(binaries.cached(), folder=SERVERS) as place:
        for row in in_turn(arguments.rows):
            times = arguments.times or (row.quick if arguments.quick else row.times)
            speaker.begin(f"{row.name}: {row.title}, {times} times")
            place.prepare(row.settings)
            result = scene.Scene(
                place, row, times=times, quick=arguments.quick, tick=speaker.tick
            ).play()
            results.append(result)
            speaker.say(f"{row.name}: {_verdict(result)} after {result.seconds:.0f} s")
            if row.spoils or result.failures:
                place.spoil()


def _verdict(result: scene.Result) -> str:
    return f"FAILED ({'; '.join(result.failures)})" if result.failures else "ok"


def _tell(played: Sequence[scene.Result], *, seconds: float, quick: bool) -> None:
    if not played:
        return
    results = sorted(played, key=lambda result: table.ROWS.index(result.row))
    print(report.table(results))
    load = os.getloadavg()[1]
    FOLDER.mkdir(parents=True, exist_ok=True)
    pathlib.Path(REPORT).write_text(
        json.dumps(
            report.document(results, seconds=round(seconds), quick=quick, load_average=load),
            indent=1,
        ),
        "utf-8",
    )
    print(f"\n{progress.minutes(seconds)} min; every figure is in {REPORT.relative_to(stage.ROOT)}")


if __name__ == "__main__":
    sys.exit(main())
