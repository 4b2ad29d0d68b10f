"""`explain`: every rule that was tried on a pod, in order, and why."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click
import rich.console

from sidecar_injector.cli import options
from sidecar_injector.cli.cluster import client, history, subjects
from sidecar_injector.cli.commands import inject
from sidecar_injector.cli.output import report, tables
from sidecar_injector.core import decision, matching, patch
from sidecar_injector.core.linting import trial
from sidecar_injector.core.merging import ports, status_annotation
from sidecar_injector.core.pods import fields as pod_fields
from sidecar_injector.core.pods import lenient, qos
from sidecar_injector.core.reasons import Level, Reason

PASSED = "passed"
COLUMNS = ("SUBJECT", "RULE", "RESULT", "WHY")
STYLES = {PASSED: tables.PASSED} | {reason.value: tables.style(reason) for reason in Reason}


@dataclasses.dataclass(frozen=True, slots=True)
class ExplainStep:
    """One rule that was tried."""

    rule: str
    reason: Reason | None
    """The reason by which the rule stopped; None if the pod passed it."""
    message: str

    @property
    def result(self) -> str:
        """The result in a word."""
        return self.reason.value if self.reason else PASSED


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """The decision about one pod, and the rules that led to it."""

    entry: report.ReportEntry
    scope: list[ExplainStep]
    lines: list[list[ExplainStep]]
    """The steps of each line of the decision, in its order."""
    receiving: list[list[str]]
    """The pod's own containers that receive something, by line of the decision."""


def explanation(subject: inject.Subject) -> Explanation:
    """The rules that were tried for the decision about a pod, by the tables that decide uses."""
    request, view = subject.request, subject.view
    recorded = status_annotation.read(pod_fields.metadata_map(request.pod, "annotations"))
    candidate = matching.candidate_of(request.pod, recorded)
    scope = [
        _step(rule, stops=stops, fact=rule.fact(request, candidate, view))
        for rule, stops in matching.tried(matching.SCOPE_RULES, request, candidate, view)
    ]
    scope += _class_steps(request.pod, subject.entry.decision.pod)
    lines, receiving = [], []
    result = pod_fields.metadata_map(subject.entry.decision.pod, "annotations")
    entries = status_annotation.read(result)
    for line in subject.entry.decision.lines:
        injection = line.injection
        steps = [
            _step(rule, stops=stops, fact=rule.fact(injection, candidate, view))
            for rule, stops in matching.tried(matching.MATCH_RULES, injection, candidate, view)
        ]
        receiving.append(_receiving(entries.entry(line.injection.identity)))
        fit_steps = _fit_steps(line, subject.entry.decision.pod, receiving[-1])
        lines.append(steps if steps[-1].reason else [*steps, *fit_steps])
    return Explanation(entry=subject.entry, scope=scope, lines=lines, receiving=receiving)


def _receiving(entry: status_annotation.Entry | None) -> list[str]:
    """The containers of the pod in which something was changed, by what was recorded."""
    paths = (patch.steps_of(record["path"]) for record in (entry.patched if entry else ()))
    names = (path[2] for path in paths if len(path) > 2 and path[1] in pod_fields.CONTAINER_LISTS)
    return list(dict.fromkeys(names))


def _class_steps(before: Any, after: Any) -> Iterator[ExplainStep]:
    """What becomes of the pod's class, if it does not stay as it is."""
    old, new = (qos.service_class(lenient.child(pod, "spec")) for pod in (before, after))
    if old != new:
        yield ExplainStep("quality of service", None, f"{old} without the injections, {new} with")


def _step(rule: matching.Rule[Any], *, stops: bool, fact: str) -> ExplainStep:
    sentence = rule.reason.sentence if stops else rule.passed
    message = ": ".join(filter(None, (sentence, fact)))
    return ExplainStep(rule.name, rule.reason if stops else None, message)


def _fit_steps(
    line: decision.Line, pod: Mapping[str, Any], receiving: Sequence[str]
) -> Iterator[ExplainStep]:
    """What an injection that applies must fulfil besides."""
    if line.reason is Reason.INVALID:
        yield ExplainStep("validity", line.reason, line.message)
        return
    yield ExplainStep("validity", None, "the injection is valid")
    if sentences := list(_shared_ports(line, pod)):
        yield ExplainStep("ports", None, "; ".join(sentences))
    details = [f"{key}: {_listed(value)}" for key, value in line.details.items()]
    if receiving:
        details.append(f"containers that receive something: {', '.join(receiving)}")
    yield ExplainStep("fit", line.reason, "; ".join((line.message, *details)))


