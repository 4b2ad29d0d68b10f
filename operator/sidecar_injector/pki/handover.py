"""Whether a new serving certificate may replace the one that is served, and whether it stays.

Times are monotonic seconds, except the dates in certificates.
"""

from __future__ import annotations

import collections
import datetime
from collections.abc import Collection, Mapping
from typing import Final

from sidecar_injector import names
from sidecar_injector.pki import checks

TRIAL_SECONDS: Final = 60.0
"""How long the clients of a new certificate are watched: the default wait of a CA roll."""
BURST: Final = 3
"""So many more clients must refuse the new certificate than refused the former one. A single one
may have connected earlier, and a client that refuses every certificate proves nothing."""
FIRST_RETRY_SECONDS, LONGEST_RETRY_SECONDS = 60.0, 3600.0
"""The pause before a certificate is tried again that was taken back; it doubles each time."""
LAST_SECONDS: Final = 120.0
"""A certificate that ends so soon is not preferred to a refused one any more. A replica plans at
least once a minute, so it changes before the end."""
MOST_REFUSALS: Final = 1000
"""Older refusals are forgotten, so that a flood of them takes no memory."""


def issuers(certificate: bytes, cas: bytes) -> frozenset[str]:
    """Fingerprints of those `cas` by which a client can verify `certificate`.

    Both must be readable PEM; `certificate` may be followed by its chain.
    """
    chain = checks.certificates(certificate, field=names.TLS_CERT)
    return frozenset(
        checks.fingerprint(checks.canonical(ca))
        for ca in checks.certificates(cas, field=names.CA_CERT)
        if checks.issued_by(chain, [ca])
    )


def may_serve(
    candidate: Collection[str],
    *,
    served: bytes | None,
    served_by: Collection[str],
    live_seconds: Mapping[str, float],
    wait: float,
    now: datetime.datetime,
) -> bool:
    """Whether a replica that serves the certificate `served` may serve a new one instead.

    `candidate` and `served_by` are the issuers of the new and of the served certificate.
    `live_seconds` are the CAs in the live configuration, and for how long. While the served
    certificate is good, the new issuer must have been live for `wait` seconds. If no issuer of the
    served one is live, it is enough that the new issuer is live at all.
    """
    if served is None or not set(candidate).isdisjoint(served_by):
        return True
    current = checks.certificates(served, field=names.TLS_CERT)[0]
    if now > current.not_valid_after_utc:
        return True
    needed = 0.0 if live_seconds.keys().isdisjoint(served_by) else wait
    return any(live_seconds.get(issuer, -1.0) >= needed for issuer in candidate)


def may_return_to(
    certificate: bytes,
    *,
    issuers: Collection[str],
    live_cas: Collection[str],
    now: datetime.datetime,
) -> bool:
    """Whether a former certificate is better than one that clients refuse.

    API servers must accept it for longer than `LAST_SECONDS`.
    """
    end = checks.certificates(certificate, field=names.TLS_CERT)[0].not_valid_after_utc
    return (end - now).total_seconds() > LAST_SECONDS and not set(issuers).isdisjoint(live_cas)


class Trial:
    """Counts the clients that refuse a certificate which has just replaced another one.

    After a burst of refusals the certificate is taken back, and tried again later. So a client can
    delay a change, but only while the former certificate is good.
    """

    def __init__(self) -> None:
        self._refusals: collections.deque[float] = collections.deque(maxlen=MOST_REFUSALS)
        self._since: float | None = None
        self._refusals_to_fail = 0
        self._failed: bytes | None = None
        self._retry_at = self._pause = 0.0

    def begin(self, now: float) -> None:
        """A certificate has replaced one that is still good."""
        self._since = now
        self._refusals_to_fail = BURST + self._count(now - TRIAL_SECONDS)

    def is_refused(self, now: float) -> bool:
        """Count a client that refuses the certificate; whether to take the certificate back."""
        self._refusals.append(now)
        if self._since is None or now - self._since > TRIAL_SECONDS:
            return False
        return self._count(self._since) >= self._refusals_to_fail

    @property
    def is_running(self) -> bool:
        """Whether a certificate is tried, and has neither passed nor failed yet."""
        return self._since is not None

    def is_passed(self, now: float) -> bool:
        """Whether the trial is over and no burst came lately; true only once for each trial."""
        if self._since is None or now - self._since <= TRIAL_SECONDS:
            return False
        if self._count(now - TRIAL_SECONDS) >= self._refusals_to_fail:
            return False
        self._since = None
        return True

    def fail(self, certificate: bytes, now: float) -> float:
        """The certificate is taken back; returns the seconds until it may be tried again."""
        again = certificate == self._failed
        self._pause = min(self._pause * 2, LONGEST_RETRY_SECONDS) if again else FIRST_RETRY_SECONDS
        self._failed, self._retry_at, self._since = certificate, now + self._pause, None
        return self._pause

    def is_paused(self, certificate: bytes, now: float) -> bool:
        """Whether this certificate was taken back and may not be tried again yet."""
        return certificate == self._failed and now < self._retry_at

    @property
    def refusals(self) -> int:
        """How many refusals are remembered."""
        return len(self._refusals)

    def _count(self, since: float) -> int:
        return sum(1 for moment in self._refusals if moment >= since)
