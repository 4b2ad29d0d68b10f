"""`run` where there is no cluster at all, and with settings that cannot be used."""

from __future__ import annotations

import os
import pathlib
import signal
import socket
import subprocess
from collections.abc import Iterator

import pytest

from sidecar_injector import names
from tools.controlplane import guard, operators, ports, processes, waiting

PROGRAM = operators.PROGRAMS / names.PRODUCT


@pytest.fixture
def alone(tmp_path: pathlib.Path) -> Iterator[processes.Process]:
    """`run` with nothing but its ports in the environment."""
    keeper = guard.Guard()
    environment = {
        "PATH": os.environ["PATH"],
        "SIDECAR_INJECTOR_ADMIN_PORT": str(ports.free()),
        "SIDECAR_INJECTOR_SCRATCH_FOLDER": str(tmp_path),
    }
    process = processes.Process(
        name="alone",
        command=(str(PROGRAM), "run"),
        log=tmp_path / "log",
        guard=keeper,
        environment=environment,
    )
    yield process
    process.kill()
    keeper.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_without_any_kubeconfig_it_says_so_and_can_be_ended(
    alone: processes.Process, number: signal.Signals
) -> None:
    alone.start()
    waiting.until(lambda: "no kubeconfig is given" in alone.tail(), what="it says so")
    alone.signal(number)
    assert alone.wait(seconds=5) == 0
    assert alone.tail().count("no kubeconfig is given") == 1


def test_a_port_that_is_taken_is_named_and_waited_for(alone: processes.Process) -> None:
    assert alone.environment is not None
    port = int(alone.environment["SIDECAR_INJECTOR_ADMIN_PORT"])
    with socket.create_server(("", port)):
        alone.start()
        waiting.until(lambda: "in use" in alone.tail(), what="it says so")
        assert "Traceback" not in alone.tail()
    waiting.until(lambda: "no kubeconfig is given" in alone.tail(), what="it goes on")
    assert alone.terminate(seconds=5) == 0


@pytest.mark.parametrize(
    ("variable", "text", "message"),
    [
        ("SIDECAR_INJECTOR_LEAF_SECOND", "5", "SIDECAR_INJECTOR_LEAF_SECOND is no setting; known"),
        (
            "SIDECAR_INJECTOR_LEAF_SECONDS",
            "5x",
            "SIDECAR_INJECTOR_LEAF_SECONDS=5x: must be whole s",
        ),
        ("SIDECAR_INJECTOR_LOG_LEVEL", "loud", "SIDECAR_INJECTOR_LOG_LEVEL=loud: must be one of"),
        ("SIDECAR_INJECTOR_ADMIN_PORT", "70000", "SIDECAR_INJECTOR_ADMIN_PORT=70000: must be a n"),
    ],
)
def test_a_setting_that_cannot_be_used_ends_it_with_one_line(
    variable: str, text: str, message: str
) -> None:
    answer = subprocess.run(
        [PROGRAM, "run"],
        env={"PATH": os.environ["PATH"], variable: text},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert answer.returncode == 2
    (line,) = answer.stderr.splitlines()
    assert line.startswith(f"Error: {message}")
