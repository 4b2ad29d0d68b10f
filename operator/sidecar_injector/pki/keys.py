"""New keys and serial numbers: the one place in this package whose results differ each time."""

from __future__ import annotations

import dataclasses

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec


@dataclasses.dataclass(frozen=True, slots=True)
class Material:
    """What one certificate needs that nobody else may have."""

    key: ec.EllipticCurvePrivateKey
    serial: int


def generate() -> Material:
    """A P-256 key and a random 159-bit serial number; a tenth of a millisecond."""
    return Material(ec.generate_private_key(ec.SECP256R1()), x509.random_serial_number())
