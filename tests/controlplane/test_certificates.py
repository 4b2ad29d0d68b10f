"""Certificates that nobody handles: made, owned, trusted, and mended when somebody breaks them."""

from __future__ import annotations

import base64
import datetime
import time
from collections.abc import Callable

import product_kit as kit
import pytest
from cryptography import x509

from sidecar_injector import names
from sidecar_injector.pki import issue, material

SECRET = f"/api/v1/namespaces/{names.PRODUCT}/secrets/{names.secret_name(names.PRODUCT)}"
DEPLOYMENT = f"/apis/apps/v1/namespaces/{names.PRODUCT}/deployments/{names.PRODUCT}"
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
def test_the_api_server_is_told_exactly_our_ca(product: kit.Product, path: str) -> None:
    assert product.ca_bundle(path).encode() == secret(product)[names.CA_CERT]


def test_every_replica_shows_the_certificate_of_the_secret(
    product: kit.Product, enabled_namespace: str
) -> None:
    """`ask` verifies the chain and the Service's name against the live caBundle."""
    shown = [kit.shown_certificate(product, replica) for replica in product.replicas]
    stored = x509.load_pem_x509_certificate(secret(product)[names.TLS_CERT])
    assert shown == [stored] * 2
    for replica in product.replicas:
        assert product.ask(replica, enabled_namespace, kit.pod())["allowed"] is True


def foreign() -> bytes:
    """A CA that somebody else has made for himself."""
    return issue.authority(
        key=material.generate().key,
        serial=1,
        now=datetime.datetime.now(datetime.UTC),
    ).certificate


BROKEN: list[tuple[str, Callable[[], bytes | None]]] = [
    ("wiped", lambda: None),
    ("rubbish", lambda: b"rubbish"),
    ("foreign", foreign),
]
