"""`python -m tools.dashboard` writes the dashboard into the chart, which a test compares.

`python -m tools.dashboard picture` draws some of its panels for the documents, from a run of the
product on a local control plane that a real Prometheus records.
"""

from __future__ import annotations

import argparse
import pathlib
import sys

from benchmarks import errors as benchmarks
from tools import pages
from tools.controlplane import errors, progress
from tools.dashboard import board, picture


def main() -> int:
    """Write a file; 1 and a line on stderr if that cannot be done."""
    parser = argparse.ArgumentParser(prog="python -m tools.dashboard", description=__doc__)
    verbs = parser.add_subparsers(dest="verb")
    drawing = verbs.add_parser("picture", help="draw panels from a real run (needs matplotlib)")
    drawing.add_argument("--seconds", type=float, default=180.0, help="of load (180)")
    drawing.add_argument("--to", type=pathlib.Path, default=picture.FILE, metavar="FILE")
    arguments = parser.parse_args()
    if arguments.verb is None:
        pages.write(board.FILE, board.text())
        return 0
    target, report = arguments.to, progress.Progress(sys.stderr)
    try:
        picture.draw(target, seconds=arguments.seconds, report=report)
    except (errors.ControlPlaneError, benchmarks.BenchError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{target.name} written, {target.stat().st_size // 1024} KiB\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
