"""The content of the certificate Secret, and how the Secret's `data` encodes it."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import datetime
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from cryptography import x509

from sidecar_injector import names
from sidecar_injector.pki import checks, issue
from sidecar_injector.pki.checks import CertificateFinding, Flaw

_Part = TypeVar("_Part")

MAX_DIGITS = 18
"""Of a generation, which has to fit into 64 bits."""


@dataclasses.dataclass(frozen=True, slots=True)
class Previous:
    """The former CA, which is trusted until the last leaf that it signed has expired."""

    certificate: bytes
    until: datetime.datetime


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CertificateSet:
    """The content of a good Secret: every key fits its certificate, and `ca` has signed `leaf`.

    Dates and names may still be wrong.
    """

    generation: int
    """Rises with every change, so that a restored backup is recognised."""
    ca: issue.Pair
    leaf: issue.Pair
    next_ca: issue.Pair | None = None
    """The staged CA, which signs nothing before every API server trusts it."""
    previous: Previous | None = None

    def ca_certificates(self) -> tuple[bytes, ...]:
        """The CAs that API servers have to trust, newest first."""
        staged = [self.next_ca.certificate] if self.next_ca else []
        former = [self.previous.certificate] if self.previous else []
        return (*staged, self.ca.certificate, *former)

    def bundle(self) -> bytes:
        """What belongs into `caBundle`: these CAs and nothing else."""
        return b"".join(self.ca_certificates())


class Corrupt(checks.FlawedError):
    """The Secret's data is not a `CertificateSet`; the parts that are still good are kept.

    `ca` is the pair of the CA if that is intact: API servers trust a new leaf of it at once.
    `generation` is 0 if it is unreadable.
    """

    def __init__(
        self,
        findings: tuple[CertificateFinding, ...],
        *,
        ca: issue.Pair | None = None,
        generation: int = 0,
    ) -> None:
        super().__init__(findings)
        self.ca, self.generation = ca, generation


def encode(certificates: CertificateSet) -> dict[str, str]:
    """The Secret's `data`."""
    data = {
        names.TLS_CERT: certificates.leaf.certificate,
        names.TLS_KEY: certificates.leaf.key,
        names.CA_CERT: certificates.ca.certificate,
        names.CA_KEY: certificates.ca.key,
        names.GENERATION: str(certificates.generation).encode(),
    }
    if certificates.next_ca:
        data[names.NEXT_CA_CERT] = certificates.next_ca.certificate
        data[names.NEXT_CA_KEY] = certificates.next_ca.key
    if certificates.previous:
        data[names.PREVIOUS_CA_CERT] = certificates.previous.certificate
        data[names.PREVIOUS_CA_EXPIRES] = certificates.previous.until.isoformat().encode()
    return {key: base64.b64encode(value).decode() for key, value in data.items()}


def decode(data: Mapping[str, str]) -> CertificateSet:
    """The inverse of `encode`; Corrupt names all that is wrong, not only the first problem."""
    findings: list[CertificateFinding] = []

    def attempt(read: Callable[[Mapping[str, str]], _Part]) -> _Part | None:
        try:
            return read(data)
        except checks.FlawedError as error:
            findings.extend(error.findings)
            return None

    generation = attempt(_generation)
    ca = attempt(_ca)
    leaf = attempt(_leaf)
    next_ca = attempt(_next_ca)
    previous = attempt(_previous)
    if leaf and ca and not checks.issued_by([leaf.parsed()], [ca.parsed()]):
        findings.append(CertificateFinding(names.TLS_CERT, Flaw.WRONG_ISSUER))
    if findings or generation is None or ca is None or leaf is None:
        raise Corrupt(tuple(findings), ca=ca, generation=generation or 0)
    return CertificateSet(
        generation=generation, ca=ca, leaf=leaf, next_ca=next_ca, previous=previous
    )


