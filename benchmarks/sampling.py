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


OWN: collections.Counter[str] = collections.Counter()
"""Samples by the function that ran."""
TOTAL: collections.Counter[str] = collections.Counter()
"""Samples by every function on the stack."""


def note(_number: int, frame: FrameType | None) -> None:
    """Count one sample."""
    functions = []
    while frame is not None:
        functions.append(_name(frame))
        frame = frame.f_back
    OWN.update(functions[:1])
    TOTAL.update(set(functions))


def _name(frame: FrameType) -> str:
    code = frame.f_code
    return f"{'/'.join(pathlib.PurePath(code.co_filename).parts[-SHORT:])}:{code.co_qualname}"


def main() -> None:
    """Run the product's command line until it ends."""
    # Imported before sampling begins: imports are not a part of the samples.
    from sidecar_injector.cli import main as product  # noqa: PLC0415

    target = pathlib.Path(sys.argv[1])
    sys.argv = ["sidecar-injector", *sys.argv[2:]]
    signal.signal(signal.SIGPROF, note)
    # System calls are resumed: the program must not see that it is watched.
    signal.siginterrupt(signal.SIGPROF, False)  # noqa: FBT003 - its only signature
    signal.setitimer(signal.ITIMER_PROF, PERIOD_SECONDS, PERIOD_SECONDS)
    try:
        product.main()
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        counts = {"own": OWN.most_common(), "total": TOTAL.most_common()}
        target.write_text(json.dumps(counts), "utf-8")


if __name__ == "__main__":
    main()
