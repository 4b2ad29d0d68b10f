"""The command as a whole: its list of verbs, and outputs that cannot be written."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from sidecar_injector import __version__
from sidecar_injector.cli import main
from tests.kits import api_server
from tests.kits.cli import INJECTION, check_refused, placed, run, write

COMMAND = [sys.executable, "-m", "sidecar_injector"]


@pytest.fixture
def on_files(tmp_path):
    files = write(tmp_path, "pod.yaml", placed()), write(tmp_path, "in.yaml", INJECTION)
    return {
        "help": ["--help"],
        "version": ["version"],
        "inject": ["inject", "-f", files[0], "-i", files[1]],
        "explain": ["explain", "-f", files[0], "-i", files[1]],
        "diff": ["diff", "-f", files[0], "-i", files[1]],
        "lint": ["lint", "-f", files[1]],
    }


OUTPUTS = ("help", "version", "inject", "explain", "diff", "lint")


@pytest.mark.parametrize("verb", OUTPUTS)
def test_a_full_disk_is_one_sentence(on_files, verb):
    with open("/dev/full", "wb") as full:  # noqa: PTH123
        result = subprocess.run(
            [*COMMAND, *on_files[verb]], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert result.returncode == 2
    assert result.stderr == (
        "Error: standard output cannot be written: No space left on device\n"
    )  # fmt: skip


@pytest.mark.parametrize("verb", OUTPUTS[2:])
def test_a_reader_that_is_gone_ends_the_verb_as_a_signal_would(on_files, verb):
    reading, writing = os.pipe()
    os.close(reading)
    result = subprocess.run(
        [*COMMAND, *on_files[verb]], stdout=writing, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writing)
    assert (result.returncode, result.stderr) == (main.READER_GONE, "")


def test_summaries_are_whole_in_a_narrow_terminal():
    text = " ".join(run("--help", COLUMNS="40").stdout.split())
    for name, summary in main.SUMMARIES.items():
        assert (summary in text) is (name not in main.HIDDEN)


def test_the_operator_is_not_run_by_accident(tmp_path):
    path = api_server.kubeconfig(tmp_path / "config", server="https://127.0.0.1:1")
    environment = {"KUBECONFIG": path, "KUBERNETES_SERVICE_HOST": None}
    check_refused(run("run", **environment), "one more replica of the operator, with your rights")
    # With the option, and as the chart runs it, it goes on to its settings.
    for arguments, variables in (
        (("--outside-of-a-pod",), {"SIDECAR_INJECTOR_LOG_LEVEL": "loud"}),
        ((), {"SIDECAR_INJECTOR_LOG_LEVEL": "loud"}),
        ((), {"SIDECAR_INJECTOR_LOG_LEVEL": "loud", "KUBERNETES_SERVICE_HOST": "h"}),
    ):
        result = run("run", *arguments, **{**environment, **variables})
        assert "SIDECAR_INJECTOR_LOG_LEVEL=loud: must be one of" in result.stderr


def test_the_version_is_an_option_too():
    result = run("--version")
    assert (result.exit_code, result.stdout) == (0, f"sidecar-injector {__version__}\n")


def test_no_option_of_all_verbs_has_the_name_of_a_verb():
    """Defaults of a verb are found under its name, those of an option too."""
    assert not {parameter.name for parameter in main.cli.params} & set(main.SUMMARIES)
