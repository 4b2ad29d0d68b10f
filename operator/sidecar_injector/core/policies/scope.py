"""Which pods a policy means: those that the API server sends to the webhook, and no others.

Whoever narrows the webhook by its selectors or conditions keeps all of the injector away from the
other pods: there, a policy would add sidecars that nobody expects, and a guard would refuse pods
that nobody can complete.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, Final

from sidecar_injector import names
from sidecar_injector.core.pods import lenient

Json = dict[str, Any]
NOT_A_MIRROR_POD: Final[Json] = {
    "name": "not-a-mirror-pod",
    "expression": (
        "!has(object.metadata.annotations) ||"
        f" !('{names.MIRROR_ANNOTATION}' in object.metadata.annotations)"
    ),
}
"""The condition that the chart always gives the webhook, in the same words."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What one entry of a MutatingWebhookConfiguration selects, as it is written there."""

    namespaces: Json = dataclasses.field(default_factory=dict)
    """The namespaceSelector."""
    pods: Json = dataclasses.field(default_factory=dict)
    """The objectSelector."""
    conditions: tuple[Json, ...] = ()
    """The matchConditions."""


def of_webhook(configuration: Mapping[str, Any] | None) -> Scope | None:
    """The scope of our entry in this MutatingWebhookConfiguration; None if it has none."""
    for entry in lenient.objects(configuration or {}, "webhooks"):
        if entry.get("name") == names.MUTATE_WEBHOOK:
            return Scope(
                namespaces=lenient.child(entry, "namespaceSelector"),
                pods=lenient.child(entry, "objectSelector"),
                conditions=tuple(lenient.objects(entry, "matchConditions")),
            )
    return None


def constraints(scope: Scope, excluded: Iterable[str]) -> Json:
    """The `matchConstraints`: the webhook's, and never more than the chart's own without values.

    The `excluded` are names of namespaces.
    """
    namespaces = {
        "matchLabels": {names.INJECTION_LABEL: names.ENABLED},
        "matchExpressions": [_not_in(names.NAMESPACE_NAME_LABEL, *sorted(excluded))],
    }
    pods = {
        "matchExpressions": [
            _not_in(names.INJECTION_LABEL, names.DISABLED),
            _not_in(names.APP_NAME_LABEL, names.PRODUCT),
        ]
    }
    rule = {
        "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"],
        "scope": "Namespaced",
    }  # fmt: skip
    return {
        "matchPolicy": "Equivalent",
        "namespaceSelector": _both(namespaces, scope.namespaces),
        "objectSelector": _both(pods, scope.pods),
        "resourceRules": [rule],
    }


def conditions(scope: Scope) -> list[Json]:
    """The webhook's `matchConditions` as one, so that there is room for others; or none."""
    own = [each for each in scope.conditions if each != NOT_A_MIRROR_POD]
    # An expression may end with a comment.
    joined = " && ".join(f"({lenient.text(each, 'expression')}\n)" for each in own)
    return [{"name": "webhook", "expression": joined}] if own else []


def _not_in(key: str, *values: str) -> Json:
    return {"key": key, "operator": "NotIn", "values": [*values]}


def _both(ours: Json, theirs: Json) -> Json:
    """A selector of what both select, without saying twice what both say."""
    labels, expressions = ours.get("matchLabels", {}), [*ours["matchExpressions"]]
    for key, value in lenient.child(theirs, "matchLabels").items():
        if labels.get(key) != value:
            expressions.append({"key": key, "operator": "In", "values": [value]})
    expressions += [
        each
        for each in lenient.objects(theirs, "matchExpressions")
        if not any(_implies(own, each) for own in ours["matchExpressions"])
    ]
    return {**ours, "matchExpressions": expressions}


def _implies(ours: Json, theirs: Json) -> bool:
    is_same_kind = (ours["key"], ours["operator"]) == (theirs.get("key"), theirs.get("operator"))
    return is_same_kind and {*ours["values"]} >= {*lenient.strings(theirs, "values")}
