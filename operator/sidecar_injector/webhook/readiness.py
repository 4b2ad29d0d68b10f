"""Whether this replica should be sent requests, and what it still waits for; no clock, no I/O."""

from __future__ import annotations

import enum
from typing import Final


class Condition(enum.Enum):
    """What must hold; the value is the sentence for people while it does not."""

    CERTIFICATE_LOADED = "no serving certificate has been loaded"
    SELF_PROBE = "no TLS handshake with ourselves has been verified"
    ISSUER_SEEN = "the certificate's issuer has not been seen in the webhook configuration"
    CACHES_SYNCED = "the caches have not been filled"
    NOT_DRAINING = "this replica is terminating"


LATCHED: Final = frozenset({Condition.ISSUER_SEEN})
"""Once true they stay true: the webhook configuration is shared, and whoever wipes a bundle there
must not make all replicas unready at once."""
NEEDED_TO_ANSWER: Final = frozenset({Condition.CERTIFICATE_LOADED, Condition.CACHES_SYNCED})


class Readiness:
    """The conditions, as they stand.

    `ready` is for the endpoint: whether requests should be sent here. `able` is for the requests
    that come: a replica that terminates, or that no API server trusts yet as far as it has seen,
    answers them nevertheless.
    """

    __slots__ = ("_remarks", "_unmet", "able", "ready")

    def __init__(self) -> None:
        self._unmet: dict[Condition, str] = {
            condition: condition.value
            for condition in Condition
            if condition is not Condition.NOT_DRAINING
        }
        self._remarks: dict[str, str] = {}
        self.ready = self.able = False

    def met(self, condition: Condition) -> None:
        """It holds now."""
        self._unmet.pop(condition, None)
        self._judge()

    def unmet(self, condition: Condition, why: str = "") -> None:
        """It does not hold (any more); `why` takes the place of its sentence."""
        if condition in LATCHED and condition not in self._unmet:
            return
        self._unmet[condition] = why or condition.value
        self._judge()

    def remark(self, topic: str, sentence: str) -> None:
        """What people should know and what keeps no requests away; empty: no more of that topic."""
        self._remarks.pop(topic, None)
        if sentence:
            self._remarks[topic] = sentence

    def remarks(self) -> tuple[str, ...]:
        """One line for each, which begins with its topic."""
        return tuple(f"{topic}: {sentence}" for topic, sentence in self._remarks.items())

    def reasons(self) -> tuple[str, ...]:
        """One sentence for each condition that does not hold, in the order of `Condition`."""
        return tuple(self._unmet[condition] for condition in Condition if condition in self._unmet)

    def _judge(self) -> None:
        self.ready = not self._unmet
        self.able = NEEDED_TO_ANSWER.isdisjoint(self._unmet)
