"""Connects to this replica's own port as an API server would, and keeps readiness right."""

from __future__ import annotations

import logging

from sidecar_injector import names
from sidecar_injector.controllers import loop
from sidecar_injector.controllers.certificates import serving, trust
from sidecar_injector.httpserver import tls
from sidecar_injector.settings import Settings
from sidecar_injector.webhook import readiness
from sidecar_injector.webhook.server import AdmissionServer

RETRY_SECONDS = 5

_log = logging.getLogger(__name__)


class Probe:
    """Keeps readiness right as far as certificates decide it: loaded, verified, trusted once."""

    def __init__(
        self,
        settings: Settings,
        *,
        origin: serving.CertificateSource,
        trusted: trust.Trust,
        shown: tls.ServingContext,
        server: AdmissionServer,
        ready: readiness.Readiness,
    ) -> None:
        self._origin, self._shown, self._server, self._ready = origin, shown, server, ready
        self._server_name = names.verified_dns_name(
            service=settings.fullname, namespace=settings.namespace
        )
        self._verified: int | None = None
        self._was_ready = False
        self._loop = loop.Loop(self._turn, what="the handshake with ourselves")
        origin.subscribe(self._loop.wake)
        trusted.subscribe(self._loop.wake)

    async def run(self) -> None:
        """Until cancelled."""
        await self._server.started.wait()
        await self._loop.run()

    async def _turn(self) -> float:
        if self._shown.leaf is not None:
            self._ready.met(readiness.Condition.CERTIFICATE_LOADED)
        if self._origin.issuer_seen():
            self._ready.met(readiness.Condition.ISSUER_SEEN)
        authorities = self._origin.authorities()
        if authorities is not None and self._verified != self._shown.serial:
            try:
                self._verified = await tls.self_probe(
                    port=self._server.port, server_name=self._server_name, ca_pem=authorities
                )
                self._ready.met(readiness.Condition.SELF_PROBE)
            except tls.TLSError as error:
                # What is shared by all replicas must never make all of them unready.
                _log.error("%s", error)
                return RETRY_SECONDS
        if self._ready.ready and not self._was_ready:
            _log.info("ready")
        self._was_ready = self._ready.ready
        return loop.TICK_SECONDS if self._ready.ready else 1.0
