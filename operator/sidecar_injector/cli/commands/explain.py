"""`explain`: why a pod is or is not injected, and what to do."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from sidecar_injector import names
from sidecar_injector.cli import options
from sidecar_injector.cli.cluster import client, history, probe, running, subjects
from sidecar_injector.cli.commands import inject
from sidecar_injector.cli.output import report, tables
from sidecar_injector.core import decision, matching, near_misses, patch, remedies
from sidecar_injector.core.linting import trial
from sidecar_injector.core.merging import ports, status_annotation
from sidecar_injector.core.pods import fields as pod_fields
from sidecar_injector.core.pods import lenient, qos
from sidecar_injector.core.reasons import Level, Reason, Verdict
from sidecar_injector.observability import logs

if TYPE_CHECKING:
    import rich.console

    from sidecar_injector.cli.cluster import engines

PASSED = "passed"
CLASS, PORTS, ENGINE = "quality of service", "ports", "engine"
"""What is worth a line although no rule stops for it."""
COLUMNS = ("INJECTION", "RESULT", "WHY")
RULE_COLUMNS = ("SUBJECT", "RULE", "RESULT", "WHY")
ASKED = (Reason.NOT_REQUESTED, Reason.NOT_LISTED)
"""They depend on the names in the pod's annotation."""
OF_NAMESPACE = (Reason.NAMESPACE_NOT_ENABLED, Reason.NAMESPACE_EXCLUDED)
"""No pod of the namespace is injected."""
CHECK = remedies.Remedy("find out why", f"kubectl {names.PRODUCT} check")
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
    of_namespace: Sequence[near_misses.NearMiss] = ()
    """What is wrong with the namespace's label, where no pod is injected for that."""


LiveFacts = history.PodHistory | running.RunningPods | None
"""What is seen of running pods: of the pod, or of those of the workload."""
Explained = Sequence[tuple[Explanation, LiveFacts]]


def explanation(subject: inject.Subject, adding: engines.Engines | None = None) -> Explanation:
    """The rules that were tried for the decision about a pod, by the tables that decide uses.

    `adding` is known if an injection asks for a policy.
    """
    request, view = subject.request, subject.view
    recorded = status_annotation.read(pod_fields.metadata_map(request.pod, "annotations"))
    candidate = matching.candidate_of(request.pod, recorded)
    in_effect = view.in_effect or view
    scope = [
        _step(rule, stops=stops, fact=rule.fact(request, candidate, in_effect))
        for rule, stops in matching.tried(matching.SCOPE_RULES, request, candidate, in_effect)
    ]
    scope += _class_steps(request.pod, subject.entry.decision.pod)
    lines, receiving = [], []
    result = pod_fields.metadata_map(subject.entry.decision.pod, "annotations")
    entries = status_annotation.read(result)
    for line in subject.entry.decision.lines:
        injection = line.injection
        seen = view if injection.is_dry_run else in_effect
        steps = [
            _step(rule, stops=stops, fact=rule.fact(injection, candidate, seen))
            for rule, stops in matching.tried(matching.MATCH_RULES, injection, candidate, seen)
        ]
        receiving.append(_receiving(entries.entry(line.injection.identity)))
        fit_steps = _fit_steps(line, subject.entry.decision.pod, receiving[-1])
        steps = steps if steps[-1].reason else [*steps, *fit_steps]
        # The last step is the answer.
        steps[-1:-1] = _engine_steps(subject, line, adding)
        lines.append(steps)
    return Explanation(
        entry=subject.entry,
        scope=scope,
        lines=lines,
        receiving=receiving,
        of_namespace=_of_namespace(subject),
    )


def _of_namespace(subject: inject.Subject) -> Sequence[near_misses.NearMiss]:
    if subject.entry.decision.reason not in OF_NAMESPACE:
        return ()
    view = subject.view
    return near_misses.of_namespace(view.namespace, release_namespace=view.release_namespace)


def _receiving(entry: status_annotation.Entry | None) -> list[str]:
    """The containers of the pod in which something was changed, by what was recorded."""
    paths = (patch.steps_of(record["path"]) for record in (entry.patched if entry else ()))
    names = (path[2] for path in paths if len(path) > 2 and path[1] in pod_fields.CONTAINER_LISTS)
    return list(dict.fromkeys(names))


def _class_steps(before: Any, after: Any) -> Iterator[ExplainStep]:
    """What becomes of the pod's class, if it does not stay as it is."""
    old, new = (qos.service_class(lenient.child(pod, "spec")) for pod in (before, after))
    if old != new:
        yield ExplainStep(CLASS, None, f"{old} without the injections, {new} with")


