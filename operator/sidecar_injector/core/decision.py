"""The answer to "why was my pod (not) injected?", as a value.

Log, metric, event, warning, status annotation, audit annotation and `explain` all print this.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from sidecar_injector.core import patch
from sidecar_injector.core.injections import index, model
from sidecar_injector.core.reasons import Level, PodVerdict, Reason, Verdict


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
    """What became of one injection, and why."""

    injection: model.Injection
    verdict: Verdict
    reason: Reason
    message: str
    details: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class AnnotationFinding:
    """Something in the pod's own annotations that its author should look at."""

    reason: Reason
    message: str
    subject: str
    """The name or the key that it is about."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What becomes of a pod, one line per injection, and how to get there."""

    verdict: PodVerdict
    reason: Reason | None
    """Why the pod is out of scope or refused; None otherwise."""
    message: str
    pod: Mapping[str, Any]
    """The pod as it comes out; the given one where nothing changes."""
    tried: Sequence[Line] = ()
    """One for each injection whose selectors could not be ruled out at once."""
    passed_over: index.Candidates | None = None
    """Tells of the others."""
    words: Sequence[AnnotationFinding] = ()
    operations: Sequence[patch.Operation] = ()
    """RFC 6902 operations from the given pod to `pod`."""

    @property
    def skipped(self) -> list[Line]:
        """Injections that applied and could not be done, refusing ones included."""
        return [line for line in self.tried if line.reason.level is Level.FIT]

    @property
    def injected(self) -> list[Line]:
        """Injections whose parts are there because of this decision."""
        return [line for line in self.tried if line.verdict is Verdict.INJECTED]

    @property
    def lines(self) -> list[Line]:
        """One for every injection, in the order in which they are tried."""
        others = self.passed_over.not_candidates() if self.passed_over else ()
        lines = [*self.tried, *(line(injection, reason) for injection, reason in others)]
        return sorted(lines, key=lambda one: one.injection.order)

    @property
    def reasons(self) -> list[Reason]:
        """Every reason that it carries, once each."""
        found = [self.reason] if self.reason else []
        found += [word.reason for word in self.words]
        found += [one.reason for one in self.tried]
        found += self.passed_over.reasons if self.passed_over else ()
        return list(dict.fromkeys(found))


def line(
    injection: model.Injection,
    reason: Reason,
    detail: str = "",
    *,
    details: Mapping[str, Any] | None = None,
) -> Line:
    """A line whose sentence is the reason's, followed by the detail."""
    message = f"{reason.sentence}: {detail}" if detail else reason.sentence
    return Line(injection, verdict_of(injection, reason), reason, message, details or {})


def verdict_of(injection: model.Injection, reason: Reason) -> Verdict:
    """What a reason makes of an injection: the one place that knows what `Fail` refuses."""
    if reason.level is Level.MATCH:
        return Verdict.NOT_APPLICABLE
    if reason is Reason.INJECTED:
        return Verdict.INJECTED
    if injection.must_succeed and reason is not Reason.ALREADY_INJECTED:
        return Verdict.REFUSED
    return Verdict.SKIPPED if reason.level is Level.FIT else Verdict.PRESENT
