"""What is wrong with a certificate, a key, or the two together."""

from __future__ import annotations

import dataclasses
import datetime
import enum
from collections.abc import Iterable, Sequence
from typing import TypeVar

from cryptography import exceptions, x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509 import oid

from sidecar_injector.pki import issue

_Extension = TypeVar("_Extension", bound=x509.ExtensionType)


class Flaw(enum.Enum):
    """What can be wrong. The value ends a sentence that begins with the name of the field."""

    MISSING = "is missing"
    NOT_A_CERTIFICATE = "is not a PEM certificate"
    NOT_A_KEY = "is not an unencrypted PEM private key"
    KEY_MISMATCH = "does not belong to its certificate"
    NOT_A_CA = "is not a CA certificate"
    IS_A_CA = "is a CA certificate, where a serving certificate is needed"
    WRONG_ISSUER = "is not signed by the CA beside it"
    WRONG_NAMES = "lacks DNS names"
    NOT_FOR_SERVERS = "does not allow server authentication"
    EXPIRED = "has expired"
    NOT_YET_VALID = "is not valid yet"
    BAD_NUMBER = "is not a whole number of 1 or more"
    BAD_TIME = "is not a time as RFC 3339 has it"
    NOT_BASE64 = "is not base64"


@dataclasses.dataclass(frozen=True, slots=True)
class CertificateFinding:
    """One flaw in one field of the Secret, with details that contain no key material."""

    field: str
    flaw: Flaw
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.field} {self.flaw.value}" + (f" ({self.detail})" if self.detail else "")


class FlawedError(ValueError):
    """The data cannot be used; `findings` has at least one entry."""

    def __init__(self, findings: Iterable[CertificateFinding]) -> None:
        self.findings = tuple(findings)
        super().__init__("; ".join(str(finding) for finding in self.findings))


def certificates(pem: bytes, *, field: str) -> list[x509.Certificate]:
    """All certificates in `pem`; FlawedError if there is none, or if one is unreadable."""
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise FlawedError([CertificateFinding(field, Flaw.NOT_A_CERTIFICATE)]) from error


def pair(*, certificate: bytes, key: bytes, fields: tuple[str, str]) -> issue.Pair:
    """The pair in canonical PEM; `certificate` may be a chain that begins with the pair's own.

    FlawedError unless both are readable and belong together; `fields` are their names in messages.
    """
    chain = certificates(certificate, field=fields[0])
    try:
        # Without validation: only the public half is compared here, and OpenSSL checks the pair
        # before it serves it. To test the primes of an RSA key of 4096 bits takes a second.
        # https://cryptography.io/en/latest/hazmat/primitives/asymmetric/serialization/
        private_key = serialization.load_pem_private_key(
            key, password=None, unsafe_skip_rsa_key_validation=True
        )
    except (ValueError, TypeError, exceptions.UnsupportedAlgorithm) as error:
        raise FlawedError([CertificateFinding(fields[1], Flaw.NOT_A_KEY)]) from error
    if private_key.public_key() != chain[0].public_key():
        raise FlawedError([CertificateFinding(fields[1], Flaw.KEY_MISMATCH)])
    return issue.Pair(b"".join(map(canonical, chain)), key)


def canonical(certificate: x509.Certificate) -> bytes:
    """PEM without comments, and with the line ends of Unix."""
    return certificate.public_bytes(serialization.Encoding.PEM)


def validity(
    certificate: x509.Certificate, *, field: str, now: datetime.datetime
) -> list[CertificateFinding]:
    """A finding unless `now` is within the certificate's life, both ends included."""
    if now > certificate.not_valid_after_utc:
        detail = f"at {certificate.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}"
        return [CertificateFinding(field, Flaw.EXPIRED, detail)]
    if now < certificate.not_valid_before_utc:
        detail = f"until {certificate.not_valid_before_utc:%Y-%m-%dT%H:%M:%SZ}"
        return [CertificateFinding(field, Flaw.NOT_YET_VALID, detail)]
    return []


def serving(
    leaf: x509.Certificate, *, field: str, dns_names: Sequence[str], now: datetime.datetime
) -> list[CertificateFinding]:
    """Why a client would refuse this certificate of a server, apart from its issuer."""
    findings = validity(leaf, field=field, now=now)
    if is_ca(leaf):
        findings.append(CertificateFinding(field, Flaw.IS_A_CA))
    present = dns_names_of(leaf)
    missing = [name for name in dns_names if name not in present]
    if missing:
        findings.append(CertificateFinding(field, Flaw.WRONG_NAMES, ", ".join(missing)))
    purposes = _extension(leaf, x509.ExtendedKeyUsage)
    if purposes is not None and oid.ExtendedKeyUsageOID.SERVER_AUTH not in purposes:
        findings.append(CertificateFinding(field, Flaw.NOT_FOR_SERVERS))
    return findings


def is_ca(certificate: x509.Certificate) -> bool:
    """Whether it may sign certificates."""
    constraints = _extension(certificate, x509.BasicConstraints)
    return constraints is not None and constraints.ca


def issued_by(chain: Sequence[x509.Certificate], cas: Sequence[x509.Certificate]) -> bool:
    """Whether one of `cas` has signed `chain[0]`, directly or by way of the rest of `chain`."""
    current, *others = chain
    while True:
        if any(_signed(current, by=ca) for ca in cas):
            return True
        issuers = [other for other in others if _signed(current, by=other)]
        if not issuers:
            return False
        current = issuers[0]
        others.remove(current)


def fingerprints(pem: bytes) -> frozenset[str]:
    """SHA-256 of each certificate in `pem`; unreadable PEM has none."""
    try:
        parsed = x509.load_pem_x509_certificates(pem)
    except ValueError:
        return frozenset()
    return frozenset(certificate.fingerprint(hashes.SHA256()).hex() for certificate in parsed)


def fingerprint(pem: bytes) -> str:
    """The same of one certificate, which must be readable."""
    (only,) = fingerprints(pem)
    return only


def same_key(first: bytes, second: bytes) -> bool:
    """Whether two readable CA certificates have one key and one subject.

    A client that trusts one of them accepts what the other has signed.
    """
    if first == second:
        return True
    left, right = x509.load_pem_x509_certificate(first), x509.load_pem_x509_certificate(second)
    return left.subject == right.subject and left.public_key() == right.public_key()


def _signed(certificate: x509.Certificate, *, by: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(by)
    except (ValueError, TypeError, exceptions.InvalidSignature):
        return False
    return is_ca(by)


def dns_names_of(certificate: x509.Certificate) -> list[str]:
    """The DNS names of a serving certificate."""
    alternatives = _extension(certificate, x509.SubjectAlternativeName)
    return alternatives.get_values_for_type(x509.DNSName) if alternatives is not None else []


def _extension(certificate: x509.Certificate, kind: type[_Extension]) -> _Extension | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except (x509.ExtensionNotFound, ValueError):
        return None
