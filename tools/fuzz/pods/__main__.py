"""`python -m tools.fuzz.pods [COUNT] [--seed N]`: random pods and injections before an API server.

The control plane is the run's own. `--only N` tries one pair again.
"""

from __future__ import annotations

import argparse
import contextlib
import pathlib
import sys
from typing import Final

from tools.controlplane import binaries, cluster, errors, progress
from tools.fuzz.pods import campaign

FOLDER: Final = pathlib.Path(".run/pods")
"""Where failing pairs are written."""


def main() -> int:
    """0 if every promise is kept, 1 with the files of the failing pairs otherwise."""
    parser = argparse.ArgumentParser(prog="python -m tools.fuzz.pods", description=__doc__)
    parser.add_argument("count", type=int, nargs="?", default=20_000, help="pairs (20000)")
    parser.add_argument("--seed", type=int, default=0, help="where the random pairs begin (0)")
    parser.add_argument("--only", type=int, help="the number of one pair")
    arguments = parser.parse_args()
    first = 0 if arguments.only is None else arguments.only
    count = arguments.count if arguments.only is None else 1
    shown = progress.Progress(sys.stderr)
    try:
        with cluster.ControlPlane(binaries.ensure()) as plane:
            shown.begin(f"seed {arguments.seed}: {count} pairs")
            with contextlib.closing(campaign.Campaign(plane, seed=arguments.seed)) as pods:
                outcome = pods.run(range(first, first + count), tick=shown.tick)
                print("\n".join(outcome.lines()))
                for failure in outcome.failures:
                    path = pods.write_minimal(failure, FOLDER)
                    print(f"FAILED: {failure.broken.promise}: {path}", file=sys.stderr)
    except errors.ControlPlaneError as error:
        print(f"the pairs could not be tried: {error}", file=sys.stderr)
        return 1
    return 1 if outcome.failures else 0


if __name__ == "__main__":
    sys.exit(main())
