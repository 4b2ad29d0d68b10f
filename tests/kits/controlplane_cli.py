"""Running the command line against the API server of the tests."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import click.testing

from sidecar_injector.cli import main
from tools.controlplane import cluster

Json = dict[str, Any]


def run(kubeconfig: pathlib.Path, *arguments: str) -> click.testing.Result:
    """A verb on the cluster of this kubeconfig, in this process."""
    command = [*arguments, "--kubeconfig", str(kubeconfig)]
    return click.testing.CliRunner().invoke(main.cli, command, catch_exceptions=False)


def read(kubeconfig: pathlib.Path, *arguments: str, status: int = 0) -> Json:
    """What a verb prints as JSON."""
    result = run(kubeconfig, *arguments, "-o", "json")
    assert result.exit_code == status, result.output
    printed: Json = json.loads(result.stdout)
    return printed


def stranger(
    plane: cluster.ControlPlane, folder: pathlib.Path, namespace: str, *, role: str = ""
) -> pathlib.Path:
    """The kubeconfig of a ServiceAccount that has at most a ClusterRole in its own namespace."""
    plane.kubectl("create", "serviceaccount", "stranger", "-n", namespace)
    if role:
        subject = f"--serviceaccount={namespace}:stranger"
        plane.kubectl(
            "create", "rolebinding", "stranger", "-n", namespace, f"--clusterrole={role}", subject
        )
    token = plane.kubectl("create", "token", "stranger", "-n", namespace).stdout.strip()
    path = folder / "stranger"
    plane.user(token).write_kubeconfig(path)
    return path
