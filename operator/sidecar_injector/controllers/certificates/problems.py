"""What is wrong with the certificates while this replica goes on serving: said once, everywhere.

As a log line, an Event on the Secret, a metric, and a line of `/readyz` of the admin port. None of
these makes the replica unready: what is shared by all must never make all of them unready.
"""

from __future__ import annotations

import enum
import logging

from sidecar_injector.kube import events, server_clock
from sidecar_injector.observability.metrics import Metrics
from sidecar_injector.webhook import readiness

log = logging.getLogger(__name__)


class CertificateProblem(enum.Enum):
    """The value is the Event's reason, the metric's label, and how the line of `/readyz` begins."""

    NOT_LOADED = "CertificateNotLoaded"
    REFUSED = "CertificateRefused"
    SECRET_REWRITTEN = "CertificateSecretRewritten"  # noqa: S105 - a reason, no secret
    CLOCK = "ClockSkew"

    @property
    def action(self) -> str:
        """What was being attempted, as Events have it."""
        return ACTIONS[self]


ACTIONS = {
    CertificateProblem.NOT_LOADED: "LoadCertificate",
    CertificateProblem.REFUSED: "ServeCertificate",
    CertificateProblem.SECRET_REWRITTEN: "RepairSecret",
    CertificateProblem.CLOCK: "CompareClocks",
}


class Alarms:
    """The problems that there are now; `about` is the Secret."""

    def __init__(
        self,
        *,
        recorder: events.Recorder,
        about: events.ObjectRef,
        metrics: Metrics,
        ready: readiness.Readiness,
    ) -> None:
        self._recorder, self._about, self._ready = recorder, about, ready
        self._gauges = {
            problem: metrics.certificate_problem.labels(problem=problem.value)
            for problem in CertificateProblem
        }
        self._messages: dict[CertificateProblem, str] = {}

    def set(self, problem: CertificateProblem, message: str) -> None:
        """There is this problem now; the same message is not said again while it lasts."""
        if self._messages.get(problem) == message:
            return
        self._messages[problem] = message
        self._gauges[problem].set(1)
        self._ready.remark(problem.value, message)
        log.error("%s", message)
        event = events.Event(
            regarding=self._about, reason=problem.value, message=message, action=problem.action
        )
        self._recorder.record(event)

    def clear(self, problem: CertificateProblem) -> None:
        """It is over."""
        if self._messages.pop(problem, None) is None:
            return
        self._gauges[problem].set(0)
        self._ready.remark(problem.value, "")
        log.info("%s: over", problem.value)


def watch_clock(time_there: server_clock.Clock, raising: Alarms, metrics: Metrics) -> None:
    """Have an alarm as long as our own clock is not believed."""

    def judge() -> None:
        metrics.clock_skew.set(time_there.skew.total_seconds())
        if time_there.is_skewed:
            # Said once: the exact difference is the metric's, a message with it would never stay.
            way = "ahead of" if time_there.skew > server_clock.NONE else "behind"
            minutes = server_clock.LIMIT.total_seconds() / 60
            raising.set(
                CertificateProblem.CLOCK,
                f"The clock of this node is more than {minutes:.0f} min {way} the API server's:"
                " certificates follow the API server's; set the node's clock",
            )
        else:
            raising.clear(CertificateProblem.CLOCK)

    time_there.subscribe(judge)
