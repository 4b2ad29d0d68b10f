"""`status.pods`: what became of the pods that run, counted by the replica that holds the Lease."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from sidecar_injector import names
from sidecar_injector.core import audit
from tests.kits import product as kit
from tools.controlplane import errors, operators

LEASE = f"/apis/coordination.k8s.io/v1/namespaces/{names.PRODUCT}/leases/" + names.lease_name(
    names.PRODUCT
)
FAIL_OVER_SECONDS = 20
SOON_SECONDS = 20
"""Five on a machine that does nothing else."""


def counts(product: kit.Product, path: str) -> dict[str, int]:
    """What the status at this path says, without the time and the reasons."""
    pods = (product.plane.client.get(path).get("status") or {}).get("pods") or {}
    others = ("observedAt", audit.SKIPPED_REASONS)
    return {key: value for key, value in pods.items() if key not in others}


def await_counts(product: kit.Product, path: str, **wanted: int) -> None:
    """States that are not named are 0, `selected` is their sum."""
    whole = {**dict.fromkeys((*audit.STATES, audit.OPTED_OUT), 0), **wanted}
    whole[audit.SELECTED] = sum(whole[state] for state in audit.STATES)
    product.plane.wait(
        f"{path} counts {wanted}", lambda: counts(product, path) == whole, seconds=SOON_SECONDS
    )


def path_of(namespace: str, name: str = "proxy") -> str:
    return f"{kit.injections_path(namespace)}/{name}"


def test_every_pod_is_counted_as_what_became_of_it(
    product: kit.Product, enabled_namespace: str
) -> None:
    product.create_pod(enabled_namespace, kit.pod("early"))
    product.create_injection(enabled_namespace, kit.injection())
    await_counts(product, path_of(enabled_namespace), missing=1)

    product.create_pod(enabled_namespace, kit.pod("late"))
    product.create_pod(enabled_namespace, kit.conflicting(name="own"))
    opted_out = kit.with_metadata(kit.pod("out"), labels={names.INJECTION_LABEL: names.DISABLED})
    product.create_pod(enabled_namespace, opted_out)
    refusing = kit.with_metadata(kit.pod("no"), annotations={names.INJECT_ANNOTATION: "no"})
    product.create_pod(enabled_namespace, refusing)
    product.create_pod(enabled_namespace, kit.pod("host", hostNetwork=True))
    out = {audit.OPTED_OUT: 2}
    await_counts(product, path_of(enabled_namespace), missing=1, injected=1, skipped=1, **out)
    check_columns(product, enabled_namespace)

    template = {
        "spec": {"template": {"spec": {"containers": [{"name": "sidecar", "image": "s:2"}]}}}
    }
    product.plane.client.request("PATCH", path_of(enabled_namespace), template, **kit.PATCH)
    await_counts(product, path_of(enabled_namespace), missing=1, outdated=1, skipped=1, **out)

    remove(product, enabled_namespace, "late")
    await_counts(product, path_of(enabled_namespace), missing=1, skipped=1, **out)

    remove(product, enabled_namespace, "early")
    product.plane.wait(
        "the injection is not effective, and the condition says why",
        lambda: effective(product, enabled_namespace) == ("False", "AllSkipped"),
        seconds=SOON_SECONDS,
    )
    condition = kit.condition_of(product, enabled_namespace, "Effective")
    assert "ContainerConflict" in condition["message"]


def effective(product: kit.Product, namespace: str) -> tuple[str, str]:
    condition = kit.condition_of(product, namespace, "Effective")
    return condition["status"], condition["reason"]


def check_columns(product: kit.Product, namespace: str) -> None:
    """`-o wide` has every count, and they add up."""
    printed = product.plane.kubectl("get", "sinj", "-n", namespace, "-o", "wide").stdout
    header, line = printed.splitlines()
    first = header.index("SELECTED")
    row = dict(zip(header[first:].split(), line[first:].split(), strict=False))
    heads = {audit.WOULD_INJECT: "WOULD-INJECT"}
    parts = [int(row[heads.get(state, state.upper())]) for state in audit.STATES]
    assert sum(parts) == int(row["SELECTED"]) == 3
    assert row["OPTED-OUT"] == "2"


def remove(product: kit.Product, namespace: str, pod: str) -> None:
    path = f"{kit.pods_path(namespace)}/{pod}?gracePeriodSeconds=0"
    product.plane.client.request("DELETE", path)


def test_pods_on_the_host_network_are_counted_where_they_are_injected(
    product: kit.Product, enabled_namespace: str
) -> None:
    product.create_injection(enabled_namespace, kit.injection(hostNetworkPods="Inject"))
    product.create_pod(enabled_namespace, kit.pod("plain"))
    product.create_pod(enabled_namespace, kit.pod("host", hostNetwork=True))
    await_counts(product, path_of(enabled_namespace), injected=2)


def test_a_suspended_injection_selects_no_pod(
    product: kit.Product, injecting_namespace: str
) -> None:
    product.create_pod(injecting_namespace, kit.pod())
    await_counts(product, path_of(injecting_namespace), injected=1)
    change = {"spec": {"suspend": True}}
    product.plane.client.request("PATCH", path_of(injecting_namespace), change, **kit.PATCH)
    await_counts(product, path_of(injecting_namespace))


@pytest.fixture
def cluster_injection(product: kit.Product, enabled_namespace: str) -> Iterator[str]:
    """The path of one that is meant for the test's namespaces only."""
    selector = {"matchLabels": {"test": enabled_namespace}}
    injection = kit.injection(
        enabled_namespace, kind=names.CLUSTER_KIND, namespaceSelector=selector
    )
    path = f"/apis/{names.API_VERSION}/{names.CLUSTER_PLURAL}"
    product.plane.client.request("POST", path, injection)
    yield f"{path}/{enabled_namespace}"
    product.plane.client.request("DELETE", f"{path}/{enabled_namespace}")


