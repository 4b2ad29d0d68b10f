"""`python -m tools.demo up [--keep]` and `python -m tools.demo down`."""

from __future__ import annotations

import argparse
import contextlib
import functools
import shutil
import sys
from collections.abc import Callable

from tools.controlplane import errors
from tools.demo import on_node, stage, steps

INTERRUPTED = 130


def main() -> int:
    """0 only if everything that was printed has been checked."""
    parser = argparse.ArgumentParser(prog="python -m tools.demo", description=__doc__)
    parser.add_argument("verb", choices=["up", "down"])
    parser.add_argument("--keep", action="store_true", help="leave everything up at the end")
    parser.add_argument("--node", action="store_true", help="on a real node; needs root")
    arguments = parser.parse_args()
    if arguments.verb == "down":
        print("the demo has ended" if stage.down() else "no demo is up")
        return 0
    kind = on_node.Steps if arguments.node else steps.Steps
    up = functools.partial(_up, kind)
    return stage.run_and_stay(up) if arguments.keep else up(None)


def _up(kind: type[steps.Steps], stay: Callable[[], None] | None) -> int:
    try:
        with stage.taken():
            _play(kind, stay)
    except KeyboardInterrupt:
        print("interrupted; everything that was started has ended", file=sys.stderr)
        return INTERRUPTED
    except (errors.ControlPlaneError, steps.DemoError, stage.StageTakenError) as error:
        print(f"the demo failed: {error}", file=sys.stderr)
        return 1
    return 0


def _play(kind: type[steps.Steps], stay: Callable[[], None] | None) -> None:
    printer = steps.Printer(sys.stdout)
    with contextlib.ExitStack() as stack:
        demo = kind(printer=printer, folder=stage.FOLDER, stack=stack)
        demo.play()
        if stay is None:
            demo.uninstall()
        else:
            demo.leave()
            stay()
    if stay is None:
        demo.ended()
    shutil.rmtree(stage.FOLDER)


if __name__ == "__main__":
    sys.exit(main())
