"""What the certificate Secret holds, and its spelling in the Secret's `data`."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import datetime
from collections.abc import Callable, Mapping
from typing import TypeVar

from sidecar_injector import names
from sidecar_injector.pki import checks, issue
from sidecar_injector.pki.checks import CertificateFinding, Flaw

_Part = TypeVar("_Part")

MAX_DIGITS = 18
"""Of a generation: what fits into 64 bits."""


@dataclasses.dataclass(frozen=True, slots=True)
class Previous:
    """The CA before this one, trusted until the last leaf that it signed has expired."""

    certificate: bytes
    until: datetime.datetime


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A complete and consistent Secret: every pair fits, and `leaf` is signed by `ca`.

    Whether the clock and the names agree with it is not part of that.
    """

    generation: int
    """Rises with every change, so that a restored backup is recognised."""
    ca: issue.Pair
    leaf: issue.Pair
    next_ca: issue.Pair | None = None
    """Staged: to be trusted everywhere before it signs anything."""
    previous: Previous | None = None

    def authorities(self) -> tuple[bytes, ...]:
        """The CA certificates to be trusted, newest first."""
        staged = [self.next_ca.certificate] if self.next_ca else []
        former = [self.previous.certificate] if self.previous else []
        return (*staged, self.ca.certificate, *former)

    def bundle(self) -> bytes:
        """What belongs into `caBundle`: these CAs and nothing else."""
        return b"".join(self.authorities())


class Corrupt(checks.FlawedError):
    """The Secret's data is no `Stored`. What is still good in it is kept.

    `ca` is the CA pair if that is intact: a new leaf under it needs no new trust. `generation` is
    0 if it cannot be read.
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


def encode(stored: Stored) -> dict[str, str]:
    """The Secret's `data`."""
    data = {
        names.TLS_CERT: stored.leaf.certificate,
        names.TLS_KEY: stored.leaf.key,
        names.CA_CERT: stored.ca.certificate,
        names.CA_KEY: stored.ca.key,
        names.GENERATION: str(stored.generation).encode(),
    }
    if stored.next_ca:
        data[names.NEXT_CA_CERT] = stored.next_ca.certificate
        data[names.NEXT_CA_KEY] = stored.next_ca.key
    if stored.previous:
        data[names.PREVIOUS_CA_CERT] = stored.previous.certificate
        data[names.PREVIOUS_CA_EXPIRES] = stored.previous.until.isoformat().encode()
    return {key: base64.b64encode(value).decode() for key, value in data.items()}


def decode(data: Mapping[str, str]) -> Stored:
    """The inverse of `encode`; Corrupt names what is wrong with each part, not only the first."""
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
    return Stored(generation=generation, ca=ca, leaf=leaf, next_ca=next_ca, previous=previous)


def value(data: Mapping[str, str], field: str) -> bytes:
    """The decoded value; FlawedError if it is absent, empty or no base64."""
    if not data.get(field):
        raise checks.FlawedError([CertificateFinding(field, Flaw.MISSING)])
    try:
        return base64.b64decode(data[field], validate=True)
    except binascii.Error as error:
        raise checks.FlawedError([CertificateFinding(field, Flaw.NOT_BASE64)]) from error


def pair(data: Mapping[str, str], certificate: str, key: str) -> issue.Pair:
    """The pair under these two keys; FlawedError unless it is one."""
    return checks.pair(
        certificate=value(data, certificate), key=value(data, key), fields=(certificate, key)
    )


def _generation(data: Mapping[str, str]) -> int:
    text = value(data, names.GENERATION)
    if not text.isdigit() or len(text) > MAX_DIGITS or int(text) < 1:
        raise checks.FlawedError([CertificateFinding(names.GENERATION, Flaw.BAD_NUMBER)])
    return int(text)


def _leaf(data: Mapping[str, str]) -> issue.Pair:
    return pair(data, names.TLS_CERT, names.TLS_KEY)


def _ca(data: Mapping[str, str]) -> issue.Pair:
    return _authority(data, names.CA_CERT, names.CA_KEY)


def _next_ca(data: Mapping[str, str]) -> issue.Pair | None:
    if names.NEXT_CA_CERT not in data and names.NEXT_CA_KEY not in data:
        return None
    return _authority(data, names.NEXT_CA_CERT, names.NEXT_CA_KEY)


def _authority(data: Mapping[str, str], certificate: str, key: str) -> issue.Pair:
    found = pair(data, certificate, key)
    if not checks.is_authority(found.parsed()):
        raise checks.FlawedError([CertificateFinding(certificate, Flaw.NOT_A_CA)])
    return found


def _previous(data: Mapping[str, str]) -> Previous | None:
    field = names.PREVIOUS_CA_CERT
    if field not in data:
        return None
    certificate = checks.certificates(value(data, field), field=field)[0]
    if not checks.is_authority(certificate):
        raise checks.FlawedError([CertificateFinding(field, Flaw.NOT_A_CA)])
    until = certificate.not_valid_after_utc
    if names.PREVIOUS_CA_EXPIRES in data:
        until = min(until, _time(data, names.PREVIOUS_CA_EXPIRES))
    return Previous(checks.canonical(certificate), until)


def _time(data: Mapping[str, str], field: str) -> datetime.datetime:
    text = value(data, field)
    try:
        moment = datetime.datetime.fromisoformat(text.decode())
    except ValueError as error:
        raise checks.FlawedError([CertificateFinding(field, Flaw.BAD_TIME)]) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)
