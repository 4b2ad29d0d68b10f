"""Certificates are replaced through kube-proxy, while pods are created at a steady rate."""

import pytest
from cryptography import x509

from sidecar_injector import names
from tests.kits import e2e as kit
from tests.kits import e2e_load as steady
from tools.controlplane import waiting
from tools.node import product

ROLL_SECONDS = 150
"""A new CA must have been announced for 60 s before anything is signed by it."""


def certificate(release: product.Product, key: str) -> x509.Certificate:
    """As the Secret has it now."""
    return x509.load_pem_x509_certificate(release.secret(names.secret_name(release.name))[key])


def rotate(release: product.Product, what: str, *, seconds: float) -> None:
    """Return when every replica serves another leaf (and CA) than before."""
    key = {"leaf": "tls.crt", "ca": "ca.crt"}[what]
    before = certificate(release, key).serial_number
    release.kubectl(
        "annotate", "secret", names.secret_name(release.name), f"{names.ROTATE_ANNOTATION}={what}"
    )
    waiting.until(
        lambda: certificate(release, key).serial_number != before,
        what=f"another {what}",
        seconds=seconds,
    )
    serial = f"{certificate(release, names.TLS_CERT).serial_number:x}"
    waiting.until(
        lambda: all(
            serial in release.log(replica["metadata"]["name"]) for replica in release.pods()
        ),
        what=f"all replicas serve the leaf {serial}",
        seconds=kit.SECONDS,
    )


@pytest.mark.parametrize(("what", "seconds"), [("leaf", kit.SECONDS), ("ca", ROLL_SECONDS)])
@pytest.mark.timeout(ROLL_SECONDS + 2 * kit.SECONDS)
def test_requested_rotations(
    installed: product.Product, under_load: steady.Steady, what: str, seconds: float
) -> None:
    with under_load.running():
        rotate(installed, what, seconds=seconds)
    under_load.judge(f"another {what} certificate")
