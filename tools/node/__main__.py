"""`python -m tools.node` builds the node's programs and the images for its pods, or says where."""

from __future__ import annotations

import sys

from tools.controlplane import errors, progress
from tools.image import test_images
from tools.node import binaries, conditions


def main() -> int:
    """Exit status 1 and one line if this machine cannot run a node."""
    report = progress.Progress(sys.stderr)
    try:
        conditions.require(report=report)
        print(binaries.ensure(report=report).folder)
        print(*test_images.ensure(report=report).values(), sep="\n")
    except errors.ControlPlaneError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
