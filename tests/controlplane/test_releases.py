"""One release after another, and one beside another, with the real helm; no replica runs."""

from __future__ import annotations

import itertools
import pathlib
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from sidecar_injector import names
from tests.kits import installation as installing
from tests.kits import older_chart
from tools.controlplane import cluster, release

DEPLOYMENT = f"/apis/apps/v1/namespaces/{names.PRODUCT}/deployments/{names.PRODUCT}"
BUDGET = f"/apis/policy/v1/namespaces/{names.PRODUCT}/poddisruptionbudgets/{names.PRODUCT}"
CHART = str(installing.CHART)
CHOSEN = {
    "replicas": 3,
    "podDisruptionBudget": {"minAvailable": "50%", "maxUnavailable": None},
    "settings": {"leafSeconds": 86_400, "caSeconds": 864_000},
    "webhook": {"securePort": 10250, "timeoutSeconds": 7},
    "helmTest": {"namespace": "team"},
    "resources": None,
    "startupProbe": None,
    "nodeSelector": None,
    "topologySpreadConstraints": None,
    "global": {"imageRegistry": "mirror.example.com"},
    "image": {"repository": "example.com/x/sidecar-injector"},
}
"""Values that the older chart accepts; what is `null` comes back as such with `--reuse-values`."""


@pytest.fixture
def first(plane: cluster.ControlPlane) -> Iterator[None]:
    """A release of this chart, as the README installs it."""
    release.install(plane)
    yield
    plane.helm("uninstall", *release.RELEASE, "--wait")


@pytest.fixture
def older(plane: cluster.ControlPlane, tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    """The values file of a release of the older chart."""
    values = tmp_path / "values.yaml"
    values.write_text(yaml.safe_dump(CHOSEN))
    chart = older_chart.unpack(tmp_path)
    plane.helm("install", *release.RELEASE, str(chart), "--create-namespace", "-f", str(values))
    yield values
    plane.helm("uninstall", *release.RELEASE, "--wait")


def second(
    plane: cluster.ControlPlane, *options: str, name: str = "second", namespace: str = "other"
) -> subprocess.CompletedProcess[str]:
    words = ("install", name, CHART, "-n", namespace, "--create-namespace", *options)
    return plane.helm(*words, check=False)


@pytest.mark.usefixtures("first")
def test_a_second_release_is_refused_by_a_sentence_that_names_the_first(
    plane: cluster.ControlPlane,
) -> None:
    owner = f"release {names.PRODUCT} in namespace {names.PRODUCT}"
    places = (("second", "other"), ("second", names.PRODUCT), (names.PRODUCT, "other"))
    without_definitions = ("--set", "crds.install=false")

    for (name, namespace), options in itertools.product(places, ((), without_definitions)):
        answer = second(plane, *options, name=name, namespace=namespace)
        assert answer.returncode != 0
        assert f"{owner} injects into the pods of this cluster already" in answer.stderr
    assert plane.helm("list", "-A", "--short").stdout.split() == [names.PRODUCT]


@pytest.mark.usefixtures("first")
def test_the_first_release_can_be_upgraded_and_installed_again(
    plane: cluster.ControlPlane,
) -> None:
    plane.helm("upgrade", "--install", *release.RELEASE, CHART, "--reuse-values")
    plane.helm("uninstall", *release.RELEASE, "--wait")
    release.install(plane)


def test_a_webhook_that_helm_did_not_install_is_named_and_can_be_taken_over(
    plane: cluster.ControlPlane,
) -> None:
    """As `helm template | kubectl apply` leaves it."""
    chosen = ("blue", CHART, "--set", "crds.install=false")
    manifest = plane.helm("template", *chosen).stdout
    (configuration,) = (
        item for item in yaml.safe_load_all(manifest)
        if item and item["kind"] == "MutatingWebhookConfiguration"
    )  # fmt: skip
    plane.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(configuration))

    answer = second(plane)
    assert answer.returncode != 0
    name = configuration["metadata"]["name"]
    assert f"MutatingWebhookConfiguration {name} injects into the pods" in answer.stderr
    plane.helm("install", *chosen, "--take-ownership")
    plane.helm("uninstall", "blue", "--wait")


def expected_of_the_older(deployment: dict[str, Any], budget: dict[str, Any]) -> None:
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    environment = {item["name"]: item.get("value") for item in container["env"]}
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert deployment["spec"]["replicas"] == 3
    assert container["image"].startswith("example.com/x/sidecar-injector:")
    assert environment["SIDECAR_INJECTOR_LEAF_SECONDS"] == "86400"
    assert ports == {"webhook": 10250, "admin": 8080}
    assert not container.get("resources")
    assert "nodeSelector" not in deployment["spec"]["template"]["spec"]
    assert budget["spec"]["minAvailable"] == "50%"
    assert "maxUnavailable" not in budget["spec"]


def test_a_release_of_the_older_chart_is_upgraded_with_its_values(
    older: pathlib.Path, plane: cluster.ControlPlane
) -> None:
    """`--reuse-values` brings the older defaults too, which lack every newer value."""
    ways = (("-f", str(older)), ("--reuse-values",), ("--reset-then-reuse-values",))
    before = plane.client.get(DEPLOYMENT)
    expected_of_the_older(before, plane.client.get(BUDGET))
    for way in ways:
        plane.helm("upgrade", *release.RELEASE, CHART, *way)
        after = plane.client.get(DEPLOYMENT)
        expected_of_the_older(after, plane.client.get(BUDGET))
        assert after["metadata"]["uid"] == before["metadata"]["uid"]
        plane.helm("rollback", *release.RELEASE, "1")
        expected_of_the_older(plane.client.get(DEPLOYMENT), plane.client.get(BUDGET))
