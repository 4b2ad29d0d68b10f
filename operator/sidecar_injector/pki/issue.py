"""Make certificates: a CA, and the serving certificate ("leaf") that it signs."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Sequence
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509 import oid

from sidecar_injector import names
from sidecar_injector.pki import keys

BACKDATE: Final = datetime.timedelta(hours=1)
"""A certificate is valid from this long before it is made, as clocks of nodes differ."""

COMMON_NAME_LIMIT: Final = 64
"""RFC 5280, ub-common-name. 64 bits of the serial number fit into the rest."""


@dataclasses.dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its private key, both PEM."""

    certificate: bytes
    key: bytes

    def __repr__(self) -> str:
        # The generated one would print the key into logs and test reports.
        return f"Pair({self.certificate!r}, key=…)"

    def parsed(self) -> x509.Certificate:
        """The certificate as an object; it must be readable."""
        return x509.load_pem_x509_certificate(self.certificate)


def ca(*, fresh: keys.Material, generation: int, now: datetime.datetime, seconds: int) -> Pair:
    """A self-signed CA that may sign leaves only; its life ends in `seconds`.

    Its subject is unique: OpenSSL finds the issuer by name, and mixes up two CAs of one name.
    """
    name = _name(f"{names.PRODUCT} CA {generation} {fresh.serial:040x}"[:COMMON_NAME_LIMIT])
    public = fresh.key.public_key()
    builder = (
        _builder(fresh, now=now, until=now + datetime.timedelta(seconds=seconds))
        .subject_name(name)
        .issuer_name(name)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False)
    )
    return _pair(builder.sign(fresh.key, hashes.SHA256()), fresh)


def extended_ca(
    current: Pair, *, fresh: keys.Material, now: datetime.datetime, seconds: int
) -> Pair:
    """The CA `current` with a new life. Subject and key stay; only the serial number is `fresh`.

    A client that trusts one of the two CAs trusts what the other has signed, so no wait is needed.
    But a key that has leaked stays in use.
    """
    before = current.parsed()
    key = serialization.load_pem_private_key(current.key, password=None)
    builder = (
        x509.CertificateBuilder()
        .subject_name(before.subject)
        .issuer_name(before.subject)
        .public_key(before.public_key())
        .serial_number(fresh.serial)
        .not_valid_before(now - BACKDATE)
        .not_valid_after(now + datetime.timedelta(seconds=seconds))
    )
    for extension in before.extensions:
        builder = builder.add_extension(extension.value, critical=extension.critical)
    certificate = builder.sign(key, hashes.SHA256())  # type: ignore[arg-type]  # CAs are P-256
    return Pair(certificate.public_bytes(serialization.Encoding.PEM), current.key)


def leaf(
    *,
    fresh: keys.Material,
    issuer: Pair,
    dns_names: Sequence[str],
    now: datetime.datetime,
    seconds: int,
) -> Pair:
    """A serving certificate for `dns_names`; it ends in `seconds`, or earlier with its issuer."""
    signer = issuer.parsed()
    until = min(now + datetime.timedelta(seconds=seconds), signer.not_valid_after_utc)
    identifier = signer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    alternatives = x509.SubjectAlternativeName([x509.DNSName(name) for name in dns_names])
    builder = (
        _builder(fresh, now=now, until=until)
        .subject_name(_name(f"{names.PRODUCT} webhook"))
        .issuer_name(signer.subject)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([oid.ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(alternatives, critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier),
            critical=False,
        )
    )
    key = serialization.load_pem_private_key(issuer.key, password=None)
    return _pair(builder.sign(key, hashes.SHA256()), fresh)  # type: ignore[arg-type]  # CAs are P-256


def _builder(
    fresh: keys.Material, *, now: datetime.datetime, until: datetime.datetime
) -> x509.CertificateBuilder:
    public = fresh.key.public_key()
    return (
        x509.CertificateBuilder()
        .public_key(public)
        .serial_number(fresh.serial)
        .not_valid_before(now - BACKDATE)
        .not_valid_after(until)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(oid.NameOID.COMMON_NAME, common_name)])


def _pair(certificate: x509.Certificate, fresh: keys.Material) -> Pair:
    key = fresh.key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return Pair(certificate.public_bytes(serialization.Encoding.PEM), key)