def _step(rule: matching.Rule[Any], *, stops: bool, fact: str) -> ExplainStep:
    sentence = rule.reason.sentence if stops else rule.passed
    message = ": ".join(filter(None, (sentence, fact)))
    return ExplainStep(rule.name, rule.reason if stops else None, message)


def _fit_steps(
    line: decision.Line, pod: Mapping[str, Any], receiving: Sequence[str]
) -> Iterator[ExplainStep]:
    """What an injection that applies must fulfil besides."""
    if Reason.INVALID in (line.reason, line.would):
        yield ExplainStep("validity", line.reason, line.message)
        return
    yield ExplainStep("validity", None, "the injection is valid")
    if sentences := list(_shared_ports(line, pod)):
        yield ExplainStep(PORTS, None, "; ".join(sentences))
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


def _engine_steps(
    subject: inject.Subject, line: decision.Line, adding: engines.Engines | None
) -> Iterator[ExplainStep]:
    """What adds an injection that asks for a policy."""
    if adding and _asks(line):
        added = [each.injection for each in subject.entry.decision.lines if _asks(each)]
        sentence = adding.sentence(line.injection, subject.request.pod, added, subject.view)
        yield ExplainStep(ENGINE, None, sentence)


def _asks(line: decision.Line) -> bool:
    return line.verdict is Verdict.INJECTED and line.injection.is_compiled


def _engines(
    chosen: subjects.SubjectOptions, found: Sequence[subjects.SubjectWithHistory]
) -> engines.Engines | None:
    """None where nothing that is added asks for a policy."""
    if not any(_asks(line) for subject, _ in found for line in subject.entry.decision.lines):
        return None
    # The compiler is for them alone.
    from sidecar_injector.cli.cluster import engines  # noqa: PLC0415

    if chosen.injection_files:
        lines = (line for subject, _ in found for line in subject.entry.decision.lines)
        of_files = {line.injection.identity: line.injection for line in lines}
        return engines.of_files([*of_files.values()])
    places = {subject.request.namespace for subject, _ in found}
    release_namespace = chosen.address.release_namespace
    return client.run(
        chosen.address,
        lambda connected: engines.of_cluster(
            connected, namespaces=places, release_namespace=release_namespace
        ),
    )


