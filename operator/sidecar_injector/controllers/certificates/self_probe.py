"""Connects to this replica's own port as an API server does, and keeps readiness right."""

from __future__ import annotations

import logging

from sidecar_injector import names
from sidecar_injector.controllers import loop
from sidecar_injector.controllers.certificates import build
from sidecar_injector.httpserver import tls
from sidecar_injector.settings import Settings
from sidecar_injector.webhook import readiness
from sidecar_injector.webhook.server import AdmissionServer

RETRY_SECONDS = 5

_log = logging.getLogger(__name__)


class SelfProbe:
    """Meets the conditions of readiness that depend on certificates."""

    def __init__(
        self,
        settings: Settings,
        *,
        certificates: build.CertificateParts,
        server: AdmissionServer,
        ready: readiness.Readiness,
    ) -> None:
        self._source, self._context = certificates.source, certificates.context
        self._server, self._ready = server, ready
        self._server_name = names.verified_dns_name(
            service=settings.fullname, namespace=settings.namespace
        )
        self._verified_serial: int | None = None
        self._was_ready = False
        self._loop = loop.Loop(self._turn, what="the handshake with ourselves")
        certificates.source.subscribe(self._loop.wake)
        certificates.trust.subscribe(self._loop.wake)

    async def run(self) -> None:
        """Until cancelled."""
        await self._server.started.wait()
        await self._loop.run()

    async def _turn(self) -> float:
        if self._context.leaf is not None:
            self._ready.met(readiness.Condition.CERTIFICATE_LOADED)
        if self._source.issuer_was_live():
            self._ready.met(readiness.Condition.ISSUER_SEEN)
        cas = self._source.ca_certificates()
        if cas is not None and self._verified_serial != self._context.serial:
            try:
                self._verified_serial = await tls.self_probe(
                    port=self._server.port, server_name=self._server_name, ca_pem=cas
                )
                self._ready.met(readiness.Condition.SELF_PROBE)
            except tls.TLSError as error:
                # A replica stays ready: all replicas share the Secret, so all would be unready.
                _log.error("%s", error)
                return RETRY_SECONDS
        if self._ready.ready and not self._was_ready:
            _log.info("ready")
        self._was_ready = self._ready.ready
        return loop.TICK_SECONDS if self._ready.ready else 1.0
