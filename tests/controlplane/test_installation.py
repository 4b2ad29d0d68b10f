"""The chart's life on a cluster: installed, upgraded, rolled back, applied again, uninstalled.

On a control plane of its own: the others' product must not go away under their tests.
"""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

import pytest

from sidecar_injector import names
from tests.kits import installation as installing
from tests.kits import product as kit
from tools.controlplane import binaries, cluster, errors

RELEASE = (names.PRODUCT, "-n", names.PRODUCT)
MENDED = ("caBundle written", "caBundle repaired")


@pytest.fixture(scope="module")
def installed(programs: binaries.Binaries, request: pytest.FixtureRequest) -> Iterator[kit.Product]:
    with installing.separate_product(programs, request) as product:
        product.plane.wait("both configurations carry our CA", lambda: all(bundles(product)))
        yield product


def bundles(product: kit.Product) -> list[str]:
    return [product.ca_bundle(path) for path in (kit.MUTATING, kit.VALIDATING)]


def mended(product: kit.Product) -> int:
    """How often a caBundle had to be written, of both configurations together."""
    return sum(line["message"].endswith(MENDED) for line in product.log())


def chart(product: kit.Product) -> tuple[str, ...]:
    port = f"service.port={product.port}"
    return (str(installing.CHART), "-f", str(installing.VALUES), "--set", port)


def test_no_upgrade_or_rollback_touches_the_bundle_or_conflicts(
    installed: kit.Product,
) -> None:
    """A bundle that was lost and mended again would show as a further line in the log."""
    plane, before = installed.plane, bundles(installed)
    assert mended(installed) == 2
    plane.helm("upgrade", *RELEASE, *chart(installed), "--set", "settings.logLevel=debug")
    assert bundles(installed) == before
    reuse = ("--reuse-values", "--set", "webhook.timeoutSeconds=7")
    plane.helm("upgrade", *RELEASE, str(installing.CHART), *reuse)
    assert bundles(installed) == before
    assert installed.plane.client.get(kit.MUTATING)["webhooks"][0]["timeoutSeconds"] == 7
    plane.helm("rollback", *RELEASE, "1")
    assert bundles(installed) == before
    assert installed.plane.client.get(kit.MUTATING)["webhooks"][0]["timeoutSeconds"] == 5
    assert mended(installed) == 2


def test_an_upgrade_that_the_replicas_have_followed_injects(installed: kit.Product) -> None:
    plane = installed.plane
    plane.helm("upgrade", *RELEASE, *chart(installed), "--set", "settings.logLevel=debug")
    replica = installed.operators.add()
    replica.wait_ready()
    variable = "SIDECAR_INJECTOR_LOG_LEVEL"
    assert replica.environment is not None
    assert replica.environment[variable] == "debug"
    plane.create_namespace("upgraded", labels={names.INJECTION_LABEL: names.ENABLED})
    installed.create_injection("upgraded", kit.injection())
    pod = installed.create_pod("upgraded", kit.pod())
    assert kit.containers(pod) == ["app", "sidecar"]


def test_a_manifest_that_is_applied_again_leaves_the_bundle_alone(
    installed: kit.Product, tmp_path: pathlib.Path
) -> None:
    """As other tools than Helm do it. What they apply they own, until Helm takes it over."""
    plane, before, writes = installed.plane, bundles(installed), mended(installed)
    manifest = tmp_path / "manifest.yaml"
    manifest.write_text(plane.helm("get", "manifest", *RELEASE).stdout)
    plane.kubectl("apply", "-f", str(manifest))
    plane.kubectl("apply", "--server-side", "--field-manager=gitops", "-f", str(manifest))
    assert bundles(installed) == before
    # The same values as before change nothing; only a field that differs is a conflict.
    upgrade = ("upgrade", *RELEASE, *chart(installed), "--set", "webhook.timeoutSeconds=7")
    with pytest.raises(errors.CommandError, match="conflict"):
        plane.helm(*upgrade)
    plane.helm(*upgrade, "--force-conflicts")
    assert installed.plane.client.get(kit.MUTATING)["webhooks"][0]["timeoutSeconds"] == 7
    assert bundles(installed) == before
    assert mended(installed) == writes


def test_uninstalling_leaves_the_definitions_and_nothing_else(installed: kit.Product) -> None:
    """The last test of this file: it takes the product away.

    The replicas outlive it here, as they may for a while on a cluster, and must not fight it.
    """
    plane, replica = installed.plane, installed.replicas[0]
    plane.helm("uninstall", *RELEASE, "--wait")
    own = "secrets,leases,deployments,services,configmaps,roles,rolebindings,serviceaccounts"
    rest = ["configmap/kube-root-ca.crt", "serviceaccount/default"]

    def nothing_but_the_cluster_s_own() -> bool:
        return left(plane, own, names.PRODUCT) == rest

    # The garbage collector takes what the Deployment owned.
    plane.wait("its own objects are gone", nothing_but_the_cluster_s_own)
    kit.stays(nothing_but_the_cluster_s_own, seconds=2, what="nobody writes the Secret back")
    assert replica.running
    everywhere = "clusterroles,clusterrolebindings,mutatingwebhookconfigurations"
    resources = left(plane, f"{everywhere},validatingwebhookconfigurations")
    assert [name for name in resources if names.PRODUCT in name] == []
    assert left(plane, "customresourcedefinitions") == [
        f"customresourcedefinition.apiextensions.k8s.io/{plural}.{names.GROUP}"
        for plural in (names.CLUSTER_PLURAL, names.PLURAL)
    ]


def left(plane: cluster.ControlPlane, kinds: str, namespace: str = "default") -> list[str]:
    return plane.kubectl("get", kinds, "-n", namespace, "-o", "name").stdout.split()
