"""Which injections apply to a pod, by everything but the parts that they would add.

The rules are two tables in the order in which they are tried; the first that stops gives the
reason. The decision walks through them to find it, `explain` to show each rule on the way there.
What they look at is metadata, host network and namespace only, so that a pod of which no more is
known can be matched as well.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from sidecar_injector import names
from sidecar_injector.core.injections import model, namespace_view
from sidecar_injector.core.merging import status_annotation
from sidecar_injector.core.pods import annotation
from sidecar_injector.core.reasons import Reason


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A pod as its author wrote it, as far as matching looks at it."""

    labels: Mapping[str, str]
    annotations: Mapping[str, Any]
    host_network: bool
    wish: annotation.InjectRequest


def candidate_of(pod: Mapping[str, Any], said: status_annotation.Provenance) -> Candidate:
    """What matching looks at; works on a pod of which only metadata is known."""
    view = status_annotation.author_view(pod, said)
    return Candidate(
        labels=view["labels"],
        annotations=view["annotations"],
        host_network=status_annotation.author_scalar(pod, said, "hostNetwork") is True,
        wish=annotation.read(view["annotations"]),
    )


@dataclasses.dataclass(frozen=True, slots=True)
class ScopeRule:
    """One reason for which no injection can apply to a pod at all."""

    name: str
    """What it looks at, in a word or two."""
    reason: Reason
    passed: str
    """For people, the opposite of the reason's sentence."""
    stops: Callable[[namespace_view.PodRequest, Candidate, namespace_view.NamespaceView], bool]


@dataclasses.dataclass(frozen=True, slots=True)
class MatchRule:
    """One reason for which an injection does not apply to a pod in scope."""

    name: str
    """The field of the injection that it looks at, or the annotation of the pod."""
    reason: Reason
    passed: str
    """For people, the opposite of the reason's sentence."""
    stops: Callable[[model.Injection, Candidate, namespace_view.NamespaceView], bool]


def out_of_scope(
    asked: namespace_view.PodRequest, candidate: Candidate, known: namespace_view.NamespaceView
) -> Reason | None:
    """Why no injection can apply to this pod at all; None if one can."""
    for rule in SCOPE_RULES:
        if rule.stops(asked, candidate, known):
            return rule.reason
    return None


def match(
    injection: model.Injection, candidate: Candidate, known: namespace_view.NamespaceView
) -> Reason | None:
    """Why an injection does not apply to a pod in scope; None if it does."""
    # A plain loop, as above: this runs for every injection in scope while a pod waits.
    for rule in MATCH_RULES:
        if rule.stops(injection, candidate, known):
            return rule.reason
    return None


def tried_on_pod(
    asked: namespace_view.PodRequest, candidate: Candidate, known: namespace_view.NamespaceView
) -> Iterator[tuple[ScopeRule, bool]]:
    """What `out_of_scope` tries, in order, each with whether it stops."""
    for rule in SCOPE_RULES:
        stops = rule.stops(asked, candidate, known)
        yield rule, stops
        if stops:
            return


def tried_on_injection(
    injection: model.Injection, candidate: Candidate, known: namespace_view.NamespaceView
) -> Iterator[tuple[MatchRule, bool]]:
    """What `match` tries, in order, each with whether it stops."""
    for rule in MATCH_RULES:
        stops = rule.stops(injection, candidate, known)
        yield rule, stops
        if stops:
            return


def _is_no_creation(
    asked: namespace_view.PodRequest, _: Candidate, __: namespace_view.NamespaceView
) -> bool:
    return asked.operation != "CREATE" or bool(asked.subresource)


def _is_excluded(
    asked: namespace_view.PodRequest, _: Candidate, known: namespace_view.NamespaceView
) -> bool:
    return asked.namespace in names.SYSTEM_NAMESPACES or asked.namespace == known.release_namespace


def _is_unlisted(
    injection: model.Injection, candidate: Candidate, known: namespace_view.NamespaceView
) -> bool:
    """A bare name is the namespace's injection if there is one, else the cluster's."""
    wish = candidate.wish
    if wish.wish is not annotation.Requested.LISTED or injection.reference in wish.listed:
        return False
    return not (
        injection.is_cluster
        and injection.name in wish.listed
        and injection.name not in known.references
    )


def _is_unasked(
    injection: model.Injection, candidate: Candidate, _: namespace_view.NamespaceView
) -> bool:
    return (
        candidate.wish.wish in (annotation.Requested.UNSAID, annotation.Requested.NO)
        and injection.spec.get("activation") == "OnRequest"
    )


SCOPE_RULES: tuple[ScopeRule, ...] = (
    ScopeRule(
        "operation", Reason.NOT_A_CREATE, "the pod is being created", _is_no_creation,
    ),
    ScopeRule(
        "namespace", Reason.NAMESPACE_EXCLUDED,
        "the namespace is neither the system's nor the injector's own", _is_excluded,
    ),
    ScopeRule(
        "namespace label", Reason.NAMESPACE_NOT_ENABLED,
        "the namespace carries the label sidecar-injection=enabled",
        lambda asked, candidate, known: not known.namespace.is_enabled,
    ),
    ScopeRule(
        "pod label", Reason.POD_LABEL_DISABLED,
        "the pod does not carry the label sidecar-injection=disabled",
        lambda asked, candidate, known: (
            candidate.labels.get(names.INJECTION_LABEL) == names.DISABLED
        ),
    ),
    ScopeRule(
        "mirror pod", Reason.MIRROR_POD, "the pod is no mirror of a static pod",
        lambda asked, candidate, known: names.MIRROR_ANNOTATION in candidate.annotations,
    ),
    ScopeRule(
        "own pod", Reason.OWN_POD, "the pod does not belong to the injector",
        lambda asked, candidate, known: (
            candidate.labels.get(names.APP_NAME_LABEL) == names.PRODUCT
        ),
    ),
    ScopeRule(
        "pod annotation", Reason.POD_ANNOTATION_DISABLED, "the pod's annotation does not say no",
        lambda asked, candidate, known: candidate.wish.wish is annotation.Requested.NO,
    ),
)  # fmt: skip
"""In the order in which they are tried."""

MATCH_RULES: tuple[MatchRule, ...] = (
    MatchRule(
        "namespaceSelector", Reason.NAMESPACE_SELECTOR_MISMATCH,
        "the namespaceSelector matches the namespace's labels",
        lambda injection, candidate, known: (
            not injection.namespace_selector(known.namespace.labels)
        ),
    ),
    MatchRule(
        "selector", Reason.SELECTOR_MISMATCH, "the selector matches the pod's labels",
        lambda injection, candidate, known: not injection.selector(candidate.labels),
    ),
    MatchRule(
        "suspend", Reason.SUSPENDED, "the injection is not suspended",
        lambda injection, candidate, known: bool(injection.spec.get("suspend")),
    ),
    MatchRule(
        "pod annotation", Reason.NOT_LISTED,
        "the pod's annotation names it, or lists no injections", _is_unlisted,
    ),
    MatchRule(
        "activation", Reason.NOT_REQUESTED,
        "activation is Automatic, or the pod's annotation asks for it", _is_unasked,
    ),
    MatchRule(
        "hostNetworkPods", Reason.HOST_NETWORK,
        "the pod is not on the host network, or hostNetworkPods is Inject",
        lambda injection, candidate, known: (
            candidate.host_network and injection.spec.get("hostNetworkPods") != "Inject"
        ),
    ),
)  # fmt: skip
"""In the order in which they are tried."""
