"""Whether requests should be sent to this replica, and what it still waits for."""

from __future__ import annotations

import enum
from typing import Final


class Condition(enum.Enum):
    """What must be true; the value is the sentence for people while it is not."""

    CERTIFICATE_LOADED = "no serving certificate has been loaded"
    SELF_PROBE = "no TLS handshake with ourselves has been verified"
    ISSUER_SEEN = "the certificate's issuer has not been seen in the webhook configuration"
    CACHES_SYNCED = "the caches have not been filled"
    NOT_DRAINING = "this replica is terminating"


LATCHED: Final = frozenset({Condition.ISSUER_SEEN})
"""Once true they stay true: all replicas share the webhook configuration, so all would become
unready at once if its bundle were removed."""
NEEDED_TO_ANSWER: Final = frozenset({Condition.CERTIFICATE_LOADED, Condition.CACHES_SYNCED})


class Readiness:
    """The current conditions.

    `ready` is for the Service: whether requests should be sent here. `able` is for the requests
    that arrive: a replica that terminates, or that no API server seems to trust yet, answers them
    nevertheless.
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
        """The condition is true now."""
        self._unmet.pop(condition, None)
        self._update()

    def unmet(self, condition: Condition, why: str = "") -> None:
        """The condition is not true (any more); `why` replaces its sentence."""
        if condition in LATCHED and condition not in self._unmet:
            return
        self._unmet[condition] = why or condition.value
        self._update()

    def remark(self, topic: str, sentence: str) -> None:
        """Something people should know, which keeps no requests away; empty removes the topic."""
        self._remarks.pop(topic, None)
        if sentence:
            self._remarks[topic] = sentence

    def remarks(self) -> tuple[str, ...]:
        """One line for each remark; it begins with the topic."""
        return tuple(f"{topic}: {sentence}" for topic, sentence in self._remarks.items())

    def reasons(self) -> tuple[str, ...]:
        """One sentence for each condition that is not true, in the order of `Condition`."""
        return tuple(self._unmet[condition] for condition in Condition if condition in self._unmet)

    def _update(self) -> None:
        self.ready = not self._unmet
        self.able = NEEDED_TO_ANSWER.isdisjoint(self._unmet)
