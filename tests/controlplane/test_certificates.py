"""Certificates without manual work: made, owned, trusted, and repaired when they are broken."""

from __future__ import annotations

import base64
import datetime
import time
from collections.abc import Callable

import pytest
from cryptography import x509

from sidecar_injector import names
from sidecar_injector.pki import issue, keys
from tests.kits import product as kit

SECRET = f"/api/v1/namespaces/{names.PRODUCT}/secrets/{names.secret_name(names.PRODUCT)}"
DEPLOYMENT = f"/apis/apps/v1/namespaces/{names.PRODUCT}/deployments/{names.PRODUCT}"
WRITES = "sidecar_injector_writes_total"
CONFIGURATIONS = pytest.mark.parametrize(
    "path", [kit.MUTATING, kit.VALIDATING], ids=["mutating", "validating"]
)


def secret(product: kit.Product) -> dict[str, bytes]:
    data = product.plane.client.get(SECRET)["data"]
    return {key: base64.b64decode(value) for key, value in data.items()}


def test_the_secret_is_a_tls_secret_that_the_deployment_owns(product: kit.Product) -> None:
    stored = product.plane.client.get(SECRET)
    assert stored["type"] == "kubernetes.io/tls"
    assert set(stored["data"]) == {
        names.TLS_CERT,
        names.TLS_KEY,
        names.CA_CERT,
        names.CA_KEY,
        names.GENERATION,
    }
    (owner,) = stored["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"]) == ("Deployment", names.PRODUCT)
    assert owner["uid"] == product.plane.client.get(DEPLOYMENT)["metadata"]["uid"]


@CONFIGURATIONS
def test_the_bundle_contains_exactly_our_ca(product: kit.Product, path: str) -> None:
    assert product.ca_bundle(path).encode() == secret(product)[names.CA_CERT]


def test_every_replica_shows_the_certificate_of_the_secret(
    product: kit.Product, enabled_namespace: str
) -> None:
    """`ask` verifies the chain and the Service's name against the live caBundle."""
    served = [kit.shown_certificate(product, replica) for replica in product.replicas]
    stored = x509.load_pem_x509_certificate(secret(product)[names.TLS_CERT])
    assert served == [stored] * 2
    for replica in product.replicas:
        assert product.ask(replica, enabled_namespace, kit.pod())["allowed"] is True


def rubbish() -> bytes:
    return b"rubbish"


def foreign() -> bytes:
    """A CA that is not ours."""
    now = datetime.datetime.now(datetime.UTC)
    return issue.ca(fresh=keys.generate(), generation=1, now=now, seconds=3600).certificate


def break_bundle(product: kit.Product, path: str, content: bytes | None) -> None:
    operation = {"op": "remove", "path": "/webhooks/0/clientConfig/caBundle"}
    if content is not None:
        operation |= {"op": "replace", "value": base64.b64encode(content).decode()}
    product.plane.client.request("PATCH", path, [operation], content="application/json-patch+json")


@CONFIGURATIONS
@pytest.mark.parametrize("content", [None, rubbish, foreign], ids=["wiped", "rubbish", "foreign"])
def test_a_broken_bundle_is_repaired_within_a_second(
    product: kit.Product,
    enabled_namespace: str,
    path: str,
    content: Callable[[], bytes] | None,
) -> None:
    product.create_injection(enabled_namespace, kit.injection())
    right = secret(product)[names.CA_CERT].decode()
    written = product.counted(WRITES, object=path.split("/")[-2], result="written")

    break_bundle(product, path, content() if content else None)
    broken = time.monotonic()
    product.plane.wait("mended", lambda: bundle(product, path) == right, seconds=5)
    seconds = time.monotonic() - broken
    print(f"mended after {seconds * 1000:.0f} ms")  # noqa: T201 - a figure to look at
    assert seconds < 1

    def injected() -> bool:
        pod = product.create_pod(enabled_namespace, kit.pod(), dry_run=True)
        return kit.containers(pod) == ["app", "sidecar"]

    product.plane.wait("pods are injected", injected, seconds=5)
    # Both replicas see it; who is late finds nothing to do.
    assert product.counted(WRITES, object=path.split("/")[-2], result="written") == written + 1


def bundle(product: kit.Product, path: str) -> str:
    """What all entries have; empty if they differ."""
    entries = product.plane.client.get(path)["webhooks"]
    first, *others = {entry["clientConfig"].get("caBundle", "") for entry in entries}
    return "" if others else base64.b64decode(first).decode()


def test_a_secret_that_is_deleted_comes_back_with_the_same_ca(product: kit.Product) -> None:
    before = secret(product)
    uid = product.plane.client.get(SECRET)["metadata"]["uid"]
    product.plane.client.request("DELETE", SECRET)

    def another() -> bool:
        return product.plane.client.get(SECRET)["metadata"]["uid"] != uid

    product.plane.wait("it is back", another, seconds=5)
    after = secret(product)
    assert {key: after[key] for key in (names.CA_CERT, names.CA_KEY)} == {
        key: before[key] for key in (names.CA_CERT, names.CA_KEY)
    }
    assert product.ca_bundle().encode() == before[names.CA_CERT]


def test_a_leaf_is_renewed_on_request_while_pods_are_injected(
    product: kit.Product, enabled_namespace: str
) -> None:
    product.create_injection(enabled_namespace, kit.injection())
    before = secret(product)
    change = {"metadata": {"annotations": {names.ROTATE_ANNOTATION: "leaf"}}}
    product.plane.client.request("PATCH", SECRET, change, **kit.PATCH)

    def renewed() -> bool:
        pod = product.create_pod(enabled_namespace, kit.pod(), dry_run=True)
        assert kit.containers(pod) == ["app", "sidecar"]
        stored = secret(product)[names.TLS_CERT]
        if stored == before[names.TLS_CERT]:
            return False
        leaf = x509.load_pem_x509_certificate(stored)
        return all(kit.shown_certificate(product, replica) == leaf for replica in product.replicas)

    product.plane.wait("every replica shows the new one", renewed, seconds=10)
    assert secret(product)[names.CA_CERT] == before[names.CA_CERT]
    annotations = product.plane.client.get(SECRET)["metadata"].get("annotations", {})
    assert names.ROTATE_ANNOTATION not in annotations
