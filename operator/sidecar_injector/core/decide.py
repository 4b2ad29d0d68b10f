"""The decision: which injections a pod gets, which not, and why.

The webhook and the command line both call `decide`. `matching.match` needs metadata, host network
and namespace only, so the audit calls it alone; `merge` and `fit` need the whole pod.

What the pod's annotation means, in an enabled namespace and before selectors:

    label sidecar-injection=disabled   the mandatory ones (the API server does not call the webhook,
                                       unless the chart's webhook.optedOutPods is true)
    no                                 the mandatory ones
    yes                                every selected injection, OnRequest ones too
    a list                             the Automatic ones, and those named
    only: and a list                   the mandatory ones, and those named
    absent or unreadable               the Automatic ones

Mandatory are cluster injections with `optOut: Forbidden`, all of them Automatic.

The pod is what it would be without the injections that have `spec.dryRun`. Where one of them
applies, all is decided a second time as if none were a dry run, only to say what it would become.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable

from sidecar_injector import names
from sidecar_injector.core import decision, matching, near_misses, patch
from sidecar_injector.core.decision import Decision, Line
from sidecar_injector.core.injections import model, namespace_view
from sidecar_injector.core.merging import author, budget, merge, render, status_annotation
from sidecar_injector.core.pods import lenient
from sidecar_injector.core.reasons import PodVerdict, Reason, Verdict


def decide(request: namespace_view.PodRequest, view: namespace_view.NamespaceView) -> Decision:
    """What becomes of this pod in this namespace.

    Raises `budget.LongWorkError` if the request is waited for and the decision takes long.
    """
    recorded = status_annotation.read(lenient.child(request.pod.get("metadata"), "annotations"))
    trial = _Trial(request, matching.candidate_of(request.pod, recorded), recorded)
    if view.in_effect is None:
        return _decided(trial, view, view)
    return _with_dry_runs(trial, view, view.in_effect)


@dataclasses.dataclass(frozen=True, slots=True)
class _Trial:
    """A pod on which injections are tried."""

    request: namespace_view.PodRequest
    candidate: matching.Candidate
    recorded: status_annotation.Provenance


def _with_dry_runs(
    trial: _Trial, view: namespace_view.NamespaceView, in_effect: namespace_view.NamespaceView
) -> Decision:
    """The decision by what is `in_effect`, with a line for each dry run of the whole view."""
    candidates = view.candidates(trial.candidate.labels)
    lines: list[Line] = []
    applies = False
    if matching.out_of_scope(trial.request, trial.candidate, view) is None:
        for injection in candidates:
            if injection.is_dry_run:
                reason = matching.match(injection, trial.candidate, view)
                applies |= reason is None
                lines += [decision.line(injection, reason)] if reason else []
    decided = _decided(trial, in_effect, view, is_half=applies)
    if decided.verdict is PodVerdict.REFUSED:
        # Nothing is injected into a pod that is refused.
        return decided
    if applies:
        _, _, imagined = _tried(trial, candidates, view, is_half=True)
        lines += decision.dry_runs(imagined, decided.evaluated)
    evaluated = sorted([*decided.evaluated, *lines], key=lambda line: line.injection.order)
    decided = dataclasses.replace(decided, evaluated=evaluated)
    if found := decided.dry_runs:
        message = f"{decided.message}; dry run: {', '.join(found)}"
        decided = dataclasses.replace(decided, message=message)
    return decided


def _decided(
    trial: _Trial,
    view: namespace_view.NamespaceView,
    whole: namespace_view.NamespaceView,
    *,
    is_half: bool = False,
) -> Decision:
    """The decision by a view of the `whole`, whose other injections are known by name only.

    `is_half`: the same work is done for a second view.
    """
    request, candidate = trial.request, trial.candidate
    if reason := matching.out_of_scope(request, candidate, view):
        verdict, message = PodVerdict.OUT_OF_SCOPE, reason.sentence
        return Decision(verdict=verdict, reason=reason, message=message, pod=request.pod)

    candidates = view.candidates(candidate.labels)
    editor, merging, lines = _tried(trial, candidates, view, is_half=is_half)
    findings = near_misses.of_pod(
        candidate.labels, candidate.annotations, candidate.inject_request, whole
    )
    if whole is not view:
        candidates = whole.candidates(candidate.labels)

    if refusing := next((line for line in lines if line.verdict is Verdict.REFUSED), None):
        return Decision(
            verdict=PodVerdict.REFUSED, reason=refusing.reason, message=_refusal(refusing),
            pod=request.pod, candidates=candidates, annotation_findings=findings,
            # Nothing is injected into a pod that is refused.
            evaluated=[line for line in lines if line.verdict is not Verdict.INJECTED],
        )  # fmt: skip
    merging.finish([line for line in lines if line.verdict is Verdict.SKIPPED])
    injected = any(line.verdict is Verdict.INJECTED for line in lines)
    return Decision(
        verdict=PodVerdict.INJECTED if injected else PodVerdict.UNCHANGED,
        reason=None, message=_summary(lines, candidate, view), pod=editor.document, evaluated=lines,
        candidates=candidates, annotation_findings=findings, operations=editor.operations,
    )  # fmt: skip


def _tried(
    trial: _Trial,
    candidates: namespace_view.Candidates,
    view: namespace_view.NamespaceView,
    *,
    is_half: bool,
) -> tuple[patch.Editor, merge.Merge, list[Line]]:
    """The pod with all that can be added, and what became of each candidate."""
    request, candidate, recorded = trial.request, trial.candidate, trial.recorded
    work = budget.Budget(request.pod, recorded, view.limits)
    refusals = [_refusal_to_try(injection, candidate, view, work) for injection in candidates]
    if is_second := _lacks_entry(recorded, candidates, refusals):
        work.count_twice()
    if is_half:
        work.count_twice()
    if request.is_waited_for and work.work > budget.SHORT:
        raise budget.LongWorkError(work.work)
    editor = patch.Editor(dict(request.pod))
    merging = _merging(
        editor, request, candidate, candidates, recorded=recorded, view=view, is_second=is_second
    )
    pairs = zip(candidates, refusals, strict=True)
    lines = [merging.settled(line or merging.fit(injection)) for injection, line in pairs]
    return editor, merging, lines


def _refusal_to_try(
    injection: model.Injection,
    candidate: matching.Candidate,
    view: namespace_view.NamespaceView,
    work: budget.Budget,
) -> Line | None:
    """Why an injection is not tried on the pod; None if it is."""
    if reason := matching.match(injection, candidate, view):
        return decision.line(injection, reason)
    if injection.errors:
        return decision.line(injection, Reason.INVALID, str(injection.errors[0]))
    return None if work.admits(injection) else decision.line(injection, Reason.TOO_MUCH_WORK)


def _merging(
    editor: patch.Editor,
    request: namespace_view.PodRequest,
    candidate: matching.Candidate,
    candidates: Iterable[model.Injection],
    *,
    recorded: status_annotation.Provenance,
    view: namespace_view.NamespaceView,
    is_second: bool,
) -> merge.Merge:
    """What merges into the pod; on a second call also with the first call, done again."""
    merger = functools.partial(
        merge.Merge,
        context=_render_context(request, candidate, view),
        candidates=candidates,
        view=view,
        tutorial=candidate.inject_request.tutorial,
    )
    merging = merger(editor, recorded)
    if is_second:
        author_pod = author.pod_of(request.pod, recorded)
        merging.first_call = merger(patch.Editor(dict(author_pod)), status_annotation.NOTHING)
    return merging


def _lacks_entry(
    recorded: status_annotation.Provenance,
    candidates: Iterable[model.Injection],
    refusals: Iterable[Line | None],
) -> bool:
    """Whether this is a second call that tries an injection of which the first added nothing."""
    if recorded == status_annotation.NOTHING:
        return False
    added = {entry.identity for entry in recorded.entries}
    return any(
        line is None and injection.identity not in added
        for injection, line in zip(candidates, refusals, strict=True)
    )


def _render_context(
    request: namespace_view.PodRequest,
    candidate: matching.Candidate,
    view: namespace_view.NamespaceView,
) -> render.RenderContext:
    return render.RenderContext(
        namespace=request.namespace,
        service_account=candidate.service_account or "default",
        host_network=candidate.host_network,
        sources={
            "podAnnotation": candidate.annotations,
            "podLabel": candidate.labels,
            "namespaceAnnotation": view.namespace.annotations,
            "namespaceLabel": view.namespace.labels,
        },
    )


def _summary(
    lines: list[Line], candidate: matching.Candidate, view: namespace_view.NamespaceView
) -> str:
    injected = [line.injection.name for line in lines if line.verdict is Verdict.INJECTED]
    skipped = [
        f"{line.injection.name}={line.reason.value}"
        for line in lines
        if line.verdict is Verdict.SKIPPED
    ]
    message = f"injected {', '.join(injected)}" if injected else "nothing to inject"
    if skipped:
        message = f"{message}; skipped {', '.join(skipped)}"
    if any(
        line.verdict is not Verdict.NOT_APPLICABLE
        and matching.is_overruled(line.injection, candidate, view)
        for line in lines
    ):
        message = f"{message}, although the pod opts out (optOut: Forbidden)"
    return message


def _refusal(refusing: Line) -> str:
    """Why the pod is refused and what its author can do, for people."""
    injection = refusing.injection
    if refusing.reason is Reason.OUTDATED:
        remedy = (
            f"Take out the older parts, and the annotation {names.STATUS_ANNOTATION}, from the"
            " manifest that the pod is made from; debug a pod without --copy-to"
        )
    else:
        # Nobody is taught to go round what an administrator requires.
        way_out = f", or opt the pod out with the label {names.INJECTION_LABEL}={names.DISABLED}"
        remedy = f"Change the pod or the injection{'' if injection.is_cluster else way_out}"
        if refusing.reason is Reason.CONTAINER_CONFLICT:
            remedy += "; copy an injected pod with kubectl debug --keep-annotations"
    return (
        f"{injection.kind} {injection.reference} is required (failurePolicy: Fail)"
        f" but cannot be injected: {refusing.reason.value}: {refusing.message}. {remedy}"
    )
