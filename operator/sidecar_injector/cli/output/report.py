"""The report of `inject` about each pod and injection."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from typing import Any

from sidecar_injector.cli.output import tables
from sidecar_injector.core import near_misses, remedies
from sidecar_injector.core.decision import Decision, Line, verdict_of
from sidecar_injector.core.injections import model
from sidecar_injector.core.reasons import PodVerdict, Reason, Verdict
from sidecar_injector.observability import logs

NOTHING = "-"
FEW = 5
"""Injections in a headline."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ReportEntry:
    """One pod of a manifest and the decision about it."""

    namespace: str
    kind: str
    """The kind of the manifest that contains the pod or its template."""
    name: str
    decision: Decision
    annotation: object = None
    """Our annotation on the pod or its template."""
    group: str = ""
    """The API group of a custom kind; empty for a kind of Kubernetes."""
    is_file: bool = False
    """The manifest is of a file, in which a remedy changes it."""

    @property
    def place(self) -> str:
        """NAMESPACE/KIND/NAME."""
        return f"{self.namespace}/{self.kind}/{self.name}"

    @property
    def subject(self) -> remedies.Subject:
        """The object in which the pod is changed."""
        return remedies.Subject(
            namespace=self.namespace,
            kind=self.kind,
            name=self.name,
            group=self.group,
            annotation=self.annotation,
            is_file=self.is_file,
        )

    @property
    def has_findings(self) -> bool:
        """Whether an injection that applies could not be done."""
        return bool(self.decision.skipped) or any(
            line.verdict is Verdict.REFUSED for line in self.decision.lines
        )


def lines(entries: Sequence[ReportEntry], *, findings_only: bool = False) -> Iterator[str]:
    """A line per pod and injection, and below it what helps, where something is unexpected.

    A line is `NAMESPACE/KIND/NAME INJECTION VERDICT REASON sentence`.
    """
    for entry in entries:
        decision = entry.decision
        if not decision.lines and not findings_only:
            reason = decision.reason.value if decision.reason else NOTHING
            yield _row(entry, NOTHING, decision.verdict, reason, decision.message)
            yield from _helps(entry, decision.reason)
        for finding in decision.annotation_findings:
            yield _row(entry, NOTHING, decision.verdict, finding.reason.value, finding.message)
            yield "  " + tables.remedy(remedies.Remedy(finding.remedy, finding.command))
        for line in decision.lines:
            if not findings_only or line.verdict in (Verdict.SKIPPED, Verdict.REFUSED):
                reference, reason = line.injection.reference, line.reason.value
                yield _row(entry, reference, line.verdict, reason, line.message)
                yield from _helps(entry, line.remedied, line.injection)


def _helps(
    entry: ReportEntry, reason: Reason | None, injection: model.Injection | None = None
) -> Iterator[str]:
    if reason is not None and is_unexpected(reason):
        yield "  " + tables.remedy(remedies.of(reason, entry.subject, injection))


def headline(decision: Decision) -> str:
    """What becomes of a pod, for people: the verdict, and the reason where nothing is added."""
    if decision.verdict is PodVerdict.OUT_OF_SCOPE and decision.reason:
        return f"not injected ({decision.reason.value}): {decision.reason.sentence}"
    if decision.verdict is PodVerdict.REFUSED:
        return f"the pod is refused: {decision.message}"
    by_verdict: dict[Verdict, list[str]] = {}
    for line in decision.lines:
        is_whole = line.reason in (Reason.INJECTED, Reason.ALREADY_INJECTED)
        reference = line.injection.reference
        text = reference if is_whole else f"{reference} ({_why(line)})"
        by_verdict.setdefault(line.verdict, []).append(text)
    parts = {
        "injected": by_verdict.get(Verdict.INJECTED, []),
        "already injected": by_verdict.get(Verdict.PRESENT, []),
        "cannot be done": by_verdict.get(Verdict.SKIPPED, []),
    }
    if not parts["injected"] and not parts["already injected"]:
        none = {"not injected": by_verdict.get(Verdict.NOT_APPLICABLE, [])}
        parts = {"not injected": parts["cannot be done"]} if parts["cannot be done"] else none
    parts["dry run"] = by_verdict.get(Verdict.DRY_RUN, [])
    texts = [f"{part}: {few(references)}" for part, references in parts.items() if references]
    return "; ".join(texts) or "not injected: there is no injection for this namespace"


