"""The one decision: which injections a pod gets, which not, and why.

Nobody else decides: webhook, CLI, audit, metrics and events all ask here. `matching.match` needs
metadata, host network and namespace only; `merge` and `fit` need the whole pod.

What the pod's annotation means, in an enabled namespace and before selectors:

    label sidecar-injection=disabled   nothing (the API server does not even call)
    no                                 nothing
    yes                                every selected injection, OnRequest ones too
    a list                             exactly those named, OnRequest or not
    absent or unreadable               the Automatic ones
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sidecar_injector import names
from sidecar_injector.core import decision, matching, patch
from sidecar_injector.core.decision import AnnotationFinding, Decision, Line
from sidecar_injector.core.injections import index, model, namespace_view
from sidecar_injector.core.merging import merge, render, result_checks, status_annotation
from sidecar_injector.core.pods import annotation
from sidecar_injector.core.reasons import PodVerdict, Reason, Verdict


def decide(asked: namespace_view.PodRequest, known: namespace_view.NamespaceView) -> Decision:
    """What becomes of this pod in this world."""
    said = status_annotation.read(_annotations(asked.pod))
    candidate = matching.candidate_of(asked.pod, said)
    if reason := matching.out_of_scope(asked, candidate, known):
        return _unchanged(asked, PodVerdict.OUT_OF_SCOPE, reason)

    words = _words(candidate.inject_request, known)
    editor = patch.Editor(dict(asked.pod))
    merging = merge.Merge(
        editor,
        said,
        around=_surroundings(asked, candidate, known, said),
        tutorial=candidate.inject_request.tutorial,
        check=lambda before, after, parts: result_checks.check(
            before, after, known=known, precomputed=parts.precomputed
        ),
    )
    candidates = known.index.candidates(candidate.labels)
    lines = [_line(injection, candidate, known, merging) for injection in candidates]

    refusing = next((line for line in lines if line.verdict is Verdict.REFUSED), None)
    if refusing:
        return _refused(asked, refusing, lines, words, candidates)
    merging.finish([line for line in lines if line.verdict is Verdict.SKIPPED])
    injected = any(line.verdict is Verdict.INJECTED for line in lines)
    return Decision(
        verdict=PodVerdict.INJECTED if injected else PodVerdict.UNCHANGED,
        reason=None,
        message=_summary(lines),
        pod=editor.document,
        tried=lines,
        passed_over=candidates,
        words=words,
        operations=editor.operations,
    )


def _line(
    injection: model.Injection,
    candidate: matching.Candidate,
    known: namespace_view.NamespaceView,
    merging: merge.Merge,
) -> Line:
    if reason := matching.match(injection, candidate, known):
        return decision.line(injection, reason)
    if injection.errors:
        path, sentence = injection.errors[0]
        return decision.line(injection, Reason.INVALID, f"{path} {sentence}")
    return merging.fit(injection)


def _surroundings(
    asked: namespace_view.PodRequest,
    candidate: matching.Candidate,
    known: namespace_view.NamespaceView,
    said: status_annotation.Provenance,
) -> render.RenderContext:
    name = status_annotation.author_scalar(asked.pod, said, "serviceAccountName")
    alias = status_annotation.author_scalar(asked.pod, said, "serviceAccount")
    return render.RenderContext(
        namespace=asked.namespace,
        service_account=name or alias or "default",
        host_network=candidate.host_network,
        sources={
            "podAnnotation": candidate.annotations,
            "podLabel": candidate.labels,
            "namespaceAnnotation": known.namespace.annotations,
            "namespaceLabel": known.namespace.labels,
        },
    )


def _words(
    wish: annotation.InjectRequest, known: namespace_view.NamespaceView
) -> list[AnnotationFinding]:
    words = [
        AnnotationFinding(
            Reason.INVALID_ANNOTATION, f"{Reason.INVALID_ANNOTATION.sentence}: {key}", key
        )
        for key in wish.unreadable
    ]
    # A bare name may also mean an injection of the cluster.
    words += [
        AnnotationFinding(
            Reason.UNKNOWN_INJECTION, f"{Reason.UNKNOWN_INJECTION.sentence}: {name}", name
        )
        for name in wish.listed
        if name not in known.references and names.CLUSTER_PREFIX + name not in known.references
    ]
    return words


def _summary(lines: list[Line]) -> str:
    injected = [line.injection.name for line in lines if line.verdict is Verdict.INJECTED]
    skipped = [
        f"{line.injection.name}={line.reason.value}"
        for line in lines
        if line.verdict is Verdict.SKIPPED
    ]
    parts = [f"injected {', '.join(injected)}"] if injected else ["nothing to inject"]
    return "; ".join([*parts, *([f"skipped {', '.join(skipped)}"] if skipped else [])])


def _refused(
    asked: namespace_view.PodRequest,
    refusing: Line,
    lines: list[Line],
    words: list[AnnotationFinding],
    candidates: index.Candidates,
) -> Decision:
    injection = refusing.injection
    return Decision(
        verdict=PodVerdict.REFUSED,
        reason=refusing.reason,
        message=(
            f"{injection.kind} {injection.reference} must be injected (failurePolicy: Fail)"
            f" and cannot be: {refusing.reason.value}: {refusing.message}."
            f" {_remedy(refusing)}"
        ),
        pod=asked.pod,
        # Nothing is injected into a pod that is refused.
        tried=[line for line in lines if line.verdict is not Verdict.INJECTED],
        passed_over=candidates,
        words=words,
    )


def _remedy(refusing: Line) -> str:
    if refusing.reason is Reason.OUTDATED:
        return (
            f"Take out the older parts, and the annotation {names.STATUS_ANNOTATION}, from the"
            " manifest that the pod is made from"
        )
    return (
        "Change the pod or the injection, or opt the pod out with the label"
        f" {names.INJECTION_LABEL}={names.DISABLED}"
    )


def _unchanged(asked: namespace_view.PodRequest, verdict: PodVerdict, reason: Reason) -> Decision:
    return Decision(verdict=verdict, reason=reason, message=reason.sentence, pod=asked.pod)


def _annotations(pod: Mapping[str, Any]) -> Mapping[str, Any]:
    annotations = (pod.get("metadata") or {}).get("annotations")
    return annotations if isinstance(annotations, dict) else {}
