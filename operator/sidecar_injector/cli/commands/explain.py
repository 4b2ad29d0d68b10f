"""`explain`: every rule that was tried on a pod, in order, and why."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import click
import rich.console

from sidecar_injector.cli import options
from sidecar_injector.cli.cluster import client, history, subjects
from sidecar_injector.cli.commands import inject
from sidecar_injector.cli.output import report, rule_facts, tables
from sidecar_injector.core import decision, matching
from sidecar_injector.core.merging import status_annotation
from sidecar_injector.core.pods import fields as pod_fields
from sidecar_injector.core.reasons import Reason

PASSED = "passed"
COLUMNS = ("SUBJECT", "RULE", "RESULT", "WHY")
STYLES = {PASSED: tables.PASSED} | {one.value: tables.style(one) for one in Reason}


@dataclasses.dataclass(frozen=True, slots=True)
class ExplainStep:
    """One rule that was tried."""

    rule: str
    reason: Reason | None
    """What came of it; None if it let the pod pass to the next one."""
    message: str

    @property
    def result(self) -> str:
        """In a word."""
        return self.reason.value if self.reason else PASSED


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Trail:
    """How the decision about one pod was come to."""

    entry: report.ReportEntry
    scope: list[ExplainStep]
    lines: list[list[ExplainStep]]
    """For each line of the decision, in its order."""


def trail(subject: inject.Subject) -> Trail:
    """The rules that the decision about a pod tried, found by the tables that it tries."""
    asked, known = subject.asked, subject.known
    said = status_annotation.read(pod_fields.metadata_map(asked.pod, "annotations"))
    candidate = matching.candidate_of(asked.pod, said)
    scope = [
        _step(rule, stops=stops, fact=rule_facts.of_pod(rule.name, candidate, known))
        for rule, stops in matching.tried_on_pod(asked, candidate, known)
    ]
    lines = []
    for line in subject.entry.decision.lines:
        one = line.injection
        tried = [
            _step(rule, stops=stops, fact=rule_facts.of_injection(rule.name, one, candidate, known))
            for rule, stops in matching.tried_on_injection(one, candidate, known)
        ]
        lines.append(tried if tried[-1].reason else [*tried, *_fitted(line)])
    return Trail(entry=subject.entry, scope=scope, lines=lines)


def _step(
    rule: matching.ScopeRule | matching.MatchRule, *, stops: bool, fact: str
) -> ExplainStep:  # fmt: skip
    sentence = rule.reason.sentence if stops else rule.passed
    return ExplainStep(
        rule.name, rule.reason if stops else None, ": ".join(filter(None, (sentence, fact)))
    )


def _fitted(line: decision.Line) -> Iterator[ExplainStep]:
    """What is asked of an injection that applies."""
    if line.reason is Reason.INVALID:
        yield ExplainStep("validity", line.reason, line.message)
        return
    yield ExplainStep("validity", None, "the injection is valid")
    details = [f"{key}: {rule_facts.listed(value)}" for key, value in line.details.items()]
    yield ExplainStep("fit", line.reason, "; ".join((line.message, *details)))


@click.command(epilog="Example: sidecar-injector explain pod/web-0 -n demo")
@options.objects("pod/NAME, deploy/NAME, job/NAME, … of a cluster.")
@options.files("Manifests: pods, and everything with a pod template.", required=False)
@options.injections(required=False)
@options.namespace(live=True)
@options.namespace_labels()
@options.output()
@client.address()
def explain(*, form: str, **given: Any) -> None:
    """Show every rule that was tried on a pod, in order, and why.

    First the rules on the pod, any of which puts it out of scope; then, for each injection in the
    order in which they are tried, the rules on whether it applies and whether its parts fit. The
    first rule that stops is the last that is shown.

    KIND/NAME asks a cluster: what would become of the object's pods if they were created now, and
    for a pod that exists also what happened when it was created. With -f and -i only files are
    read. Exit status 1 when an injection that applies could not be done.

    Example: sidecar-injector explain -f pod.yaml -i injection.yaml
    """
    found, notes = subjects.found(subjects.Question(**given))
    told = [(one, trail(one.subject)) for one in found]
    if form == options.TABLE:
        _print(told)
    else:
        tables.structured({"pods": [_told_as_json(*one) for one in told]}, form=form)
    for note in notes:
        click.echo(f"note: {note}", err=True)
    sys.exit(1 if any(one.entry.has_findings for _, one in told) else 0)


def _told_as_json(one: subjects.Found, tried: Trail) -> dict[str, Any]:
    member = as_json(tried)
    return {**member, "happened": history.as_json(one.past)} if one.past else member


def as_json(one: Trail) -> dict[str, Any]:
    """A pod as in the report of `inject`, and its rules."""
    pod = report.pod(one.entry)
    pod["message"] = one.entry.decision.message
    pod["rules"] = [_step_as_json(step) for step in one.scope]
    for line, steps in zip(pod["injections"], one.lines, strict=True):
        line["rules"] = [_step_as_json(step) for step in steps]
    return pod


def _step_as_json(step: ExplainStep) -> dict[str, Any]:
    return {"rule": step.rule, "result": step.result, "message": step.message}


def rows(one: Trail) -> Iterator[tables.Row]:
    """A row for each rule; what the pod's annotation says wrongly stands before the injections."""
    for step in one.scope:
        yield "pod", step.rule, step.result, step.message
    for word in one.entry.decision.words:
        yield "pod", "pod annotation", word.reason.value, word.message
    for line, steps in zip(one.entry.decision.lines, one.lines, strict=True):
        for step in steps:
            yield line.injection.reference, step.rule, step.result, step.message


def _print(told: Sequence[tuple[subjects.Found, Trail]]) -> None:
    console = tables.console()
    for index, (found, one) in enumerate(told):
        if index:
            tables.write("\n")
        made = one.entry.decision
        if found.past:
            _print_past(one.entry.place, found.past, to=console)
        now = "if it were created now: " if found.past else ""
        heading = f"{one.entry.place}: {now}{made.verdict.value}: {made.message}"
        tables.heading(heading, to=console)
        tables.table(COLUMNS, list(rows(one)), styles=STYLES, to=console)


def _print_past(place: str, told: subjects.Past, *, to: rich.console.Console) -> None:
    rows = list(history.rows(told))
    tables.heading(f"{place}: {history.SENTENCE if rows else history.NOTHING}", to=to)
    if rows:
        tables.table(history.COLUMNS, rows, styles=history.STYLES, to=to)
    tables.write("\n")