def _listed(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


@click.command(epilog="Example: sidecar-injector explain pod/web-0 -n demo")
@options.subjects()
@click.option("--rules", is_flag=True, help="Show every rule that was tried, in order.")
@options.output()
@client.address()
def explain(*, form: str, rules: bool, **arguments: Any) -> None:
    """Say why a pod is or is not injected, and what to do.

    The first line is the answer, and a line that begins with an arrow is a remedy. A line for each
    injection follows, in the order in which injections are tried.

    KIND/NAME asks a cluster: what a pod has, why it lacks the rest, what new pods of the object
    would get, which running pods lack it, and whether the injector answers. A file of another
    namespace than -n is refused. Exit status 2 where a named object does not exist; the others are
    explained all the same. With -f and -i only files are read; with -f alone,
    the injections and namespaces of the cluster count. Exit status 1 when an injection that applies
    cannot be done.

    Example: sidecar-injector explain -f pod.yaml -i injection.yaml
    """
    chosen = subjects.SubjectOptions(**arguments)
    chosen_subjects = subjects.read(chosen, with_running=True)
    notes = chosen_subjects.notes
    adding = _engines(chosen, chosen_subjects.subjects)
    explained = [
        (explanation(subject, adding), facts) for subject, facts in chosen_subjects.subjects
    ]
    answers = _probes(chosen, explained) if chosen.objects else None
    if form == options.TABLE:
        _print(explained, answers, with_rules=rules)
    else:
        pods = [as_json(result, facts) for result, facts in explained]
        webhook = {"webhook": answers.as_json()} if answers else {}
        tables.structured({"pods": pods, **webhook, "notes": list(dict.fromkeys(notes))}, form=form)
    tables.notes(notes)
    chosen_subjects.exit()


def _probes(chosen: subjects.SubjectOptions, explained: Explained) -> probe.Probes | None:
    """Whether new pods of the namespaces are injected; None if none is meant to be."""
    namespaces = dict.fromkeys(
        result.entry.namespace
        for result, _ in explained
        if result.entry.decision.reason not in OF_NAMESPACE
    )
    if not namespaces:
        return None
    return client.run(chosen.address, lambda connected: probe.several(connected, [*namespaces]))


def as_json(result: Explanation, facts: LiveFacts = None) -> dict[str, Any]:
    """A pod as in the report of `inject`, with its rules; remedies are for the live owner."""
    owner = facts.owner if isinstance(facts, history.PodHistory) else None
    pod = report.pod(result.entry, owner=owner)
    pod["message"] = result.entry.decision.message
    pod["rules"] = [_step_as_json(step) for step in result.scope]
    lines = zip(pod["injections"], result.lines, result.receiving, strict=True)
    for line, steps, receiving in lines:
        line["rules"] = [_step_as_json(step) for step in steps]
        if receiving:
            line["containers"] = receiving
    if result.of_namespace:
        pod["words"] = [*map(report.word, result.of_namespace), *pod.get("words", ())]
    if isinstance(facts, history.PodHistory):
        pod["happened"] = history.as_json(facts)
    elif facts:
        pod["running"] = facts.as_json()
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


def answers_of(
    result: Explanation, owner: remedies.Subject | None = None
) -> Iterator[tables.Row | str]:
    """A row for each injection and each mistake in the pod's annotation, and what to do."""
    entry = result.entry
    for finding in entry.decision.annotation_findings:
        yield "annotation", finding.reason.value, finding.text
        yield tables.remedy(remedies.Remedy(finding.remedy))
    yield from (("pod", step.rule, step.message) for step in result.scope if step.rule == CLASS)
    for line, steps in zip(entry.decision.lines, result.lines, strict=True):
        # The last step has the value that its rule looked at.
        yield line.injection.reference, line.reason.value, steps[-1].message
        beside = (step for step in steps if step.rule in (ENGINE, PORTS))
        yield from (("", step.rule, step.message) for step in beside)
        is_mistaken = line.reason in ASKED and entry.decision.annotation_findings
        # What is wrong in the annotation, above, comes first.
        if report.is_unexpected(line.reason) and not is_mistaken:
            yield tables.remedy(remedies.of(line.remedied, owner or entry.subject, line.injection))


def _print(explained: Explained, answers: probe.Probes | None, *, with_rules: bool) -> None:
    console = tables.console()
    for silent in answers.silent if answers else ():
        tables.heading(f"{silent}", to=console)
        tables.write(f"{tables.remedy(CHECK)}\n\n")
    for index, (result, facts) in enumerate(explained):
        if index:
            tables.write("\n")
        _print_answer(result, facts, to=console)
        owner = facts.owner if isinstance(facts, history.PodHistory) else None
        if with_rules:
            tables.table(RULE_COLUMNS, list(rows(result)), styles=STYLES, to=console)
        elif lines := list(answers_of(result, owner)):
            tables.table(COLUMNS, lines, styles=STYLES, to=console)
    if answers and (sentences := answers.others()):
        tables.write("\n" + "".join(f"{logs.one_line(line)}\n" for line in sentences))


def _print_answer(result: Explanation, facts: LiveFacts, *, to: rich.console.Console) -> None:
    """What running pods lack, what new ones get, and what helps."""
    entry, subject = result.entry, result.entry.place
    headline, owner, remedy = report.headline(entry.decision), entry.subject, None
    if isinstance(facts, history.PodHistory):
        _print_history(result, facts, to=to)
        subject, owner = "a new pod", facts.owner
    elif facts and (lacking := facts.headline()):
        headline, remedy = f"{lacking}; new pods: {headline}", facts.remedy()
    tables.heading(f"{subject}: {headline}", to=to)
    if remedy:
        tables.write(f"{tables.remedy(remedy)}\n")
    tables.write("".join(f"{line}\n" for line in below_headline(result, owner)))


def below_headline(result: Explanation, owner: remedies.Subject) -> Iterator[str]:
    """What helps a pod that no injection is tried for."""
    for finding in result.of_namespace:
        yield logs.one_line(finding.text)
        yield tables.remedy(finding.remedy)
    reason = result.entry.decision.reason
    if reason and reason.level is Level.SCOPE and not result.of_namespace:
        yield tables.remedy(remedies.of(reason, owner))


def _print_history(
    result: Explanation, pod_history: history.PodHistory, *, to: rich.console.Console
) -> None:
    """What the pod has, and why it lacks what a new one would get."""
    missing = history.missing(pod_history, result.entry.decision)
    tables.heading(f"{result.entry.place}: {history.headline(pod_history, missing)}", to=to)
    if missing:
        tables.write(f"{tables.remedy(history.remedy(pod_history))}\n")
    if lines := list(history.rows(pod_history)):
        tables.table(history.COLUMNS, lines, styles=history.STYLES, to=to)
    tables.write("\n")
