"""The certificate that this replica serves."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable

from sidecar_injector.controllers.certificates.problems import Alarms, CertificateProblem
from sidecar_injector.controllers.certificates.trust import Trust
from sidecar_injector.httpserver import tls
from sidecar_injector.kube import server_clock
from sidecar_injector.observability.metrics import Metrics
from sidecar_injector.pki import handover, issue

log = logging.getLogger(__name__)

Load = Callable[[issue.Pair], None]
"""Makes the TLS server serve a pair; raises TLSError if the pair cannot be loaded."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Servable:
    pair: issue.Pair
    cas: bytes
    """The CA certificates that came with the pair."""

    def issuers(self, other_cas: bytes = b"") -> frozenset[str]:
        return handover.issuers(self.pair.certificate, self.cas + other_cas)


class ServedCertificate:
    """Changes the served certificate; a pair that cannot be loaded changes nothing.

    A pair replaces another one as soon as `trust` allows it. The former pair is kept while clients
    may refuse the new one.
    """

    def __init__(
        self,
        load: Load,
        *,
        trust: Trust,
        alarms: Alarms,
        metrics: Metrics,
        clocks: server_clock.Clocks,
    ) -> None:
        self.trust, self.alarms, self.clocks = trust, alarms, clocks
        self._load, self._metrics = load, metrics
        self._current: _Servable | None = None
        self._former: _Servable | None = None
        self._trial = handover.Trial()

    @property
    def certificate(self) -> bytes | None:
        """The served certificate."""
        return self._current.pair.certificate if self._current else None

    @property
    def ca_certificates(self) -> bytes | None:
        """The CA certificates that came with it."""
        return self._current.cas if self._current else None

    @property
    def issuers(self) -> frozenset[str]:
        """Fingerprints of those of them by which clients can verify the served certificate."""
        return self._current.issuers() if self._current else frozenset()

    def change(self, pair: issue.Pair, *, cas: bytes, why: str, wait_seconds: float = 0.0) -> bool:
        """Serve this pair once its issuer has been live for `wait_seconds`.

        False if that is not allowed yet; the caller tries again. Also False if the pair cannot be
        loaded, which is an alarm.
        """
        wanted, now = _Servable(pair, cas), self.clocks.monotonic()
        if self._trial.is_passed(now):
            self._former = None
            self.alarms.clear(CertificateProblem.REFUSED)
        if wanted != self._current:
            if pair.certificate != self.certificate:
                if not self._may_replace(wanted, wait_seconds) or not self._put(wanted, why=why):
                    return False
                self._former = self._current
                self._trial.begin(now)
            self._current = wanted
        elif not self._trial.is_running:
            # What was refused is not wanted any more.
            self.alarms.clear(CertificateProblem.REFUSED)
        self.alarms.clear(CertificateProblem.NOT_LOADED)
        return True

    def refuse(self) -> None:
        """A client refuses the certificate. Called during its handshake."""
        now = self.clocks.monotonic()
        if not self._trial.is_refused(now) or self._current is None:
            return
        serial = self._current.pair.parsed().serial_number
        former, self._former = self._former, None
        if former is None or not self._may_return_to(former):
            message = f"Clients refuse certificate {serial:x}, and no other one would do"
            self.alarms.set(CertificateProblem.REFUSED, message)
            return
        pause = self._trial.fail(self._current.pair.certificate, now)
        if self._put(
            former, why=f"clients refuse {serial:x}, which is tried again in {pause:.0f} s"
        ):
            self._current = former
            self._metrics.certificate_rollbacks.inc()
            message = f"Clients refuse certificate {serial:x}: the one before it is served again"
            self.alarms.set(CertificateProblem.REFUSED, message)

    def report(self, problem: str) -> None:
        """Report why the Secret's certificate is not served."""
        consequence = "the last good one is kept" if self.certificate else "none is served"
        message = f"The certificate is not loaded, {consequence}: {problem}"
        self.alarms.set(CertificateProblem.NOT_LOADED, message)

    def _may_replace(self, wanted: _Servable, wait_seconds: float) -> bool:
        current, live_seconds = self._current, self.trust.live_seconds()
        if current is None:
            return True
        paused = self._trial.is_paused(wanted.pair.certificate, self.clocks.monotonic())
        return not (paused and self._may_return_to(current)) and handover.may_serve(
            wanted.issuers(),
            served=current.pair.certificate,
            served_by=current.issuers(other_cas=wanted.cas),
            live_seconds=live_seconds,
            wait=wait_seconds,
            now=self.clocks.now(),
        )

    def _may_return_to(self, servable: _Servable) -> bool:
        return handover.may_return_to(
            servable.pair.certificate,
            issuers=servable.issuers(),
            live_cas=self.trust.live_cas(),
            now=self.clocks.now(),
        )

    def _put(self, servable: _Servable, *, why: str) -> bool:
        try:
            self._load(servable.pair)
        except tls.TLSError as error:
            self.report(str(error))
            return False
        leaf = servable.pair.parsed()
        log.info("serving certificate %x: %s", leaf.serial_number, why)
        begins, expires = leaf.not_valid_before_utc, leaf.not_valid_after_utc
        self._metrics.certificate_expiration.labels(certificate="leaf").set(expires.timestamp())
        self._metrics.certificate_lifetime.set((expires - begins).total_seconds())
        return True
