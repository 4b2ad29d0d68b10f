"""What files do not say about a pod, and which injections depend on it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from sidecar_injector import names
from sidecar_injector.core import decision, matching
from sidecar_injector.core.injections import model, namespace_view
from sidecar_injector.core.merging import status_annotation
from sidecar_injector.core.pods import controllers, selectors
from sidecar_injector.core.pods import fields as pod_fields
from sidecar_injector.core.reasons import Level, Reason

_OF_POD = {"podLabel", "podAnnotation"}
_COMPARING = {"In", "NotIn"}
_OTHER_RULES = [
    rule for rule in matching.MATCH_RULES if rule.reason is not Reason.SELECTOR_MISMATCH
]


def undecided(
    request: namespace_view.PodRequest,
    view: namespace_view.NamespaceView,
    unknown: frozenset[str],
) -> dict[model.Injection, str]:
    """The injections that depend on unknown labels or annotations, each with one of their keys."""
    recorded = status_annotation.read(pod_fields.metadata_map(request.pod, "annotations"))
    candidate = matching.candidate_of(request.pod, recorded)
    if not unknown or matching.out_of_scope(request, candidate, view):
        return {}
    return {
        injection: key
        for injection in view.injections
        if not injection.errors
        and (key := _unknown_key(injection, unknown))
        and _may_select(injection, unknown, candidate.labels)
        and not any(rule.stops(injection, candidate, view) for rule in _OTHER_RULES)
    }


def without(
    view: namespace_view.NamespaceView, injections: Mapping[model.Injection, str]
) -> namespace_view.NamespaceView:
    """The view without these injections."""
    if not injections:
        return view
    cluster, own = (
        namespace_view.Index(
            injection for injection in index.injections if injection not in injections
        )
        for index in (view.cluster, view.own)
    )
    return dataclasses.replace(view, cluster=cluster, own=own)


def decided_without(
    decided: decision.Decision, injections: Mapping[model.Injection, str]
) -> decision.Decision:
    """The decision that knows these injections by name, although it was made without them."""
    references = {injection.reference for injection in injections}
    names = references | {injection.name for injection in injections}
    findings = [item for item in decided.annotation_findings if item.subject not in names]
    return dataclasses.replace(decided, annotation_findings=findings)


def _unknown_key(injection: model.Injection, unknown: frozenset[str]) -> str:
    """A label or annotation of the pod whose value the injection depends on; empty without one."""
    selector = injection.spec.get("selector") or {}
    keys = {
        *(selector.get("matchLabels") or ()),
        *(expression.get("key") for expression in _comparisons(selector)),
        *(
            key
            for parameter in injection.spec.get("parameters") or ()
            for source, key in (parameter.get("from") or {}).items()
            if source in _OF_POD
        ),
    }
    return min(keys & unknown, default="")


def _comparisons(selector: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [
        expression
        for expression in selector.get("matchExpressions") or ()
        if expression.get("operator") in _COMPARING
    ]


def _may_select(
    injection: model.Injection, unknown: frozenset[str], labels: Mapping[str, str]
) -> bool:
    """Whether the selector matches if the unknown values are the right ones."""
    selector = injection.spec.get("selector") or {}
    equal = selector.get("matchLabels") or {}
    comparisons = [item for item in _comparisons(selector) if item.get("key") in unknown]
    reduced = {
        "matchLabels": {key: value for key, value in equal.items() if key not in unknown},
        "matchExpressions": [
            item for item in selector.get("matchExpressions") or () if item not in comparisons
        ],
    }
    return selectors.compile_selector(reduced)(labels)


def notes(
    decided: decision.Decision,
    undecided: Mapping[model.Injection, str],
    *,
    knows_account: bool,
    knows_namespace: bool,
) -> Iterator[str]:
    """What could not be known for a decision, in sentences."""
    for injection, key in undecided.items():
        yield (
            f"{injection.reference} depends on {key!r}, whose value only the cluster knows: it is"
            " left to the webhook"
        )
    for line in decided.evaluated:
        if line.reason.level is Level.MATCH or line.injection.errors:
            continue
        is_conflict = line.reason is Reason.MOUNT_PATH_CONFLICT
        if is_conflict and not knows_account and names.TOKEN_PATH in line.message:
            yield (
                f"{line.injection.reference} would fit if the ServiceAccount had"
                " automountServiceAccountToken: false, which no file says"
            )
        for parameter in line.injection.spec.get("parameters") or ():
            annotation = (parameter.get("from") or {}).get("namespaceAnnotation")
            if annotation and not knows_namespace and parameter.get("default") is not None:
                yield (
                    f"{line.injection.reference} reads the annotation {annotation!r} of the"
                    " namespace,"
                    " which is in no file: the default counts"
                )


def note_on_pull_secrets(written: Mapping[str, Any], decided: decision.Decision) -> str:
    """A sentence about the ServiceAccount's pull secrets; empty if they still reach the pod."""
    if (written.get("spec") or {}).get("imagePullSecrets"):
        return ""
    path = "/spec/imagePullSecrets"
    if not any(operation["path"].startswith(path) for operation in decided.operations):
        return ""
    account = controllers.account_of(written)
    return (
        f"the manifest has imagePullSecrets now, so the pod no longer gets those of the"
        f" ServiceAccount {account!r}: name them in the manifest if it has any"
    )
