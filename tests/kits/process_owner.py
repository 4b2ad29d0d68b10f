"""A process that owns others, and what is left of them when it ends."""

import pathlib
import signal
import subprocess
import sys

from tools.controlplane import waiting

ROOT = pathlib.Path(__file__).parents[2]
BEGIN = """
import pathlib, signal, sys, time
# Where the tests run in the background of a shell, SIGINT is ignored from birth.
signal.signal(signal.SIGINT, signal.default_int_handler)
folder = pathlib.Path(sys.argv[1])
"""


def alive(pid: int) -> bool:
    """A zombie is not: nobody may have waited for an orphan yet."""
    command = ["ps", "-o", "stat=", "-p", str(pid)]
    state = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    return bool(state) and not state.startswith("Z")


def end(script: str, folder: pathlib.Path, number: signal.Signals) -> int:
    """Send the signal to this script when it has printed the numbers of its processes.

    Return how many there are when all of them have ended.
    """
    owner = subprocess.Popen(
        [sys.executable, "-c", BEGIN + script, str(folder)],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    with owner:
        assert owner.stdout is not None
        pids = [int(text) for text in owner.stdout.readline().split()]
        assert all(map(alive, pids))
        owner.send_signal(number)
    waiting.until(lambda: not any(map(alive, pids)), what="all of them end")
    return len(pids)
