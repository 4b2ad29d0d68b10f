"""Whether a serving certificate may take the place of another one, and whether it may keep it.

Times are monotonic seconds, but for what certificates themselves say.
"""

from __future__ import annotations

import collections
import datetime
from collections.abc import Collection, Mapping
from typing import Final

from sidecar_injector import names
from sidecar_injector.pki import checks

PROBATION_SECONDS: Final = 60.0
"""For so long after it was loaded a certificate is watched: the default wait of a roll."""
BURST: Final = 3
"""Clients that refuse a new certificate, beyond those that refused the one before: one may have
been on its way, and whoever refuses everything says nothing about this one."""
FIRST_HOLD, LONGEST_HOLD = 60.0, 3600.0
"""Seconds until a certificate that was taken back is tried again, doubled each time."""
REMEMBERED: Final = 1000
"""Refusals: more of them say no more."""


def issuers(certificate: bytes, authorities: bytes) -> frozenset[str]:
    """Fingerprints of those of `authorities` by which a client could verify `certificate`, which
    may bring its chain. Both are known to be readable."""
    chain = checks.certificates(certificate, field=names.TLS_CERT)
    return frozenset(
        checks.fingerprint(checks.canonical(authority))
        for authority in checks.certificates(authorities, field=names.CA_CERT)
        if checks.issued_by(chain, [authority])
    )


def may_serve(
    candidate: Collection[str],
    *,
    served: bytes | None,
    served_by: Collection[str],
    live: Mapping[str, float],
    wait: float,
    now: datetime.datetime,
) -> bool:
    """Whether a replica that serves the certificate `served` may go on to another one.

    `candidate` and `served_by` are the issuers of the new one and of the served one, `live` those
    in the live configuration, and for how many seconds. As long as what is served is good, nobody
    goes ahead of the API servers' trust: the new one's issuer must have been live for `wait`
    seconds, or at all where the other one's is not.
    """
    if served is None or not set(candidate).isdisjoint(served_by):
        return True
    current = checks.certificates(served, field=names.TLS_CERT)[0]
    if now > current.not_valid_after_utc:
        return True
    needed = 0.0 if live.keys().isdisjoint(served_by) else wait
    return any(live.get(issuer, -1.0) >= needed for issuer in candidate)


class Probation:
    """The clients' verdict on a certificate that has just taken another's place.

    It is taken back when a burst of clients refuses it, and tried again later. A client can thus
    put off a change, but not beyond the life of the former certificate, which is good until then.
    """

    def __init__(self) -> None:
        self._refusals: collections.deque[float] = collections.deque(maxlen=REMEMBERED)
        self._since: float | None = None
        self._needed = 0
        self._held: bytes | None = None
        self._until = self._hold = 0.0

    def begins(self, now: float) -> None:
        """A certificate has taken the place of another one that would still do."""
        self._since = now
        self._needed = BURST + self._count(now - PROBATION_SECONDS)

    def refused(self, now: float) -> bool:
        """A client did not accept the certificate; whether it is to be taken back."""
        self._refusals.append(now)
        if self._since is None or now - self._since > PROBATION_SECONDS:
            return False
        return self._count(self._since) >= self._needed

    def passed(self, now: float) -> bool:
        """Whether it is over, and no burst was seen of late; said once."""
        if self._since is None or now - self._since <= PROBATION_SECONDS:
            return False
        if self._count(now - PROBATION_SECONDS) >= self._needed:
            return False
        self._since = None
        return True

    def fails(self, certificate: bytes, now: float) -> float:
        """It is taken back; after how many seconds it may be tried again."""
        again = certificate == self._held
        self._hold = min(self._hold * 2, LONGEST_HOLD) if again else FIRST_HOLD
        self._held, self._until, self._since = certificate, now + self._hold, None
        return self._hold

    def holds(self, certificate: bytes, now: float) -> bool:
        """Whether this certificate was taken back so recently that it is not tried again yet."""
        return certificate == self._held and now < self._until

    def _count(self, since: float) -> int:
        return sum(1 for moment in self._refusals if moment >= since)
