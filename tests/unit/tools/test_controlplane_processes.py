"""No process outlives its owner, and a process can be stopped from outside."""

import contextlib
import pathlib
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.kits import process_owner
from tools.controlplane import errors, guard, processes, waiting

OWNER = """
from tools.controlplane import guard, processes
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


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_is_left_when_the_owner_ends(
    number: signal.Signals, tmp_path: pathlib.Path
) -> None:
    folder = tmp_path / "owned"
    folder.mkdir()
    assert process_owner.end(OWNER, folder, number) == 3  # child, grandchild and guard
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
        [sys.executable, "-c", SILENT],
        cwd=process_owner.ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
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
