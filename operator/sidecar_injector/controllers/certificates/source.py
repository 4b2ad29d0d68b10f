"""Where certificates come from: a Secret that every replica watches."""

from __future__ import annotations

import abc
from collections.abc import Callable

from sidecar_injector.controllers import loop
from sidecar_injector.controllers.certificates import secret_store, serving
from sidecar_injector.kube import api, informer
from sidecar_injector.observability.metrics import Metrics


class CertificateSource(abc.ABC):
    """Takes the certificate of a Secret to the TLS server, and knows the CAs for `caBundle`."""

    def __init__(
        self,
        client: api.Api,
        *,
        secret_ref: secret_store.SecretRef,
        served: serving.ServedCertificate,
        metrics: Metrics,
    ) -> None:
        self._served, self._trust, self._clocks = served, served.trust, served.clocks
        self._store = secret_store.SecretStore(client, secret_ref=secret_ref, metrics=metrics)
        self._listeners: list[Callable[[], None]] = []
        self._loop = loop.Loop(self.reconcile, what=f"Secret {secret_ref.secret}")
        self._informer = informer.Informer(
            client,
            api.SECRETS,
            metrics=metrics,
            scope=api.by_name(secret_ref.secret, namespace=secret_ref.namespace),
            on_change=lambda _key, _old, new: self.observe(new),
        )
        self._trust.subscribe(self._loop.wake)

    async def run(self) -> None:
        """Keep the certificate loaded until cancelled."""
        await self._loop.run_with(self._informer)

    def subscribe(self, listener: Callable[[], None]) -> None:
        """Call `listener` when the result of a method below may have changed."""
        self._listeners.append(listener)

    def ca_certificates(self) -> bytes | None:
        """The CAs by which this replica verifies its own certificate."""
        return self._served.ca_certificates

    def issuers(self) -> frozenset[str]:
        """Fingerprints of the CAs by which clients can verify the served certificate."""
        return self._served.issuers

    @abc.abstractmethod
    def bundle(self) -> bytes | None:
        """What belongs into `caBundle`; None if that is unknown, or cert-manager writes it."""

    @abc.abstractmethod
    async def refresh(self) -> bytes | None:
        """The same after the Secret was read from the API server."""

    @abc.abstractmethod
    def issuer_was_live(self) -> bool:
        """Whether the issuer of the served certificate was in the live configuration once."""

    @abc.abstractmethod
    async def reconcile(self) -> float:
        """Do what is due now; returns the seconds until the next turn."""

    def observe(self, secret: api.Json | None) -> None:
        """The watch has delivered a change of the Secret."""
        self._store.observe(secret)
        self._loop.wake()

    def _notify(self) -> None:
        for listener in self._listeners:
            listener()
