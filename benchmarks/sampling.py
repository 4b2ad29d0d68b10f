"""`python -m benchmarks.sampling FILE WORD ...`: the command line, with its time sampled.

A timer of processor time interrupts the process a few hundred times a second and notes the Python
stack. Time in C (OpenSSL, orjson, the event loop) counts for the Python function that called it, or
for the frame that runs the loop. At the end the counts go to FILE as JSON.
"""

from __future__ import annotations

import collections
import json
import pathlib
import signal
import sys
from types import FrameType
from typing import Final

PERIOD_SECONDS: Final = 0.002
SHORT: Final = 3
"""So many last parts of a file's path are kept."""


class Samples:
    """Counts of functions: where the time went, and what was on the stack meanwhile."""

    def __init__(self) -> None:
        self.own: collections.Counter[str] = collections.Counter()
        self.total: collections.Counter[str] = collections.Counter()

    def start(self) -> None:
        """From now on, in the main thread."""
        signal.signal(signal.SIGPROF, self._note)
        # System calls are resumed: the program must not see that it is watched.
        signal.siginterrupt(signal.SIGPROF, False)  # noqa: FBT003 - its only signature
        signal.setitimer(signal.ITIMER_PROF, PERIOD_SECONDS, PERIOD_SECONDS)

    def stop(self) -> None:
        signal.setitimer(signal.ITIMER_PROF, 0)

    def _note(self, _number: int, frame: FrameType | None) -> None:
        if frame is None:
            return
        self.own[_name(frame)] += 1
        functions = set()
        while frame is not None:
            functions.add(_name(frame))
            frame = frame.f_back
        self.total.update(functions)


def _name(frame: FrameType) -> str:
    code = frame.f_code
    return f"{'/'.join(pathlib.PurePath(code.co_filename).parts[-SHORT:])}:{code.co_qualname}"


def main() -> None:
    """Run the product's command line until it ends."""
    # Imported before sampling begins: imports are not a part of the samples.
    from sidecar_injector.cli import main as product  # noqa: PLC0415

    target = pathlib.Path(sys.argv[1])
    sys.argv = ["sidecar-injector", *sys.argv[2:]]
    samples = Samples()
    samples.start()
    try:
        product.main()
    finally:
        samples.stop()
        counts = {"own": samples.own.most_common(), "total": samples.total.most_common()}
        target.write_text(json.dumps(counts), "utf-8")


if __name__ == "__main__":
    main()
