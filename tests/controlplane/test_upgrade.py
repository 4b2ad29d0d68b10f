"""From the version before to this one and back, on a control plane of its own."""

from __future__ import annotations

import pathlib
import shutil
from collections.abc import Iterator

import pytest
import yaml

import sidecar_injector
from sidecar_injector import names
from tests.kits import installation as installing
from tests.kits import product as kit
from tools.controlplane import cluster, errors, release

BEFORE = "0.0.9"
NEW_FIELD = "hostNetworkPods"
"""For this test, the version before did not have it."""
DEPLOYMENT = f"/apis/apps/v1/namespaces/{names.PRODUCT}/deployments/{names.PRODUCT}"
TEAM = "team"


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The chart with a version before ours, and definitions that lack a field."""
    chart = tmp_path_factory.mktemp("older") / installing.CHART.name
    shutil.copytree(installing.CHART, chart)
    change(chart / "Chart.yaml", {"version": BEFORE, "appVersion": BEFORE})
    for path in (chart / "files" / "crds").iterdir():
        definition = yaml.safe_load(path.read_text("utf-8"))
        (version,) = definition["spec"]["versions"]
        spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
        del spec["properties"][NEW_FIELD]
        path.write_text(yaml.safe_dump(definition), "utf-8")
    return chart


def change(path: pathlib.Path, members: dict[str, str]) -> None:
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text("utf-8")) | members), "utf-8")


@pytest.fixture(scope="module")
def installed(plane: cluster.ControlPlane, older: pathlib.Path) -> Iterator[kit.Product]:
    """The older release, an injection in force and a pod that it has injected."""
    with installing.installation(plane, installing.DRAIN, replicas=1, chart=older) as product:
        plane.create_namespace(TEAM, labels={names.INJECTION_LABEL: names.ENABLED})
        product.create_injection(TEAM, kit.injection())
        product.create_pod(TEAM, kit.pod())
        yield product


def version(product: kit.Product) -> tuple[str, str]:
    """What the Deployment says that it is, and what its pods run."""
    deployment = product.plane.client.get(DEPLOYMENT)
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    return deployment["metadata"]["labels"]["app.kubernetes.io/version"], container["image"]


def knows_the_new_field(product: kit.Product) -> bool:
    resource = kit.injection("new", **{NEW_FIELD: "Inject"})
    path = f"{kit.injections_path(TEAM)}?dryRun=All&fieldValidation=Strict"
    try:
        product.plane.client.request("POST", path, resource)
    except errors.ApiError as error:
        if "unknown field" not in error.message:
            raise
        return False
    return True


def untouched(product: kit.Product) -> tuple[str, str, str]:
    """What no upgrade may change: the CA that is trusted, the injection, the pod."""
    injection = product.plane.client.get(f"{kit.injections_path(TEAM)}/proxy")["metadata"]
    (pod,) = product.pods(TEAM)
    return product.ca_bundle(), injection["uid"], pod["metadata"]["uid"]


def injects(product: kit.Product) -> bool:
    """A replica that starts now, as the Deployment says now."""
    product.operators.add().wait_ready()
    pods = [product.create_pod(TEAM, kit.pod("now"), dry_run=True) for _ in product.replicas]
    return all(kit.containers(pod) == kit.BOTH for pod in pods)


def test_an_upgrade_brings_version_and_definitions_and_a_rollback_takes_them_back(
    installed: kit.Product,
) -> None:
    plane, before = installed.plane, untouched(installed)
    ours = sidecar_injector.__version__
    assert version(installed) == (BEFORE, f"{names.PRODUCT}:{BEFORE}")
    assert not knows_the_new_field(installed)

    plane.helm("upgrade", *release.RELEASE, str(installing.CHART), "--reuse-values")
    assert version(installed) == (ours, f"{names.PRODUCT}:{ours}")
    plane.wait("the new definition serves", lambda: knows_the_new_field(installed))
    assert injects(installed)
    assert untouched(installed) == before

    plane.helm("rollback", *release.RELEASE, "1")
    assert version(installed) == (BEFORE, f"{names.PRODUCT}:{BEFORE}")
    plane.wait("the old definition serves", lambda: not knows_the_new_field(installed))
    assert injects(installed)
    assert untouched(installed) == before
