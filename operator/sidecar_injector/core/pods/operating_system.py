"""For which operating system a pod is, by what its spec says about nodes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sidecar_injector.core.pods import lenient
from sidecar_injector.core.pods.lenient import Json

LINUX, WINDOWS = "Linux", "Windows"
ANY: Final = "Any"
"""What an injection says that is for both."""
LABELS: Final = ("kubernetes.io/os", "beta.kubernetes.io/os")
"""Every node has the first one, with the name of its system.
https://kubernetes.io/docs/reference/labels-annotations-taints/#kubernetes-io-os"""


def of(spec: Mapping[str, Any]) -> str:
    """The system of the pod; empty if nodes of neither system can run it.

    A pod that leaves both systems open is for Linux, because nodes of Windows are usually kept for
    pods that name them.
    """
    selected = spec.get("nodeSelector") or ()
    names_system = LABELS[0] in selected or LABELS[1] in selected
    if not names_system and not spec.get("affinity") and not spec.get("os"):
        return LINUX
    return next((system for system in (LINUX, WINDOWS) if _can_run(spec, system.lower())), "")


def _can_run(spec: Mapping[str, Any], system: str) -> bool:
    """Whether nodes that have this name in their label can run the pod."""
    if (lenient.text(spec.get("os"), "name") or system) != system:
        return False
    selected = spec.get("nodeSelector") or {}
    if any(selected.get(label, system) != system for label in LABELS):
        return False
    affinity = lenient.child(lenient.child(spec, "affinity"), "nodeAffinity")
    required = lenient.child(affinity, "requiredDuringSchedulingIgnoredDuringExecution")
    terms = lenient.objects(required, "nodeSelectorTerms")
    return not terms or any(_matches(term, system) for term in terms)


def _matches(term: Json, system: str) -> bool:
    """Whether nodes of this system can match a term; an empty term matches no node."""
    expressions = lenient.objects(term, "matchExpressions")
    return bool(expressions or lenient.items(term, "matchFields")) and all(
        _is_true(expression, system)
        for expression in expressions
        if expression.get("key") in LABELS
    )


def _is_true(expression: Json, system: str) -> bool:
    match expression.get("operator"):
        case "In":
            return system in lenient.items(expression, "values")
        case "NotIn":
            return system not in lenient.items(expression, "values")
        case "Gt" | "Lt":
            # They compare numbers, and the name of a system is none.
            return False
    return expression.get("operator") == "Exists" or expression.get("key") != LABELS[0]
