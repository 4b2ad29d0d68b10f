"""The answer to "why was my pod (not) injected?", as a value.

Log, metric, event, warning, status annotation, audit annotation and `explain` print this value.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from sidecar_injector.core import near_misses, patch
from sidecar_injector.core.injections import model, namespace_view
from sidecar_injector.core.reasons import Level, PodVerdict, Reason, Verdict

LEFT_OUT: Final = "leftOut"
"""The detail of a line that lists the paths of what was not added."""


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
    """What became of one injection, and why."""

    injection: model.Injection
    verdict: Verdict
    reason: Reason
    message: str
    details: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    would: Reason | None = None
    """The reason without the dry run; None if it is none."""

    @property
    def remedied(self) -> Reason:
        """The reason that a remedy is for: what a dry run has found comes before its end."""
        return self.would if self.would and self.would.level is Level.FIT else self.reason


@dataclasses.dataclass(frozen=True, kw_only=True)
class Decision:
    """What becomes of a pod, with a line for each injection and the patch."""

    verdict: PodVerdict
    reason: Reason | None
    """Why the pod is out of scope or refused; None otherwise."""
    message: str
    pod: Mapping[str, Any]
    """The resulting pod; the same object where nothing changes."""
    evaluated: Sequence[Line] = ()
    """One line for each injection that might select the pod."""
    candidates: namespace_view.Candidates | None = None
    """These injections, and why the others cannot select the pod."""
    annotation_findings: Sequence[near_misses.NearMiss] = ()
    """What the pod's author should correct in labels and annotations."""
    operations: Sequence[patch.Operation] = ()
    """RFC 6902 operations from the original pod to `pod`."""

    @functools.cached_property
    def skipped(self) -> list[Line]:
        """Injections that apply and cannot be done, those that refuse the pod included."""
        return [line for line in self.evaluated if line.reason.level is Level.FIT]

    @property
    def injected(self) -> list[Line]:
        """Injections whose parts this decision adds."""
        return [line for line in self.evaluated if line.verdict is Verdict.INJECTED]

    @property
    def dry_runs(self) -> list[str]:
        """Injections that are only decided about, each with the reason that it would have."""
        return [
            f"{line.injection.reference}={line.would.value}"
            for line in self.evaluated
            if line.would
        ]

    @property
    def lines(self) -> list[Line]:
        """One line for every injection of the namespace, in `Injection.order`."""
        others = self.candidates.not_candidates() if self.candidates else ()
        lines = [*self.evaluated, *(line(injection, reason) for injection, reason in others)]
        return sorted(lines, key=lambda line: line.injection.order)

    @functools.cached_property
    def reasons(self) -> list[Reason]:
        """All reasons in the decision, each once."""
        reasons = [self.reason] if self.reason else []
        reasons += [finding.reason for finding in self.annotation_findings]
        reasons += [line.reason for line in self.evaluated]
        reasons += self.candidates.reasons if self.candidates else ()
        return list(dict.fromkeys(reasons))


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


def dry_runs(imagined: Sequence[Line], evaluated: Sequence[Line]) -> Iterator[Line]:
    """The lines of dry runs that apply, by what all lines would be if none were a dry run.

    `evaluated` are the lines of the others as they are.
    """
    reasons = {line.injection: line.reason for line in evaluated}
    others = [
        f"{line.injection.reference}={line.reason.value}"
        for line in imagined
        if line.reason is not reasons.get(line.injection, line.reason)
    ]
    for line in imagined:
        if line.injection.is_dry_run and line.verdict is not Verdict.NOT_APPLICABLE:
            yield _dry_run(line, others)


def _dry_run(imagined: Line, others: Sequence[str]) -> Line:
    subject = "the pod" if imagined.verdict is Verdict.REFUSED else "it"
    verdict, reason = imagined.verdict.value, imagined.reason.value
    why = imagined.message if verdict == reason else f"{reason}: {imagined.message}"
    otherwise = f"otherwise {subject} would be {verdict.lower()} ({why})"
    changes: Mapping[str, Any] = {"others": list(others)} if others else {}
    return dataclasses.replace(
        imagined,
        verdict=Verdict.DRY_RUN,
        reason=Reason.DRY_RUN,
        message=f"{Reason.DRY_RUN.sentence}: {otherwise}",
        details={**imagined.details, **changes},
        would=imagined.reason,
    )


def verdict_of(injection: model.Injection, reason: Reason) -> Verdict:
    """What becomes of an injection for this reason, `failurePolicy` included."""
    if reason.level is Level.MATCH:
        return Verdict.NOT_APPLICABLE
    if reason is Reason.INJECTED:
        return Verdict.INJECTED
    if injection.must_succeed and reason is not Reason.ALREADY_INJECTED:
        return Verdict.REFUSED
    return Verdict.SKIPPED if reason.level is Level.FIT else Verdict.PRESENT
