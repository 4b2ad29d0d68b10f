"""`python -m tools.image` builds the image if it has changed and prints its archive's path."""

from __future__ import annotations

import sys

from tools.controlplane import errors
from tools.image import build


def main() -> int:
    """Exit status 1 and one line if it cannot be built."""
    try:
        print(build.ensure())
    except errors.BuildError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
