"""`python -m tools.dashboard` writes the dashboard into the chart, which a test compares.

`python -m tools.dashboard picture` draws some of its panels for the documents, from a run of the
product on a local control plane that a real Prometheus records.
"""

from __future__ import annotations

import argparse
import pathlib
import sys

from tools.controlplane import errors, progress
from tools.dashboard import board, picture, recording


def main() -> int:
    """Write a file; 1 and a line on stderr if that cannot be done."""
    parser = argparse.ArgumentParser(prog="python -m tools.dashboard", description=__doc__)
    verbs = parser.add_subparsers(dest="verb")
    drawing = verbs.add_parser("picture", help="draw panels from a real run (needs matplotlib)")
    drawing.add_argument("--seconds", type=float, default=180.0, help="of load (180)")
    drawing.add_argument("--to", type=pathlib.Path, default=picture.FILE, metavar="FILE")
    given = parser.parse_args()
    if given.verb is None:
        return _write()
    try:
        _draw(given.to, seconds=given.seconds)
    except errors.ControlPlaneError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _write() -> int:
    """Says so only if it changed."""
    if not board.FILE.exists() or board.FILE.read_text(encoding="utf-8") != board.text():
        board.FILE.parent.mkdir(parents=True, exist_ok=True)
        board.FILE.write_text(board.text(), encoding="utf-8")
        sys.stdout.write(f"{board.FILE.name} written\n")
    return 0


def _draw(target: pathlib.Path, *, seconds: float) -> None:
    queries = [query for panel in picture.shown() for query in panel.queries.values()]
    answers = recording.record(queries, seconds=seconds, report=progress.Progress(sys.stderr))
    for query, lines in answers.items():
        if not lines:
            sys.stderr.write(f"nothing to draw for {query}\n")
    picture.draw(answers, target)
    sys.stdout.write(f"{target.name} written, {target.stat().st_size // 1024} KiB\n")


if __name__ == "__main__":
    sys.exit(main())
