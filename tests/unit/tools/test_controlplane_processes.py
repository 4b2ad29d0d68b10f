"""No process outlives its owner, and a process can be stopped from outside."""

import contextlib
import pathlib
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tools.controlplane import errors, guard, processes, waiting

ROOT = pathlib.Path(__file__).parents[3]
OWNER = """
import pathlib, signal, sys, time
# Where the tests run in the background of a shell, SIGINT is ignored from birth.
signal.signal(signal.SIGINT, signal.default_int_handler)
from tools.controlplane import guard, processes
folder = pathlib.Path(sys.argv[1])
watcher = guard.Guard()
watcher.discard(folder)
child = processes.Process(
    name="child",
    command=("/bin/sh", "-c", "sleep 600 & echo $! > grandchild; trap '' TERM; sleep 600; wait"),
    log=folder / "log",
    guard=watcher,
    folder=folder,
)
child.start()
while not (folder / "grandchild").exists() or not (folder / "grandchild").read_text():
    time.sleep(0.01)
print(child.pid, (folder / "grandchild").read_text().strip(), watcher.pid, flush=True)
time.sleep(600)
"""


def alive(pid: int) -> bool:
    """A zombie is not: nobody may have waited for an orphan yet."""
    command = ["ps", "-o", "stat=", "-p", str(pid)]
    state = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    return bool(state) and not state.startswith("Z")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_is_left_when_the_owner_ends(
    number: signal.Signals, tmp_path: pathlib.Path
) -> None:
    folder = tmp_path / "owned"
    folder.mkdir()
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(folder)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with owner:
        assert owner.stdout is not None
        pids = [int(text) for text in owner.stdout.readline().split()]
        assert [alive(pid) for pid in pids] == [True, True, True]
        owner.send_signal(number)
    waiting.until(
        lambda: not any(alive(pid) for pid in pids), what="child, grandchild and guard end"
    )
    assert not folder.exists()


@pytest.fixture
def watcher() -> Iterator[guard.Guard]:
    with contextlib.closing(guard.Guard()) as watcher:
        yield watcher


def make(watcher: guard.Guard, tmp_path: pathlib.Path, script: str) -> processes.Process:
    command = (sys.executable, "-c", script)
    return processes.Process(name="script", command=command, log=tmp_path / "log", guard=watcher)


def test_closing_the_guard_ends_what_is_left(watcher: guard.Guard, tmp_path: pathlib.Path) -> None:
    process = make(watcher, tmp_path, "import time; time.sleep(600)")
    process.start()
    watcher.close()
    assert process.wait(seconds=30) == -signal.SIGKILL


def test_a_process_can_be_started_again_and_its_log_goes_on(
    watcher: guard.Guard, tmp_path: pathlib.Path
) -> None:
    process = make(watcher, tmp_path, "print('here'); raise SystemExit(3)")
    for _ in range(2):
        process.start()
        assert process.wait(seconds=30) == 3
    assert process.tail() == "here\nhere"


def test_its_standard_input_is_empty_and_not_the_guards_pipe(
    watcher: guard.Guard, tmp_path: pathlib.Path
) -> None:
    process = make(watcher, tmp_path, "import sys; print(repr(sys.stdin.read()))")
    process.start()
    assert process.wait(seconds=30) == 0
    assert process.tail() == "''"


SILENT = """
import os, sys
from tools.controlplane import guard
watcher = guard.Guard()
os.close(1)
sys.stdin.read()
"""


def test_the_guard_does_not_hold_its_owners_output_open() -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", SILENT], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with owner:
        assert owner.stdout is not None
        assert owner.stdout.read() == b"", "it ends when the owner closes it"


def test_a_frozen_process_can_be_killed_and_asked_to_end(
    watcher: guard.Guard, tmp_path: pathlib.Path
) -> None:
    process = make(watcher, tmp_path, "import time; time.sleep(600)")
    process.start()
    process.freeze()
    assert process.running
    assert process.terminate() == -signal.SIGTERM
    process.start()
    process.freeze()
    assert process.kill() == -signal.SIGKILL
    assert not process.running


def test_a_process_that_died_is_named_with_the_end_of_its_log(
    watcher: guard.Guard, tmp_path: pathlib.Path
) -> None:
    process = make(watcher, tmp_path, "raise SystemExit('the port is taken')")
    process.start()
    process.wait(seconds=30)
    with pytest.raises(errors.ProcessDiedError) as caught:
        waiting.until(process.require_running, what="never")
    assert str(caught.value) == (
        f"script ended with status 1; the end of {tmp_path / 'log'} is:\nthe port is taken"
    )
