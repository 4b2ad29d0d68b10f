"""The pair that this replica serves, and those who may ask about it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from sidecar_injector import observe
from sidecar_injector.kube import api, events
from sidecar_injector.pki import issue
from sidecar_injector.server import tls

log = logging.getLogger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 0.2, 5.0
"""Seconds between attempts while the API does not let us do what is due."""
TICK_SECONDS: Final = 60.0
"""The wall clock is looked at this often: timers run late after a machine was suspended."""


class Load(Protocol):
    """Puts a pair into the TLS server, as `server.tls.ServingContext.load` does."""

    def __call__(self, *, cert_pem: bytes, key_pem: bytes) -> None: ...


class Source(Protocol):
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


class Serving:
    """What is served at present. A pair that cannot be loaded leaves it as it is."""

    def __init__(
        self,
        load: Load,
        *,
        metrics: observe.Metrics,
        recorder: events.Recorder,
        about: events.About,
    ) -> None:
        self._load, self._metrics = load, metrics
        self._recorder, self._about = recorder, about
        self.certificate: bytes | None = None
        self.authorities: bytes | None = None
        """The CA certificates that came with it."""
        self._complaint = ""

    def change(self, pair: issue.Pair, *, authorities: bytes, why: str) -> bool:
        """Serve this pair from now on; False, an Event and a log line if that fails."""
        if pair.certificate == self.certificate and authorities == self.authorities:
            return True
        if pair.certificate != self.certificate:
            try:
                self._load(cert_pem=pair.certificate, key_pem=pair.key)
            except tls.TLSError as error:
                self.complain(str(error))
                return False
            log.info("serving certificate %x: %s", pair.parsed().serial_number, why)
        self.certificate, self.authorities = pair.certificate, authorities
        self._complaint = ""
        expires = pair.parsed().not_valid_after_utc.timestamp()
        self._metrics.certificate_expiration.labels(certificate="leaf").set(expires)
        return True

    def complain(self, what: str) -> None:
        """Say once that the Secret's certificate is not served, and why."""
        if what == self._complaint:
            return
        self._complaint = what
        kept = "the last good one is kept" if self.certificate else "none is served"
        message = f"The certificate is not loaded, {kept}: {what}"
        log.error("%s", message)
        self._recorder.record(
            events.Event(
                about=self._about,
                reason="CertificateNotLoaded",
                message=message,
                action="LoadCertificate",
            )
        )


class Loop:
    """Runs a step again and again: when woken, at a tick, and with backoff while the API fails."""

    def __init__(self, step: Callable[[], Awaitable[float]], *, what: str) -> None:
        self._step, self._what = step, what
        self._wake = asyncio.Event()
        self._pause, self._complaint = FIRST_PAUSE, ""

    def wake(self) -> None:
        """Take the next step now."""
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled. The step returns after how many seconds it wants to be taken again."""
        while True:
            self._wake.clear()
            wait = await self._turn()
            try:
                async with asyncio.timeout(min(wait, TICK_SECONDS)):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _turn(self) -> float:
        try:
            wait = await self._step()
        except api.KubeError as error:
            if str(error) != self._complaint:
                self._complaint = str(error)
                log.warning("%s: %s", self._what, error)
            self._pause = min(self._pause * 2, LONGEST_PAUSE)
            return self._pause
        except (
            Exception
        ):  # the outermost boundary: whatever it is, certificates must be looked after
            log.exception("%s: a step failed", self._what)
            return LONGEST_PAUSE
        if self._complaint:
            log.info("%s: well again", self._what)
        self._pause, self._complaint = FIRST_PAUSE, ""
        return wait
