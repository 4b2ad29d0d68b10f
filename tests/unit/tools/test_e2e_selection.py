"""Which end-to-end tests are for a cluster of somebody else, and how the others are reported."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tools.controlplane import release


def collect(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--collect-only", "-q"]
    return subprocess.run(
        [*command, "tests/e2e", *options],
        cwd=release.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_what_needs_our_own_node_is_deselected_elsewhere_with_its_reason() -> None:
    answer = collect("--kubeconfig=/somewhere", "--image=app:1")
    assert answer.returncode == 0
    collected, _, reasons = answer.stdout.partition("not run, as they need a node of our own")
    assert "1 of test_disruption.py: kills kube-proxy" in reasons
    assert "test_restarts_of_the_nodes_kube_proxy" not in collected
    assert "test_the_walkthrough_ends" in collected
    assert "deselected)" in reasons


def test_nothing_is_deselected_on_our_own_node() -> None:
    answer = collect()
    assert "test_restarts_of_the_nodes_kube_proxy" in answer.stdout
    assert "deselected" not in answer.stdout


@pytest.mark.parametrize("option", ["--kubeconfig=/somewhere", "--image=app:1"])
def test_half_of_a_foreign_cluster_is_refused(option: str) -> None:
    answer = collect(option)
    assert answer.returncode == pytest.ExitCode.USAGE_ERROR
    assert "needs both a kubeconfig and an image: make e2e KUBECONFIG=" in answer.stderr
