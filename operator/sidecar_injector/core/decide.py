"""The one decision: which injections a pod gets, which not, and why.

Nobody else decides: webhook, CLI, audit, metrics and events all ask here. `match` needs metadata,
host network and namespace only; `fit` needs the whole pod.

What the pod's annotation means, in an enabled namespace and before selectors:

    label sidecar-injection=disabled   nothing (the API server does not even call)
    no                                 nothing
    yes                                every selected injection, OnRequest ones too
    a list                             exactly those named, OnRequest or not
    absent or unreadable               the Automatic ones
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from sidecar_injector import names
from sidecar_injector.core import (
    checks,
    decision,
    merge,
    model,
    patch,
    provenance,
    render,
    request,
    world,
)
from sidecar_injector.core.decision import Decision, Line, Word
from sidecar_injector.core.reasons import PodVerdict, Reason, Verdict


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A pod as its author wrote it, as far as matching looks at it."""

    labels: Mapping[str, str]
    annotations: Mapping[str, Any]
    host_network: bool
    wish: request.Request


def decide(asked: world.Request, known: world.World) -> Decision:
    """What becomes of this pod in this world."""
    said = provenance.read(_annotations(asked.pod))
    candidate = candidate_of(asked.pod, said)
    if reason := out_of_scope(asked, candidate, known):
        return _unchanged(asked, PodVerdict.OUT_OF_SCOPE, reason)

    words = _words(candidate.wish, known)
    editor = patch.Editor(dict(asked.pod))
    merging = merge.Merge(
        editor,
        said,
        around=_surroundings(asked, candidate, known, said),
        tutorial=candidate.wish.tutorial,
        check=lambda before, after: checks.check(before, after, known=known),
    )
    lines = [_line(injection, candidate, known, merging) for injection in known.injections]

    refusing = next((line for line in lines if line.verdict is Verdict.REFUSED), None)
    if refusing:
        return _refused(asked, refusing, lines, words)
    merging.finish([line for line in lines if line.verdict is Verdict.SKIPPED])
    injected = any(line.verdict is Verdict.INJECTED for line in lines)
    return Decision(
        verdict=PodVerdict.INJECTED if injected else PodVerdict.UNCHANGED,
        reason=None,
        message=_summary(lines),
        pod=editor.document,
        lines=lines,
        words=words,
        operations=editor.operations,
    )


def candidate_of(pod: Mapping[str, Any], said: provenance.Provenance) -> Candidate:
    """What matching looks at; works on a pod of which only metadata is known."""
    view = provenance.author_view(pod, said)
    return Candidate(
        labels=view["labels"],
        annotations=view["annotations"],
        host_network=provenance.author_scalar(pod, said, "hostNetwork") is True,
        wish=request.read(view["annotations"]),
    )


def out_of_scope(asked: world.Request, candidate: Candidate, known: world.World) -> Reason | None:
    """Why no injection can apply to this pod at all; None if one can."""
    if asked.operation != "CREATE" or asked.subresource:
        return Reason.NOT_A_CREATE
    if asked.namespace in names.SYSTEM_NAMESPACES or asked.namespace == known.release_namespace:
        return Reason.NAMESPACE_EXCLUDED
    if not known.namespace.is_enabled:
        return Reason.NAMESPACE_NOT_ENABLED
    if candidate.labels.get(names.INJECTION_LABEL) == names.DISABLED:
        return Reason.POD_LABEL_DISABLED
    if names.MIRROR_ANNOTATION in candidate.annotations:
        return Reason.MIRROR_POD
    if candidate.labels.get(names.APP_NAME_LABEL) == names.PRODUCT:
        return Reason.OWN_POD
    if candidate.wish.wish is request.Wish.NO:
        return Reason.POD_ANNOTATION_DISABLED
    return None


def match(injection: model.Injection, candidate: Candidate, known: world.World) -> Reason | None:
    """Why an injection does not apply to a pod in scope; None if it does."""
    if not injection.namespace_selector(known.namespace.labels):
        return Reason.NAMESPACE_SELECTOR_MISMATCH
    if not injection.selector(candidate.labels):
        return Reason.SELECTOR_MISMATCH
    if injection.spec.get("suspend"):
        return Reason.SUSPENDED
    if candidate.wish.wish is request.Wish.LISTED:
        if not _is_listed(injection, candidate.wish.listed, known):
            return Reason.NOT_LISTED
    elif injection.spec.get("activation") == "OnRequest" and (
        candidate.wish.wish is not request.Wish.YES
    ):
        return Reason.NOT_REQUESTED
    if candidate.host_network and injection.spec.get("hostNetworkPods") != "Inject":
        return Reason.HOST_NETWORK
    return None


def _line(
    injection: model.Injection,
    candidate: Candidate,
    known: world.World,
    merging: merge.Merge,
) -> Line:
    if reason := match(injection, candidate, known):
        return decision.line(injection, reason)
    if injection.errors:
        path, sentence = injection.errors[0]
        return decision.line(injection, Reason.INVALID, f"{path} {sentence}")
    return merging.fit(injection)


def _surroundings(
    asked: world.Request,
    candidate: Candidate,
    known: world.World,
    said: provenance.Provenance,
) -> render.Surroundings:
    name = provenance.author_scalar(asked.pod, said, "serviceAccountName")
    alias = provenance.author_scalar(asked.pod, said, "serviceAccount")
    return render.Surroundings(
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


def _is_listed(injection: model.Injection, listed: tuple[str, ...], known: world.World) -> bool:
    """A bare name is the namespace's injection if there is one, else the cluster's."""
    if injection.reference in listed:
        return True
    return (
        injection.is_cluster
        and injection.name in listed
        and not any(one.reference == injection.name for one in known.injections)
    )


def _words(wish: request.Request, known: world.World) -> list[Word]:
    words = [
        Word(Reason.INVALID_ANNOTATION, f"{Reason.INVALID_ANNOTATION.sentence}: {key}", key)
        for key in wish.unreadable
    ]
    references = {one.reference for one in known.injections} | {
        one.name for one in known.injections
    }
    words += [
        Word(Reason.UNKNOWN_INJECTION, f"{Reason.UNKNOWN_INJECTION.sentence}: {name}", name)
        for name in wish.listed
        if name not in references
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
    asked: world.Request, refusing: Line, lines: list[Line], words: list[Word]
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
        lines=lines,
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


def _unchanged(asked: world.Request, verdict: PodVerdict, reason: Reason) -> Decision:
    return Decision(verdict=verdict, reason=reason, message=reason.sentence, pod=asked.pod)


def _annotations(pod: Mapping[str, Any]) -> Mapping[str, Any]:
    annotations = (pod.get("metadata") or {}).get("annotations")
    return annotations if isinstance(annotations, dict) else {}
