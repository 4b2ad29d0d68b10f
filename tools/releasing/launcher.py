#!/usr/bin/env python3
"""Runs the package beside this file; krew links it into the PATH as kubectl-sidecar_injector."""
# Python 3.6 can read this file, so that an old Python gives a sentence and not a SyntaxError.

import pathlib
import sys

PYTHONS = ("@PYTHONS@",)


def main() -> None:
    """Exit status 1 and one sentence for a Python that the archive has no libraries for."""
    libraries = pathlib.Path(__file__).resolve().parent / "lib"
    running = f"{sys.version_info[0]}.{sys.version_info[1]}"
    if running not in PYTHONS:
        supported = " or ".join(PYTHONS)
        sys.exit(f"kubectl sidecar-injector needs Python {supported}; python3 is {running}")
    sys.path[:1] = [str(libraries / "any"), str(libraries / running)]
    from sidecar_injector.cli.main import main as start  # noqa: PLC0415  # found on that path only

    start()


if __name__ == "__main__":
    main()
