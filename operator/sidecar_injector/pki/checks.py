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
    """Everything that can be wrong; the value completes a sentence that begins with the field."""

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
    """One flaw of one key of the Secret, with what was seen (never key material)."""

    field: str
    flaw: Flaw
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.field} {self.flaw.value}" + (f" ({self.detail})" if self.detail else "")


class FlawedError(ValueError):
    """What was given cannot be used; `findings` has at least one entry."""

    def __init__(self, findings: Iterable[CertificateFinding]) -> None:
        self.findings = tuple(findings)
        super().__init__("; ".join(str(finding) for finding in self.findings))


def certificates(pem: bytes, *, field: str) -> list[x509.Certificate]:
    """All certificates in `pem`; FlawedError if there is none or one is unreadable."""
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise FlawedError([CertificateFinding(field, Flaw.NOT_A_CERTIFICATE)]) from error


def pair(*, certificate: bytes, key: bytes, fields: tuple[str, str]) -> issue.Pair:
    """The pair in one canonical spelling, its certificate first in a chain that is kept.

    FlawedError unless both are readable and belong together; `fields` are their names in messages.
    """
    chain = certificates(certificate, field=fields[0])
    try:
        # Unvalidated: only its public half is looked at here, as OpenSSL does before it serves the
        # pair, and testing the primes of an RSA key of 4096 bits holds the process for a second.
        # https://cryptography.io/en/latest/hazmat/primitives/asymmetric/serialization/
        private = serialization.load_pem_private_key(
            key, password=None, unsafe_skip_rsa_key_validation=True
        )
    except (ValueError, TypeError, exceptions.UnsupportedAlgorithm) as error:
        raise FlawedError([CertificateFinding(fields[1], Flaw.NOT_A_KEY)]) from error
    if private.public_key() != chain[0].public_key():
        raise FlawedError([CertificateFinding(fields[1], Flaw.KEY_MISMATCH)])
    return issue.Pair(b"".join(map(canonical, chain)), key)


def canonical(certificate: x509.Certificate) -> bytes:
    """PEM without the comments and line ends that a file may have."""
    return certificate.public_bytes(serialization.Encoding.PEM)


def validity(
    certificate: x509.Certificate, *, field: str, now: datetime.datetime
) -> list[CertificateFinding]:
    """Whether `now` is within the certificate's life, both ends included."""
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
    """What keeps a server from using this certificate under these names, its issuer aside."""
    findings = validity(leaf, field=field, now=now)
    if is_authority(leaf):
        findings.append(CertificateFinding(field, Flaw.IS_A_CA))
    lacking = [name for name in dns_names if name not in _dns_names(leaf)]
    if lacking:
        findings.append(CertificateFinding(field, Flaw.WRONG_NAMES, ", ".join(lacking)))
    purposes = _extension(leaf, x509.ExtendedKeyUsage)
    if purposes is not None and oid.ExtendedKeyUsageOID.SERVER_AUTH not in purposes:
        findings.append(CertificateFinding(field, Flaw.NOT_FOR_SERVERS))
    return findings


def is_authority(certificate: x509.Certificate) -> bool:
    """Whether it may sign certificates."""
    constraints = _extension(certificate, x509.BasicConstraints)
    return constraints is not None and constraints.ca


def issued_by(chain: Sequence[x509.Certificate], authorities: Sequence[x509.Certificate]) -> bool:
    """Whether `chain[0]` is signed by one of `authorities`, maybe by way of the rest of `chain`."""
    current, *others = chain
    while True:
        if any(_signed(current, by=authority) for authority in authorities):
            return True
        issuers = [other for other in others if is_authority(other) and _signed(current, by=other)]
        if not issuers:
            return False
        current = issuers[0]
        others.remove(current)


def fingerprints(pem: bytes) -> frozenset[str]:
    """What identifies each certificate in `pem`, however it is spelt; unreadable PEM has none."""
    try:
        found = x509.load_pem_x509_certificates(pem)
    except ValueError:
        return frozenset()
    return frozenset(certificate.fingerprint(hashes.SHA256()).hex() for certificate in found)


def fingerprint(pem: bytes) -> str:
    """The one of a certificate that is known to be readable."""
    (single,) = fingerprints(pem)
    return single


def same_key(one: bytes, other: bytes) -> bool:
    """Whether two certificates that are known to be readable are of one key and one subject.

    What the one has signed the other has signed as well, whichever of them somebody trusts.
    """
    if one == other:
        return True
    first, second = x509.load_pem_x509_certificate(one), x509.load_pem_x509_certificate(other)
    return first.subject == second.subject and first.public_key() == second.public_key()


def _signed(certificate: x509.Certificate, *, by: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(by)
    except (ValueError, TypeError, exceptions.InvalidSignature):
        return False
    return is_authority(by)


def _dns_names(certificate: x509.Certificate) -> list[str]:
    alternatives = _extension(certificate, x509.SubjectAlternativeName)
    return alternatives.get_values_for_type(x509.DNSName) if alternatives is not None else []


def _extension(certificate: x509.Certificate, kind: type[_Extension]) -> _Extension | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except (x509.ExtensionNotFound, ValueError):
        return None
