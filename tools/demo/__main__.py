"""`python -m tools.demo up [--keep]` and `python -m tools.demo down`."""

from __future__ import annotations

import argparse
import contextlib
import functools
import shutil
import sys
from collections.abc import Callable

from tools.controlplane import errors
from tools.demo import narration, on_node, stage, story

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
    telling = on_node.Story if arguments.node else story.Story
    up = functools.partial(_up, telling)
    return stage.run_and_stay(up) if arguments.keep else up(None)


def _up(telling: type[story.Story], stay: Callable[[], None] | None) -> int:
    try:
        with stage.taken():
            _play(telling, stay)
    except KeyboardInterrupt:
        print("interrupted; everything that was started has ended", file=sys.stderr)
        return INTERRUPTED
    except (errors.ControlPlaneError, narration.DemoError, stage.StageTakenError) as error:
        print(f"the demo failed: {error}", file=sys.stderr)
        return 1
    return 0


def _play(telling: type[story.Story], stay: Callable[[], None] | None) -> None:
    narrator = narration.Narrator(sys.stdout)
    with contextlib.ExitStack() as stack:
        play = telling(narrator=narrator, folder=stage.FOLDER, stack=stack)
        play.tell()
        if stay is None:
            play.uninstall()
        else:
            play.leave()
            stay()
    if stay is None:
        play.ended()
    shutil.rmtree(stage.FOLDER)


if __name__ == "__main__":
    sys.exit(main())