def decode_provided(
    data: Mapping[str, str], *, dns_names: Sequence[str], now: datetime.datetime
) -> tuple[issue.Pair, bytes]:
    """The pair and the CAs of a Secret that cert-manager or an administrator fills.

    FlawedError unless a client that trusts `ca.crt` would accept the pair.
    """
    leaf = _leaf(data)
    cas = checks.certificates(_value(data, names.CA_CERT), field=names.CA_CERT)
    chain = checks.certificates(leaf.certificate, field=names.TLS_CERT)
    findings = checks.serving(chain[0], field=names.TLS_CERT, dns_names=dns_names, now=now)
    findings += _bundle_findings(cas, now)
    if not checks.issued_by(chain, cas):
        findings.append(CertificateFinding(names.TLS_CERT, Flaw.WRONG_ISSUER))
    if findings:
        raise checks.FlawedError(findings)
    return leaf, b"".join(map(checks.canonical, cas))


def _bundle_findings(
    cas: Sequence[x509.Certificate], now: datetime.datetime
) -> list[CertificateFinding]:
    """A bundle may contain an expired CA beside a good one, but only CAs."""
    findings = [
        CertificateFinding(names.CA_CERT, Flaw.NOT_A_CA, ca.subject.rfc4514_string())
        for ca in cas
        if not checks.is_ca(ca)
    ]
    dates = [checks.validity(ca, field=names.CA_CERT, now=now) for ca in cas]
    return findings + (dates[0] if all(dates) else [])


def _value(data: Mapping[str, str], field: str) -> bytes:
    """The decoded value; FlawedError if it is absent, empty or not base64."""
    if not data.get(field):
        raise checks.FlawedError([CertificateFinding(field, Flaw.MISSING)])
    try:
        return base64.b64decode(data[field], validate=True)
    except binascii.Error as error:
        raise checks.FlawedError([CertificateFinding(field, Flaw.NOT_BASE64)]) from error


def _pair(data: Mapping[str, str], certificate: str, key: str) -> issue.Pair:
    """The pair under these two keys; FlawedError if it cannot be used."""
    return checks.pair(
        certificate=_value(data, certificate), key=_value(data, key), fields=(certificate, key)
    )


def _generation(data: Mapping[str, str]) -> int:
    text = _value(data, names.GENERATION)
    if not text.isdigit() or len(text) > MAX_DIGITS or int(text) < 1:
        raise checks.FlawedError([CertificateFinding(names.GENERATION, Flaw.BAD_NUMBER)])
    return int(text)


def _leaf(data: Mapping[str, str]) -> issue.Pair:
    return _pair(data, names.TLS_CERT, names.TLS_KEY)


def _ca(data: Mapping[str, str]) -> issue.Pair:
    return _ca_pair(data, names.CA_CERT, names.CA_KEY)


def _next_ca(data: Mapping[str, str]) -> issue.Pair | None:
    if names.NEXT_CA_CERT not in data and names.NEXT_CA_KEY not in data:
        return None
    return _ca_pair(data, names.NEXT_CA_CERT, names.NEXT_CA_KEY)


def _ca_pair(data: Mapping[str, str], certificate: str, key: str) -> issue.Pair:
    ca = _pair(data, certificate, key)
    if not checks.is_ca(ca.parsed()):
        raise checks.FlawedError([CertificateFinding(certificate, Flaw.NOT_A_CA)])
    return ca


def _previous(data: Mapping[str, str]) -> Previous | None:
    field = names.PREVIOUS_CA_CERT
    if field not in data:
        return None
    certificate = checks.certificates(_value(data, field), field=field)[0]
    if not checks.is_ca(certificate):
        raise checks.FlawedError([CertificateFinding(field, Flaw.NOT_A_CA)])
    until = certificate.not_valid_after_utc
    if names.PREVIOUS_CA_EXPIRES in data:
        until = min(until, _time(data, names.PREVIOUS_CA_EXPIRES))
    return Previous(checks.canonical(certificate), until)


def _time(data: Mapping[str, str], field: str) -> datetime.datetime:
    text = _value(data, field)
    try:
        moment = datetime.datetime.fromisoformat(text.decode())
    except ValueError as error:
        raise checks.FlawedError([CertificateFinding(field, Flaw.BAD_TIME)]) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)
