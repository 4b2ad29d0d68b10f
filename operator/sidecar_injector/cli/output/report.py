"""The report of `inject` about each pod and injection."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from typing import Any

from sidecar_injector.core.decision import Decision, Line
from sidecar_injector.core.reasons import PodVerdict, Verdict
from sidecar_injector.observability import logs

NOTHING = "-"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ReportEntry:
    """One pod of a manifest and the decision about it."""

    namespace: str
    kind: str
    """The kind of the manifest that contains the pod or its template."""
    name: str
    decision: Decision

    @property
    def place(self) -> str:
        """NAMESPACE/KIND/NAME."""
        return f"{self.namespace}/{self.kind}/{self.name}"

    @property
    def has_findings(self) -> bool:
        """Whether an injection that applies could not be done."""
        return bool(self.decision.skipped) or any(
            line.verdict is Verdict.REFUSED for line in self.decision.lines
        )


def lines(entries: Sequence[ReportEntry], *, findings_only: bool = False) -> Iterator[str]:
    """A line per pod and injection: `NAMESPACE/KIND/NAME INJECTION VERDICT REASON sentence`."""
    for entry in entries:
        decision = entry.decision
        if not decision.lines and not findings_only:
            reason = decision.reason.value if decision.reason else NOTHING
            yield _row(entry, NOTHING, decision.verdict, reason, decision.message)
        for finding in decision.annotation_findings:
            yield _row(entry, NOTHING, decision.verdict, finding.reason.value, finding.message)
        for line in decision.lines:
            if not findings_only or line.verdict in (Verdict.SKIPPED, Verdict.REFUSED):
                reference, reason = line.injection.reference, line.reason.value
                yield _row(entry, reference, line.verdict, reason, line.message)


def as_json(entries: Sequence[ReportEntry], *, notes: Sequence[str] = ()) -> str:
    """The same for programs; its shape is stable. `notes` are there if there are any."""
    content: dict[str, Any] = {"pods": [pod(entry) for entry in entries]}
    if notes:
        content["notes"] = list(notes)
    return json.dumps(content, indent=2, ensure_ascii=False)


def pod(entry: ReportEntry) -> dict[str, Any]:
    """One of `pods` in the report for programs."""
    decision = entry.decision
    member: dict[str, Any] = {
        "namespace": entry.namespace,
        "kind": entry.kind,
        "name": entry.name,
        "verdict": decision.verdict.value,
        "reason": decision.reason.value if decision.reason else "",
        "injections": [_line(line) for line in decision.lines],
    }
    if decision.annotation_findings:
        member["words"] = [
            {
                "reason": finding.reason.value, "message": finding.message,
                "subject": finding.subject,
            }
            for finding in decision.annotation_findings
        ]  # fmt: skip
    return member


def _line(line: Line) -> dict[str, Any]:
    return {
        "kind": line.injection.kind,
        "name": line.injection.name,
        "verdict": line.verdict.value,
        "reason": line.reason.value,
        "message": line.message,
        "details": dict(line.details),
    }


def _row(
    entry: ReportEntry, reference: str, verdict: PodVerdict | Verdict, reason: str, message: str
) -> str:
    return logs.one_line(f"{entry.place} {reference} {verdict.value} {reason} {message}")
