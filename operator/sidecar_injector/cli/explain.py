"""`explain`: every rule that was tried on a pod, in order, and why."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from typing import Any

import click

from sidecar_injector.cli import facts, inject, manifests, options, report, show
from sidecar_injector.core import decision, matching, pods, provenance
from sidecar_injector.core.reasons import Reason

PASSED = "passed"
COLUMNS = ("SUBJECT", "RULE", "RESULT", "WHY")
STYLES = {PASSED: show.PASSED} | {one.value: show.style(one) for one in Reason}


@dataclasses.dataclass(frozen=True, slots=True)
class Step:
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

    entry: report.Entry
    scope: list[Step]
    lines: list[list[Step]]
    """For each line of the decision, in its order."""


def trail(subject: inject.Subject) -> Trail:
    """The rules that the decision about a pod tried, found by the tables that it tries."""
    asked, known = subject.asked, subject.known
    said = provenance.read(pods.metadata_map(asked.pod, "annotations"))
    candidate = matching.candidate_of(asked.pod, said)
    scope = [
        _step(rule, stops=stops, fact=facts.of_pod(rule.name, candidate, known))
        for rule, stops in matching.tried_on_pod(asked, candidate, known)
    ]
    lines = []
    for line in subject.entry.decision.lines:
        one = line.injection
        tried = [
            _step(rule, stops=stops, fact=facts.of_injection(rule.name, one, candidate, known))
            for rule, stops in matching.tried_on_injection(one, candidate, known)
        ]
        lines.append(tried if tried[-1].reason else [*tried, *_fitted(line)])
    return Trail(entry=subject.entry, scope=scope, lines=lines)


def _step(
    rule: matching.ScopeRule | matching.MatchRule, *, stops: bool, fact: str
) -> Step:  # fmt: skip
    sentence = rule.reason.sentence if stops else rule.passed
    return Step(
        rule.name, rule.reason if stops else None, ": ".join(filter(None, (sentence, fact)))
    )


def _fitted(line: decision.Line) -> Iterator[Step]:
    """What is asked of an injection that applies."""
    if line.reason is Reason.INVALID:
        yield Step("validity", line.reason, line.message)
        return
    yield Step("validity", None, "the injection is valid")
    details = [f"{key}: {facts.listed(value)}" for key, value in line.details.items()]
    yield Step("fit", line.reason, "; ".join((line.message, *details)))


@click.command(epilog="Example: sidecar-injector explain -f pod.yaml -i injection.yaml -n demo")
@click.argument(
    "objects", nargs=-1, metavar="", is_eager=True, expose_value=False,
    callback=lambda context, parameter, value: _refuse_live(value),
)  # fmt: skip
@options.files("Manifests: pods, and everything with a pod template.")
@options.injections()
@options.namespace()
@options.namespace_labels()
@options.output()
def explain(
    *,
    files: tuple[str, ...],
    injection_files: tuple[str, ...],
    namespace: str,
    namespace_labels: dict[str, str],
    form: str,
) -> None:
    """Show every rule that was tried on a pod, in order, and why.

    First the rules on the pod, any of which puts it out of scope; then, for each injection in the
    order in which they are tried, the rules on whether it applies and whether its parts fit. The
    first rule that stops is the last that is shown. Reads files only, never a cluster. Exit status
    1 when an injection that applies could not be done.
    """
    options.check_stdin(*files, *injection_files)
    injector = inject.Injector(
        injections=manifests.read_injections(injection_files, namespace=namespace),
        namespace=namespace,
        namespace_labels=namespace_labels,
    )
    trails = [trail(subject) for subject in inject.read_subjects(files, injector)]
    if form == options.TABLE:
        _print(trails)
    else:
        show.structured({"pods": [as_json(one) for one in trails]}, form=form)
    sys.exit(1 if any(one.entry.has_findings for one in trails) else 0)


def as_json(one: Trail) -> dict[str, Any]:
    """A pod as in the report of `inject`, and its rules."""
    pod = report.pod(one.entry)
    pod["message"] = one.entry.decision.message
    pod["rules"] = [_step_as_json(step) for step in one.scope]
    for line, steps in zip(pod["injections"], one.lines, strict=True):
        line["rules"] = [_step_as_json(step) for step in steps]
    return pod


def _step_as_json(step: Step) -> dict[str, Any]:
    return {"rule": step.rule, "result": step.result, "message": step.message}


def rows(one: Trail) -> Iterator[show.Row]:
    """A row for each rule; what the pod's annotation says wrongly stands before the injections."""
    for step in one.scope:
        yield "pod", step.rule, step.result, step.message
    for word in one.entry.decision.words:
        yield "pod", "pod annotation", word.reason.value, word.message
    for line, steps in zip(one.entry.decision.lines, one.lines, strict=True):
        for step in steps:
            yield line.injection.reference, step.rule, step.result, step.message


def _print(trails: list[Trail]) -> None:
    console = show.console()
    for index, one in enumerate(trails):
        if index:
            show.write("\n")
        made = one.entry.decision
        show.heading(f"{one.entry.place}: {made.verdict.value}: {made.message}", to=console)
        show.table(COLUMNS, list(rows(one)), styles=STYLES, to=console)


def _refuse_live(objects: tuple[str, ...]) -> None:
    """Raises UnreadableInput: nothing of this verb asks a cluster yet."""
    if objects:
        raise manifests.UnreadableInput(
            f"{objects[0]}: objects of a cluster cannot be explained yet; give a file:"
            f" kubectl get {objects[0]} -o yaml | sidecar-injector explain -f - -i FILE"
        )
