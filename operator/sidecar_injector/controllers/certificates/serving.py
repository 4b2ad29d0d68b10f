"""The pair that this replica serves, and those who may ask about it."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Mapping
from typing import Protocol

from sidecar_injector.controllers.certificates import problems
from sidecar_injector.httpserver import tls
from sidecar_injector.kube import server_clock
from sidecar_injector.observability.metrics import Metrics
from sidecar_injector.pki import handover, issue

log = logging.getLogger(__name__)


class Load(Protocol):
    """Puts a pair into the TLS server, as `server.tls.ServingContext.load` does."""

    def __call__(self, *, cert_pem: bytes, key_pem: bytes) -> None: ...


class CertificateSource(Protocol):
    """Where certificates come from: made by us, or by somebody else."""

    def bundle(self) -> bytes | None:
        """What belongs into `caBundle` as far as is known; None if that is not ours to say."""
        ...

    async def refresh(self) -> bytes | None:
        """The same after asking the API server."""
        ...

    def authorities(self) -> bytes | None:
        """The CAs by which our own handshake with ourselves is to be judged."""
        ...

    def issuer_seen(self) -> bool:
        """Whether the issuer of what is served has been in the live configuration once."""
        ...

    def subscribe(self, listener: Callable[[], None]) -> None:
        """Call `listener` when one of the above may have changed."""
        ...

    async def run(self) -> None:
        """Keep certificates loaded until cancelled."""
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class _Shown:
    pair: issue.Pair
    authorities: bytes
    """The CA certificates that came with it."""

    def issuers(self, more: bytes = b"") -> frozenset[str]:
        return handover.issuers(self.pair.certificate, self.authorities + more)


class ServedCertificate:
    """What is served at present. A pair that cannot be loaded leaves it as it is.

    A pair takes another's place as soon as `live` (issuers in the live configuration, and for how
    many seconds) allows it. The former one is kept for as long as clients may refuse the new one.
    """

    def __init__(
        self,
        load: Load,
        *,
        metrics: Metrics,
        raising: problems.Alarms,
        live: Callable[[], Mapping[str, float]],
        clocks: server_clock.Clocks,
    ) -> None:
        self._load, self._metrics, self._alarms = load, metrics, raising
        self._live, self._clocks = live, clocks
        self._shown: _Shown | None = None
        self._former: _Shown | None = None
        self._probation = handover.Probation()

    @property
    def certificate(self) -> bytes | None:
        """The one that clients are shown."""
        return self._shown.pair.certificate if self._shown else None

    @property
    def authorities(self) -> bytes | None:
        """The CA certificates that came with it."""
        return self._shown.authorities if self._shown else None

    def change(self, pair: issue.Pair, *, authorities: bytes, why: str, wait: float = 0.0) -> bool:
        """Serve this pair from now on, its issuer having been live for `wait` seconds.

        False if that may not be yet, or fails, which is an alarm. To be asked again and again.
        """
        wanted, now = _Shown(pair, authorities), self._clocks.monotonic()
        if self._probation.passed(now):
            self._former = None
            self._alarms.clear(problems.CertificateProblem.REFUSED)
        if wanted != self._shown:
            if pair.certificate != self.certificate:
                if not self._may_take(wanted, wait=wait) or not self._put(wanted, why=why):
                    return False
                self._former = self._shown
                self._probation.begins(now)
            self._shown = wanted
        self._alarms.clear(problems.CertificateProblem.NOT_LOADED)
        return True

    def refused(self) -> None:
        """A client did not accept the certificate. Called in the middle of its handshake."""
        now = self._clocks.monotonic()
        if not self._probation.refused(now) or self._shown is None:
            return
        serial = self._shown.pair.parsed().serial_number
        former, self._former = self._former, None
        if former is None or not self._is_good(former):
            message = f"Clients refuse certificate {serial:x}, and no other one would do"
            self._alarms.set(problems.CertificateProblem.REFUSED, message)
            return
        hold = self._probation.fails(self._shown.pair.certificate, now)
        if self._put(
            former, why=f"clients refuse {serial:x}, which is tried again in {hold:.0f} s"
        ):
            self._shown = former
            self._metrics.certificate_rollbacks.inc()
            message = f"Clients refuse certificate {serial:x}: the one before it is served again"
            self._alarms.set(problems.CertificateProblem.REFUSED, message)

    def complain(self, what: str) -> None:
        """Say once that the Secret's certificate is not served, and why."""
        kept = "the last good one is kept" if self.certificate else "none is served"
        message = f"The certificate is not loaded, {kept}: {what}"
        self._alarms.set(problems.CertificateProblem.NOT_LOADED, message)

    def _may_take(self, wanted: _Shown, *, wait: float) -> bool:
        shown, live = self._shown, self._live()
        if shown is None:
            return True
        held = self._probation.holds(wanted.pair.certificate, self._clocks.monotonic())
        return not (held and self._is_good(shown)) and handover.may_serve(
            wanted.issuers(),
            served=shown.pair.certificate,
            served_by=shown.issuers(more=wanted.authorities),
            live=live,
            wait=wait,
            now=self._clocks.now(),
        )

    def _is_good(self, shown: _Shown) -> bool:
        """Whether an API server would accept it, as far as we can see."""
        in_date = self._clocks.now() <= shown.pair.parsed().not_valid_after_utc
        return in_date and not self._live().keys().isdisjoint(shown.issuers())

    def _put(self, shown: _Shown, *, why: str) -> bool:
        pair = shown.pair
        try:
            self._load(cert_pem=pair.certificate, key_pem=pair.key)
        except tls.TLSError as error:
            self.complain(str(error))
            return False
        leaf = pair.parsed()
        log.info("serving certificate %x: %s", leaf.serial_number, why)
        expires = leaf.not_valid_after_utc.timestamp()
        self._metrics.certificate_expiration.labels(certificate="leaf").set(expires)
        return True
