"""The decision about the pods that a controller will make of a template.

What only the cluster knows about these pods, or only the controller, is left to the webhook.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from sidecar_injector.core import decide, decision, matching, near_misses
from sidecar_injector.core.injections import model, namespace_view
from sidecar_injector.core.merging import status_annotation
from sidecar_injector.core.pods import controllers, selectors, workloads
from sidecar_injector.core.pods import fields as pod_fields
from sidecar_injector.core.reasons import Reason

Json = dict[str, Any]
_OF_POD = {"podLabel", "podAnnotation"}
_COMPARING = {"In", "NotIn"}
_OTHER_RULES = [
    rule for rule in matching.MATCH_RULES if rule.reason is not Reason.SELECTOR_MISMATCH
]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TemplateDecision:
    """What becomes of the pods of a template."""

    request: namespace_view.PodRequest
    view: namespace_view.NamespaceView
    """Without the undecided injections."""
    decision: decision.Decision
    undecided: Mapping[model.Injection, str]
    """The injections that depend on unknown labels or annotations, each with one of their keys."""


def decide_template(
    manifest: Mapping[str, Any],
    path: workloads.Path,
    template: Json,
    *,
    view: namespace_view.NamespaceView,
    account: Json | None = None,
    is_waited_for: bool = False,
) -> TemplateDecision:
    """The decision about the pod that a workload makes of the template at the path.

    What is wrong with the workload's own metadata is among the findings. Raises
    `budget.LongWorkError` if it is waited for and takes long.
    """
    expected = controllers.expected(manifest, path, template, account=account)
    request = namespace_view.PodRequest(
        namespace=view.namespace.name, pod=expected.pod, is_waited_for=is_waited_for
    )
    undecided = _undecided(request, view, expected.unknown)
    view = _without(view, undecided)
    decided = _decided_without(decide.decide(request, view), undecided)
    if misplaced := near_misses.of_workload(manifest, path):
        findings = [*decided.annotation_findings, *misplaced]
        decided = dataclasses.replace(decided, annotation_findings=findings)
    return TemplateDecision(request=request, view=view, decision=decided, undecided=undecided)


def _undecided(
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


def _without(
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


def _decided_without(
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