def test_the_counts_of_a_cluster_injection_are_those_of_all_namespaces(
    product: kit.Product, cluster_injection: str, enabled_namespace: str, namespace: str
) -> None:
    for namespace_name in (enabled_namespace, namespace):
        product.create_pod(namespace_name, kit.pod())
        labels = {"test": enabled_namespace, names.INJECTION_LABEL: names.ENABLED}
        change = {"metadata": {"labels": labels}}
        product.plane.client.request(
            "PATCH", f"/api/v1/namespaces/{namespace_name}", change, **kit.PATCH
        )
    await_counts(product, cluster_injection, missing=2)
    off = {"metadata": {"labels": {names.INJECTION_LABEL: None}}}
    product.plane.client.request("PATCH", f"/api/v1/namespaces/{namespace}", off, **kit.PATCH)
    await_counts(product, cluster_injection, missing=1)


def test_the_time_changes_only_with_the_counts(
    product: kit.Product, injecting_namespace: str
) -> None:
    path = path_of(injecting_namespace)
    await_counts(product, path)
    before = product.plane.client.get(path)["status"]["pods"]
    product.create_injection(injecting_namespace, kit.injection("other", activation="OnRequest"))
    await_counts(product, path_of(injecting_namespace, "other"))
    assert product.plane.client.get(path)["status"]["pods"] == before


def test_the_namespace_gets_an_event_for_a_mistyped_label_and_none_for_disabled(
    product: kit.Product, namespace: str
) -> None:
    def events() -> list[dict[str, Any]]:
        items = product.plane.client.get("/apis/events.k8s.io/v1/namespaces/default/events")[
            "items"
        ]
        return [event for event in items if event["regarding"]["name"] == namespace]

    for value in (names.DISABLED, "true"):
        product.plane.kubectl(
            "label", "namespace", namespace, f"{names.INJECTION_LABEL}={value}", "--overwrite"
        )
    (event,) = product.plane.wait("an Event", events, seconds=SOON_SECONDS)
    assert (event["reason"], event["type"]) == ("UnknownLabelValue", "Warning")
    assert f"kubectl label namespace {namespace} sidecar-injection=enabled" in event["note"]


def leader(product: kit.Product) -> operators.Replica:
    """The replica that the Lease names, once its own metric says the same."""

    def found() -> operators.Replica | None:
        holder = product.plane.client.get(LEASE)["spec"]["holderIdentity"]
        named = [replica for replica in product.replicas if replica.name == holder]
        return next((replica for replica in named if leads(replica)), None)

    return product.plane.wait("a leader", found)


def leads(replica: operators.Replica) -> bool:
    return "sidecar_injector_leader 1.0" in replica.get("/metrics")[1]


def test_the_deployment_owns_the_lease(product: kit.Product) -> None:
    leader(product)
    (owner,) = product.plane.client.get(LEASE)["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"]) == ("Deployment", names.PRODUCT)


def test_another_replica_takes_over_from_a_leader_that_was_killed(
    product: kit.Product, injecting_namespace: str
) -> None:
    first = leader(product)
    (second,) = [replica for replica in product.replicas if replica is not first]
    assert not leads(second)
    first.kill()
    try:
        began = time.monotonic()
        product.plane.wait("the other leads", lambda: leads(second), seconds=FAIL_OVER_SECONDS)
        assert time.monotonic() - began < FAIL_OVER_SECONDS
        product.create_pod(injecting_namespace, kit.pod())
        await_counts(product, path_of(injecting_namespace), injected=1)
    finally:
        first.start()
        product.operators.wait_ready()
    assert not leads(first)


def test_a_leader_that_ends_gives_the_lease_up(product: kit.Product) -> None:
    first = leader(product)
    (second,) = [replica for replica in product.replicas if replica is not first]
    first.terminate()
    try:
        assert product.plane.client.get(LEASE)["spec"]["holderIdentity"] in {"", second.name}
        product.plane.wait("the other leads", lambda: leads(second), seconds=8)
    finally:
        first.start()
        product.operators.wait_ready()


def test_a_lease_that_was_deleted_is_made_again(product: kit.Product) -> None:
    leader(product)
    product.plane.client.request("DELETE", LEASE)

    def back() -> bool:
        try:
            return bool(product.plane.client.get(LEASE)["spec"]["holderIdentity"])
        except errors.ApiError:
            return False

    product.plane.wait("the Lease", back)
