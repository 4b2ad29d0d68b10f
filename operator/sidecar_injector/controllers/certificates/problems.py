"""What is wrong with the certificates while this replica goes on serving.

A problem is reported once: in the log, as an Event on the Secret, as a metric, and as a line of
`/readyz` of the admin port. It does not make the replica unready: all replicas share the Secret, so
all would become unready.
"""

from __future__ import annotations

import enum
import logging

from sidecar_injector.kube import events, server_clock
from sidecar_injector.observability.metrics import Metrics
from sidecar_injector.webhook import readiness

log = logging.getLogger(__name__)


class CertificateProblem(enum.Enum):
    """The value is the Event's reason, the metric's label, and the first word in `/readyz`."""

    NOT_LOADED = "CertificateNotLoaded"
    REFUSED = "CertificateRefused"
    SECRET_REWRITTEN = "CertificateSecretRewritten"  # noqa: S105 - a reason, no secret
    CLOCK = "ClockSkew"


ACTIONS = {
    CertificateProblem.NOT_LOADED: "LoadCertificate",
    CertificateProblem.REFUSED: "ServeCertificate",
    CertificateProblem.SECRET_REWRITTEN: "RepairSecret",
    CertificateProblem.CLOCK: "CompareClocks",
}
"""The action that failed, for the Event."""


class Alarms:
    """The problems that exist now; `about` is the Secret."""

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
        """This problem exists now. The same message is not repeated while it lasts."""
        if self._messages.get(problem) == message:
            return
        self._messages[problem] = message
        self._gauges[problem].set(1)
        self._ready.remark(problem.value, message)
        log.error("%s", message)
        event = events.Event(
            regarding=self._about, reason=problem.value, message=message, action=ACTIONS[problem]
        )
        self._recorder.record(event)

    def clear(self, problem: CertificateProblem) -> None:
        """This problem is over."""
        if self._messages.pop(problem, None) is None:
            return
        self._gauges[problem].set(0)
        self._ready.remark(problem.value, "")
        log.info("%s: over", problem.value)


def watch_clock(clock: server_clock.Clock, *, alarms: Alarms, metrics: Metrics) -> None:
    """Keep an alarm set while our own clock is wrong."""

    def judge() -> None:
        metrics.clock_skew.set(clock.skew.total_seconds())
        if clock.is_skewed:
            # The exact difference is only in the metric: a new message would be a new Event.
            way = "ahead of" if clock.skew > server_clock.NONE else "behind"
            minutes = server_clock.LIMIT.total_seconds() / 60
            alarms.set(
                CertificateProblem.CLOCK,
                f"The clock of this node is more than {minutes:.0f} min {way} the API server's:"
                " certificates follow the API server's; set the node's clock",
            )
        else:
            alarms.clear(CertificateProblem.CLOCK)

    clock.subscribe(judge)
