"""Selectors that an administrator adds to the webhook: they keep pods out, and bring none in."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sidecar_injector import names
from tests.kits import installation as installing
from tests.kits import product as kit
from tools.controlplane import cluster

ENABLED = {names.INJECTION_LABEL: names.ENABLED}
WEB = {"tier": "web"}
ADDED = (
    "webhook.namespaceSelector.matchLabels.tier=web",
    "webhook.objectSelector.matchLabels.tier=web",
    "webhook.matchConditions[0].name=not-of-the-ci",
    "webhook.matchConditions[0].expression=!('ci' in object.metadata.labels)",
)


@pytest.fixture(scope="module")
def narrowed(plane: cluster.ControlPlane) -> Iterator[kit.Product]:
    plane.create_namespace("inside", labels={**ENABLED, **WEB})
    plane.create_namespace("outside", labels=ENABLED)
    plane.create_namespace("elsewhere", labels=WEB)
    with installing.installation(plane, installing.DRAIN, *ADDED, replicas=1) as product:
        for namespace in ("inside", "outside", "elsewhere"):
            product.create_injection(namespace, kit.injection())
        yield product


def injected(product: kit.Product, namespace: str, name: str, **labels: str) -> bool:
    pod = kit.with_metadata(kit.pod(name), labels=labels)
    return kit.containers(product.create_pod(namespace, pod)) == kit.BOTH


def test_a_pod_must_meet_what_is_added_and_what_the_chart_asks_for(narrowed: kit.Product) -> None:
    assert injected(narrowed, "inside", "met", **WEB)
    assert not injected(narrowed, "inside", "no-label")
    assert not injected(narrowed, "inside", "of-the-ci", ci="yes", **WEB)
    assert not injected(narrowed, "outside", "met", **WEB)
    assert not injected(narrowed, "elsewhere", "met", **WEB)
    opted_out = {names.INJECTION_LABEL: names.DISABLED}
    assert not injected(narrowed, "inside", "opted-out", **WEB, **opted_out)
    assert not injected(narrowed, "inside", "ours", **WEB, **{names.APP_NAME_LABEL: names.PRODUCT})


def test_the_audit_counts_a_pod_that_is_kept_out_as_missing(narrowed: kit.Product) -> None:
    injected(narrowed, "outside", "counted", **WEB)
    path = f"{kit.injections_path('outside')}/proxy"

    def missing() -> bool:
        status = narrowed.plane.client.get(path).get("status") or {}
        return bool((status.get("pods") or {}).get("missing"))

    narrowed.plane.wait("the pod is counted as missing", missing)
