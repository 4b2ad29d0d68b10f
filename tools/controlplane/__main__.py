"""`python -m tools.controlplane` builds missing programs and prints their folder."""

from __future__ import annotations

import sys

from tools.controlplane import binaries, errors


def main() -> int:
    """Exit status 1 and one line if it cannot be built."""
    try:
        programs = binaries.ensure()
    except errors.ControlPlaneError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"the control plane's programs are in {programs.helm.parent}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
