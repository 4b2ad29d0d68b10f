"""A real API server that knows other people's kinds too accepts what is rendered."""

from __future__ import annotations

import pathlib
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.kits import chart_matrix as matrix
from tools import thirdparty
from tools.controlplane import binaries, cluster, errors

Template = Callable[..., subprocess.CompletedProcess[str]]
Render = Callable[..., Any]

FOREIGN = (
    (thirdparty.PROMETHEUS_OPERATOR, "servicemonitors"),
    (thirdparty.PROMETHEUS_OPERATOR, "podmonitors"),
    (thirdparty.PROMETHEUS_OPERATOR, "prometheusrules"),
    (thirdparty.CERT_MANAGER, "certificates"),
)
POD_SECURITY = "Warning: would violate PodSecurity"
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}


@pytest.fixture(scope="module")
def plane(request: pytest.FixtureRequest) -> Iterator[cluster.ControlPlane]:
    """With the namespaces and the kinds that the values name."""
    with cluster.ControlPlane(binaries.cached()) as plane:
        plane.create_namespace("sidecar-injector", labels=RESTRICTED)
        plane.create_namespace("monitoring")
        paths = [str(thirdparty.definition(module, plural)) for module, plural in FOREIGN]
        plane.kubectl("create", *(word for path in paths for word in ("-f", path)))
        plane.wait_for_definitions("crd", "--all")
        yield plane
        plane.keep_logs = request.session.testsfailed > 0


@pytest.mark.parametrize("values", matrix.MATRIX.values(), ids=list(matrix.MATRIX))
def test_the_api_server_accepts_every_object(
    values: dict[str, object],
    template: Template,
    chart: pathlib.Path,
    plane: cluster.ControlPlane,
) -> None:
    rendered = template(values, chart=chart)
    assert rendered.returncode == 0, rendered.stderr
    answer = plane.kubectl(
        "apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-",
        stdin=rendered.stdout,
    )  # fmt: skip

    accepted = answer.stdout.splitlines()
    assert len(accepted) == rendered.stdout.count("\nkind: ")
    assert all(line.endswith("(server dry run)") for line in accepted)
    warnings = [line for line in answer.stderr.splitlines() if POD_SECURITY not in line]
    assert warnings == []
    loose = "securityContext" in values or "hostNetwork" in values
    assert (POD_SECURITY in answer.stderr) == loose


def test_an_enforcing_namespace_accepts_the_pods(
    render: Render, plane: cluster.ControlPlane
) -> None:
    """A Deployment is only warned about; it is the pod that would be refused."""
    pod = {
        "metadata": {"name": "operator"},
        "spec": render().one("Deployment")["spec"]["template"]["spec"]
        | {"serviceAccountName": "default"},
    }
    path = "/api/v1/namespaces/sidecar-injector/pods?dryRun=All"

    assert plane.client.request("POST", path, pod)["metadata"]["name"] == "operator"
    pod["spec"]["hostNetwork"] = True
    with pytest.raises(errors.ApiError, match="violates PodSecurity"):
        plane.client.request("POST", path, pod)
