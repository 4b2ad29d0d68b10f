"""`python -m tools.demo up [--keep]` and `python -m tools.demo down`."""

from __future__ import annotations

import argparse
import contextlib
import functools
import os
import pathlib
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence

from tools.controlplane import errors
from tools.demo import places, printer, stage, steps
from tools.node import product

INTERRUPTED = 130
FAILURES = (
    errors.ControlPlaneError,
    printer.DemoError,
    stage.StageTakenError,
    subprocess.TimeoutExpired,
)


def main(words: Sequence[str] | None = None) -> int:
    """0 only if everything that was printed has been checked."""
    parser = argparse.ArgumentParser(prog="python -m tools.demo", description=__doc__)
    parser.add_argument("verb", choices=["up", "down"])
    parser.add_argument("--keep", action="store_true", help="leave everything up at the end")
    parser.add_argument("--node", action="store_true", help="on a real node; needs root")
    parser.add_argument("--kubeconfig", default="", help="of a cluster that is there already")
    parser.add_argument("--image", default="", help="the operator's image for pods of that cluster")
    parser.add_argument("--alpine", default="", help="what that cluster can pull in its place")
    parser.add_argument("--nginx", default="", help="the same for nginx:1.12.2")
    arguments = parser.parse_args(words)
    if arguments.verb == "down":
        print("the demo has ended" if stage.down() else "no demo is up")
        return 0
    if arguments.node and arguments.kubeconfig:
        parser.error("NODE=1 starts a cluster of its own, so KUBECONFIG is not for it")
    if arguments.image and not arguments.kubeconfig:
        parser.error("IMAGE is for a cluster that is there already: give KUBECONFIG=... too")
    up = functools.partial(_up, _place(arguments))
    return stage.run_and_stay(up) if arguments.keep else up(None)


def _place(arguments: argparse.Namespace) -> places.Place:
    if arguments.kubeconfig:
        given = {name: getattr(arguments, name) for name in ("alpine", "nginx")}
        others = {name: image for name, image in given.items() if image}
        images = product.Images(operator=arguments.image, **others) if arguments.image else None
        return places.Foreign(pathlib.Path(arguments.kubeconfig).expanduser(), images)
    if arguments.node:
        return places.Node(stage.FOLDER)
    own = places.Assets if os.environ.get("KUBEBUILDER_ASSETS") else places.Own
    return own(stage.FOLDER)


def _up(place: places.Place, stay: Callable[[], None] | None) -> int:
    try:
        with _signals(), stage.taken():
            _play(place, stay)
    except KeyboardInterrupt:
        print("interrupted; what was started has ended, what was created is gone", file=sys.stderr)
        return INTERRUPTED
    except FAILURES as error:
        # An error of the removal would hide the one before it.
        if error.__cause__ is None and isinstance(error.__context__, FAILURES):
            print(f"the demo failed: {error.__context__}", file=sys.stderr)
        print(f"the demo failed: {error}", file=sys.stderr)
        return 1
    return 0


def _play(place: places.Place, stay: Callable[[], None] | None) -> None:
    with contextlib.ExitStack() as stack:
        demo = steps.Steps(place, printer=printer.Printer(sys.stdout), stack=stack)
        try:
            demo.play()
            if stay is None:
                demo.uninstall()
            else:
                demo.leave()
                stay()
        finally:
            # What ends and removes things is not interrupted, kubectl and helm neither.
            for number in stage.ENDING:
                signal.signal(number, signal.SIG_IGN)
    if stay is None:
        demo.ended()
    shutil.rmtree(stage.FOLDER, ignore_errors=True)


@contextlib.contextmanager
def _signals() -> Iterator[None]:
    """SIGTERM, too, ends the demo in order."""
    before = {number: signal.getsignal(number) for number in stage.ENDING}
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


if __name__ == "__main__":
    sys.exit(main())
