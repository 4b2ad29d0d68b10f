"""`helm test` on a real API server; the test does what a kubelet would do, as there is no node."""

from __future__ import annotations

import concurrent.futures
import pathlib
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from sidecar_injector import names
from tests.kits import controlplane_cli as cli
from tests.kits import installation as installing
from tests.kits import product as kit
from tools.controlplane import cluster, errors, release

NAME = f"{names.PRODUCT}-test"
RIGHTS = "serviceaccounts,roles,rolebindings,clusterroles,clusterrolebindings"
POD = f"{kit.pods_path(names.PRODUCT)}/{NAME}"
TEAM = "team"
TEST = ("test", names.PRODUCT, "-n", names.PRODUCT)


@pytest.fixture(scope="module")
def installed(plane: cluster.ControlPlane) -> Iterator[kit.Product]:
    plane.create_namespace(TEAM, labels={names.INJECTION_LABEL: names.ENABLED})
    values = (installing.DRAIN, "helmTest.enabled=true", f"helmTest.namespace={TEAM}",
              "policies.managed=true")  # fmt: skip
    with installing.installation(plane, *values, replicas=1) as product:
        plane.wait("its CA is trusted", lambda: product.ca_bundle(kit.VALIDATING))
        body = kit.injection(kind=names.CLUSTER_KIND, engine="Policy")
        plane.client.request("POST", release.CLUSTER_INJECTIONS, body)
        plane.wait("the policy is in force", lambda: is_in_force(plane))
        yield product


def is_in_force(plane: cluster.ControlPlane) -> bool:
    (injection,) = plane.client.get(release.CLUSTER_INJECTIONS)["items"]
    return bool(kit.condition(injection, "Compiled").get("reason") == "InForce")


def left(plane: cluster.ControlPlane) -> list[str]:
    """What the test made and nobody took away, without the pod."""
    resources = plane.kubectl("get", RIGHTS, "-A", "-o", "name").stdout.split()
    return [resource for resource in resources if resource.rpartition("/")[2].startswith(NAME)]


def ended(plane: cluster.ControlPlane, phase: str) -> subprocess.CompletedProcess[str]:
    """Helm's answer to a test whose pod ends like this."""
    with concurrent.futures.ThreadPoolExecutor(max_workers=1) as threads:
        running = threads.submit(plane.helm, *TEST, check=False)
        waiting_pod(plane)
        end(plane, phase)
        return running.result()


def waiting_pod(plane: cluster.ControlPlane) -> dict[str, Any]:
    def found() -> dict[str, Any] | None:
        try:
            pod = plane.client.get(POD)
        except errors.ApiError:
            return None
        # Helm replaces the pod of a test before, which has ended.
        fresh = pod.get("status", {}).get("phase") == "Pending"
        return pod if fresh and "deletionTimestamp" not in pod["metadata"] else None

    return plane.wait("the pod of the test", found)


def end(plane: cluster.ControlPlane, phase: str) -> None:
    plane.client.request("PATCH", f"{POD}/status", {"status": {"phase": phase}}, **kit.PATCH)


def test_the_check_passes_with_the_rights_of_the_pod(
    installed: kit.Product, tmp_path: pathlib.Path
) -> None:
    """No request is refused, and the webhook answers for the dry-run pod."""
    plane, config = installed.plane, tmp_path / "kubeconfig"
    with concurrent.futures.ThreadPoolExecutor(max_workers=1) as threads:
        running = threads.submit(plane.helm, *TEST)
        try:
            pod = waiting_pod(plane)
            account = pod["spec"]["serviceAccountName"]
            token = plane.kubectl("create", "token", account, "-n", names.PRODUCT).stdout
            plane.user(token.strip()).write_kubeconfig(config)
            (container,) = pod["spec"]["containers"]
            answer = cli.read(config, *container["args"])
        finally:
            end(plane, "Succeeded")
        assert "Succeeded" in running.result().stdout
    assert [finding for finding in answer["findings"] if finding["level"] != "ok"] == []
    checked = {finding["check"] for finding in answer["findings"]}
    assert {"rights", "certificates", "caBundle", "dry-run pod", "policies"} <= checked


def test_a_test_that_succeeds_leaves_nothing(installed: kit.Product) -> None:
    assert ended(installed.plane, "Succeeded").returncode == 0
    assert left(installed.plane) == []
    assert installed.plane.client.text("GET", POD)[0] == 404


def test_a_test_that_fails_leaves_its_pod_without_rights_and_can_be_repeated(
    installed: kit.Product,
) -> None:
    failed = ended(installed.plane, "Failed")
    assert failed.returncode != 0
    assert NAME in failed.stderr
    assert left(installed.plane) == []
    assert installed.plane.client.get(POD)["status"]["phase"] == "Failed"

    assert ended(installed.plane, "Succeeded").returncode == 0
    assert installed.plane.client.text("GET", POD)[0] == 404
