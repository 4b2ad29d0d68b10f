"""Certificates that somebody else makes: cert-manager, or the administrator.

The Secret is only ever read here. A pair that the API servers could not verify is never served,
and the last good one is kept.
"""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Callable, Sequence
from typing import Final

from cryptography import x509

from sidecar_injector import names
from sidecar_injector.controllers import loop
from sidecar_injector.controllers.certificates import secret_store, serving, trust
from sidecar_injector.kube import api, informer
from sidecar_injector.observability.metrics import Metrics
from sidecar_injector.pki import checks, issue, secret_data

RETRY_SECONDS: Final = 1.0
"""While a good pair waits for its issuer to be trusted."""


class Provided:
    """A `serving.CertificateSource` that loads `tls.crt` and `tls.key` whenever the Secret changes.

    `ca.crt` is what we put into caBundle, unless `injects` says that somebody else does that
    (cert-manager's cainjector). `dns_names` are those that the certificate must have: the one that
    the API server verifies will do. A pair of another CA is served once that CA has been in the
    live configuration for `wait` seconds, so a change of CA that comes in the right order (both in
    `ca.crt`, then the new pair) costs nothing.
    """

    def __init__(
        self,
        client: api.Api,
        *,
        place: secret_store.SecretRef,
        dns_names: Sequence[str],
        injects: bool,
        serve: serving.ServedCertificate,
        trusted: trust.Trust,
        metrics: Metrics,
        now: Callable[[], datetime.datetime],
        wait: float,
    ) -> None:
        self._place, self._dns_names, self._injects = place, dns_names, injects
        # Who injects the bundle takes the old CA out of it at once: nothing is gained by waiting.
        self._wait = 0.0 if injects else wait
        self._bundle: bytes | None = None
        self._serve, self._trusted, self._now = serve, trusted, now
        self._store = secret_store.SecretStore(client, place=place, metrics=metrics)
        self._listeners: list[Callable[[], None]] = []
        self._loop = loop.Loop(self.reconcile, what=f"Secret {place.secret}")
        self._cache = informer.Informer(
            client, api.SECRETS, metrics=metrics, scope=place.scope(), on_change=self._changed
        )
        trusted.subscribe(self._loop.wake)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._cache.run())
            await self._cache.synced.wait()
            group.create_task(self._loop.run())

    def bundle(self) -> bytes | None:
        return None if self._injects else self._bundle

    async def refresh(self) -> bytes | None:
        await self._store.read()
        await self.reconcile()
        return self.bundle()

    def authorities(self) -> bytes | None:
        return self._serve.authorities

    def issuer_seen(self) -> bool:
        known = checks.fingerprints(self._serve.authorities or b"")
        return any(self._trusted.ever(fingerprint) for fingerprint in known)

    def subscribe(self, listener: Callable[[], None]) -> None:
        self._listeners.append(listener)

    async def reconcile(self) -> float:
        """Serve what the Secret holds if it is good; after how many seconds to look again."""
        place = self._place
        if self._store.raw is None:
            self._serve.complain(f"there is no Secret {place.namespace}/{place.secret}")
            return loop.TICK_SECONDS
        try:
            pair, authorities = judge(
                self._store.raw.get("data") or {}, dns_names=self._dns_names, now=self._now()
            )
        except checks.FlawedError as error:
            self._serve.complain(f"Secret {place.namespace}/{place.secret}: {error}")
        else:
            before = (self._bundle, self._serve.certificate)
            self._bundle = authorities
            served = self._serve.change(
                pair, authorities=authorities, why=f"Secret {place.secret}", wait=self._wait
            )
            if before != (self._bundle, self._serve.certificate):
                self._tell()
            if not served:
                return RETRY_SECONDS
        return loop.TICK_SECONDS

    def _tell(self) -> None:
        for listener in self._listeners:
            listener()

    def _changed(self, _key: informer.Key, _old: api.Json | None, new: api.Json | None) -> None:
        self._store.raw = new
        self._loop.wake()


def judge(
    data: dict[str, str], *, dns_names: Sequence[str], now: datetime.datetime
) -> tuple[issue.Pair, bytes]:
    """The pair and its CAs; FlawedError unless a client that trusts `ca.crt` would accept it."""
    pair = secret_data.pair(data, names.TLS_CERT, names.TLS_KEY)
    authorities = checks.certificates(secret_data.value(data, names.CA_CERT), field=names.CA_CERT)
    chain = checks.certificates(pair.certificate, field=names.TLS_CERT)
    findings = checks.serving(chain[0], field=names.TLS_CERT, dns_names=dns_names, now=now)
    findings += _authority_flaws(authorities, now)
    if not checks.issued_by(chain, authorities):
        findings.append(checks.CertificateFinding(names.TLS_CERT, checks.Flaw.WRONG_ISSUER))
    if findings:
        raise checks.FlawedError(findings)
    return pair, b"".join(map(checks.canonical, authorities))


def _authority_flaws(
    authorities: Sequence[x509.Certificate], now: datetime.datetime
) -> list[checks.CertificateFinding]:
    """A bundle may carry an expired CA beside a good one, but nothing that is no CA."""
    findings = [
        checks.CertificateFinding(names.CA_CERT, checks.Flaw.NOT_A_CA, ca.subject.rfc4514_string())
        for ca in authorities
        if not checks.is_authority(ca)
    ]
    judged = [checks.validity(ca, field=names.CA_CERT, now=now) for ca in authorities]
    return findings + (judged[0] if all(judged) else [])