def _why(line: Line) -> str:
    reason: str = (line.would or line.reason).value
    if line.would is None:
        return reason
    verdict = verdict_of(line.injection, line.would)
    subject = "the pod " if verdict is Verdict.REFUSED else ""
    why = "" if reason == verdict.value else f": {reason}"
    return f"{subject}would be {verdict.value.lower()}{why}"


def few(texts: Sequence[str], *, separator: str = ", ") -> str:
    """The first of the texts, and how many more there are."""
    more = f"{separator}and {len(texts) - FEW} more" if len(texts) > FEW else ""
    return separator.join(texts[:FEW]) + more


def is_unexpected(reason: Reason) -> bool:
    """Whether a remedy belongs beside the reason; most selectors are meant not to match."""
    selectors = (Reason.SELECTOR_MISMATCH, Reason.NAMESPACE_SELECTOR_MISMATCH)
    is_well = reason in (Reason.INJECTED, Reason.ALREADY_INJECTED)
    return not is_well and reason not in selectors


def as_json(entries: Sequence[ReportEntry], *, notes: Sequence[str] = ()) -> str:
    """The same for programs; its shape is stable. `notes` are there if there are any."""
    content: dict[str, Any] = {"pods": [pod(entry) for entry in entries]}
    if notes:
        content["notes"] = list(notes)
    return json.dumps(content, indent=2, ensure_ascii=False)


def pod(entry: ReportEntry, *, owner: remedies.Subject | None = None) -> dict[str, Any]:
    """One of `pods` in the report for programs; a live pod is changed in its `owner`."""
    decision, subject = entry.decision, owner or entry.subject
    member: dict[str, Any] = {
        "namespace": entry.namespace,
        "kind": entry.kind,
        "name": entry.name,
        "verdict": decision.verdict.value,
        "reason": decision.reason.value if decision.reason else "",
        **_remedy(decision.reason, subject),
        "injections": [_line(line, subject) for line in decision.lines],
    }
    if decision.annotation_findings:
        member["words"] = [word(finding) for finding in decision.annotation_findings]
    return member


def word(finding: near_misses.NearMiss) -> dict[str, str]:
    """One of a pod's `words`: a mistake in what is written for us."""
    return {
        "reason": finding.reason.value,
        "message": finding.message,
        "subject": finding.subject,
        "remedy": finding.remedy,
        "command": finding.command,
    }


def _remedy(
    reason: Reason | None, subject: remedies.Subject, injection: model.Injection | None = None
) -> dict[str, str]:
    if reason is None or reason in (Reason.INJECTED, Reason.ALREADY_INJECTED):
        return {"remedy": "", "command": ""}
    remedy = remedies.of(reason, subject, injection)
    return {"remedy": remedy.text, "command": remedy.command}


def _line(line: Line, subject: remedies.Subject) -> dict[str, Any]:
    return {
        "kind": line.injection.kind,
        "name": line.injection.name,
        "verdict": line.verdict.value,
        "reason": line.reason.value,
        "message": line.message,
        **_remedy(line.remedied, subject, line.injection),
        "details": dict(line.details),
        **({"would": line.would.value} if line.would else {}),
    }


def _row(
    entry: ReportEntry, reference: str, verdict: PodVerdict | Verdict, reason: str, message: str
) -> str:
    why = "" if reason == verdict.value else f"{reason} "
    return logs.one_line(f"{entry.place} {reference} {verdict.value} {why}{message}")
