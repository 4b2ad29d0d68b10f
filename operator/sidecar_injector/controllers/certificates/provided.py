"""Certificates that cert-manager or the administrator makes.

The Secret is only read. A pair that API servers could not verify is never served; the last good
pair is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sidecar_injector.controllers import loop
from sidecar_injector.controllers.certificates import secret_store, serving
from sidecar_injector.controllers.certificates.source import CertificateSource
from sidecar_injector.kube import api
from sidecar_injector.observability.metrics import Metrics
from sidecar_injector.pki import checks, secret_data

RETRY_SECONDS: Final = 1.0
"""The pause while a good pair waits until its issuer is trusted."""


class Provided(CertificateSource):
    """Serves `tls.crt` and `tls.key` of the Secret, and publishes `ca.crt` as caBundle.

    With `ca_injector` cert-manager's cainjector writes caBundle, and we do not. `dns_names` are
    the names that the certificate needs: only the one that the API server verifies. A pair of
    another CA is served once that CA has been in the live configuration for `wait_seconds`. So a
    change of CA in the right order (both CAs in `ca.crt`, then the new pair) costs no pod.
    """

    def __init__(
        self,
        client: api.Api,
        *,
        secret_ref: secret_store.SecretRef,
        dns_names: Sequence[str],
        ca_injector: bool,
        wait_seconds: float,
        served: serving.ServedCertificate,
        metrics: Metrics,
    ) -> None:
        super().__init__(client, secret_ref=secret_ref, served=served, metrics=metrics)
        self._dns_names, self._ca_injector = dns_names, ca_injector
        # cainjector removes the old CA at once, so a wait would only make the gap longer.
        self._wait_seconds = 0.0 if ca_injector else wait_seconds
        self._bundle: bytes | None = None

    def bundle(self) -> bytes | None:
        return None if self._ca_injector else self._bundle

    async def refresh(self) -> bytes | None:
        await self._store.read()
        await self.reconcile()
        return self.bundle()

    def issuer_was_live(self) -> bool:
        fingerprints = checks.fingerprints(self._served.ca_certificates or b"")
        return any(map(self._trust.was_live, fingerprints))

    async def reconcile(self) -> float:
        secret, name = self._store.secret, self._store.name
        if secret is None:
            self._served.report(f"there is no Secret {name}")
            return loop.TICK_SECONDS
        try:
            pair, bundle = secret_data.decode_provided(
                secret.get("data") or {}, dns_names=self._dns_names, now=self._clocks.now()
            )
        except checks.FlawedError as error:
            self._served.report(f"Secret {name}: {error}")
            return loop.TICK_SECONDS
        before = (self._bundle, self._served.certificate)
        self._bundle = bundle
        is_served = self._served.change(
            pair,
            cas=bundle,
            why=f"Secret {api.metadata(secret)['name']}",
            wait_seconds=self._wait_seconds,
        )
        if before != (self._bundle, self._served.certificate):
            self._notify()
        return loop.TICK_SECONDS if is_served else RETRY_SECONDS