def _shared_ports(line: decision.Line, pod: Mapping[str, Any]) -> Iterator[str]:
    """Ports of an injection that is in the pod and that another container has too."""
    if line.reason.level is not Level.DONE:
        return
    added_names = [container["name"] for _, container in trial.containers(line.injection)]
    for (protocol, number), name, other in ports.shared(pod, added_names):
        yield f"{protocol} {number} is of {name!r} and of {other!r}: only one can listen"


def _listed(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


@click.command(epilog="Example: sidecar-injector explain pod/web-0 -n demo")
@options.subjects()
@options.output()
@client.address()
def explain(*, form: str, **arguments: Any) -> None:
    """Show every rule that was tried on a pod, in order, and why.

    First the rules on the pod, any of which puts it out of scope; then, for each injection in the
    order in which they are tried, the rules on whether it applies and whether its parts fit. The
    first rule that stops is the last that is shown.

    KIND/NAME asks a cluster: what would become of the object's pods if they were created now, and
    for a pod that exists also what happened when it was created. With -f and -i only files are
    read. Exit status 1 when an injection that applies could not be done.

    Example: sidecar-injector explain -f pod.yaml -i injection.yaml
    """
    with_histories, notes = subjects.read(subjects.SubjectOptions(**arguments))
    explained = [(explanation(subject), pod_history) for subject, pod_history in with_histories]
    if form == options.TABLE:
        _print(explained)
    else:
        pods = [
            as_json(result) | ({"happened": history.as_json(pod_history)} if pod_history else {})
            for result, pod_history in explained
        ]
        tables.structured({"pods": pods, "notes": list(dict.fromkeys(notes))}, form=form)
    tables.notes(notes)
    sys.exit(1 if any(result.entry.has_findings for result, _ in explained) else 0)


def as_json(result: Explanation) -> dict[str, Any]:
    """A pod as in the report of `inject`, and its rules."""
    pod = report.pod(result.entry)
    pod["message"] = result.entry.decision.message
    pod["rules"] = [_step_as_json(step) for step in result.scope]
    lines = zip(pod["injections"], result.lines, result.receiving, strict=True)
    for line, steps, receiving in lines:
        line["rules"] = [_step_as_json(step) for step in steps]
        if receiving:
            line["containers"] = receiving
    return pod


def _step_as_json(step: ExplainStep) -> dict[str, Any]:
    return {"rule": step.rule, "result": step.result, "message": step.message}


def rows(result: Explanation) -> Iterator[tables.Row]:
    """A row for each rule; what is wrong with the pod's annotation comes before the injections."""
    for step in result.scope:
        yield "pod", step.rule, step.result, step.message
    for finding in result.entry.decision.annotation_findings:
        yield "pod", "pod annotation", finding.reason.value, finding.message
    for line, steps in zip(result.entry.decision.lines, result.lines, strict=True):
        for step in steps:
            yield line.injection.reference, step.rule, step.result, step.message


def _print(explained: Sequence[tuple[Explanation, subjects.PodHistory | None]]) -> None:
    console = tables.console()
    for index, (result, pod_history) in enumerate(explained):
        if index:
            tables.write("\n")
        if pod_history:
            _print_history(result.entry.place, pod_history, to=console)
        now = "if it were created now: " if pod_history else ""
        outcome = f"{result.entry.decision.verdict.value}: {result.entry.decision.message}"
        tables.heading(f"{result.entry.place}: {now}{outcome}", to=console)
        tables.table(COLUMNS, list(rows(result)), styles=STYLES, to=console)


def _print_history(
    place: str, pod_history: subjects.PodHistory, *, to: rich.console.Console
) -> None:
    rows = list(history.rows(pod_history))
    tables.heading(f"{place}: {history.HEADING if rows else history.NOTHING}", to=to)
    if rows:
        tables.table(history.COLUMNS, rows, styles=history.STYLES, to=to)
    tables.write("\n")
