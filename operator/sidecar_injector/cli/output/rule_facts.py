"""What the rules of matching saw, in the words that people use for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sidecar_injector import names
from sidecar_injector.core import matching
from sidecar_injector.core.injections import model, namespace_view
from sidecar_injector.core.pods import annotation

_OPERATORS = {"In": "in", "NotIn": "notin"}


def of_pod(rule: str, candidate: matching.Candidate, known: namespace_view.NamespaceView) -> str:
    """What the rule on the pod looked at; empty where its sentence says all."""
    match rule:
        case "namespace":
            return known.namespace.name
        case "namespace label":
            return _label(known.namespace.labels, said=names.ENABLED)
        case "pod label":
            return _label(candidate.labels, said=names.DISABLED)
        case "pod annotation":
            return wish(candidate.wish)
    return ""


def of_injection(
    rule: str,
    injection: model.Injection,
    candidate: matching.Candidate,
    known: namespace_view.NamespaceView,
) -> str:
    """What the rule on the injection looked at; empty where its sentence says all."""
    spec = injection.spec
    match rule:
        case "namespaceSelector":
            return _matched(spec.get("namespaceSelector"), known.namespace.labels)
        case "selector":
            return _matched(spec.get("selector"), candidate.labels)
        case "pod annotation":
            return wish(candidate.wish)
        case "activation":
            return f"{spec.get('activation')}; {wish(candidate.wish)}"
        case "hostNetworkPods":
            network = "the host's network" if candidate.host_network else "a network of its own"
            return f"{spec.get('hostNetworkPods')}; the pod has {network}"
    return ""


def wish(wished: annotation.InjectRequest) -> str:
    """What the pod's annotation says."""
    match wished.wish:
        case annotation.Requested.UNSAID:
            return "it cannot be read" if wished.unreadable else "it has none"
        case annotation.Requested.LISTED:
            return f"{names.INJECT_ANNOTATION} lists {', '.join(wished.listed)}"
    key = names.TUTORIAL_INJECT_ANNOTATION if wished.tutorial else names.INJECT_ANNOTATION
    return f"{key} says {wished.wish.value}"


def selector(given: Any) -> str:
    """A label selector as kubectl writes it."""
    text = ",".join(_requirements(given)) if isinstance(given, dict) else ""
    return text or "everything"


def labels(given: Mapping[str, Any]) -> str:
    """Labels as kubectl writes them."""
    return ",".join(f"{key}={value}" for key, value in sorted(given.items())) or "no labels"


def listed(value: Any) -> str:
    """A value of a decision's details."""
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _label(given: Mapping[str, Any], *, said: str) -> str:
    """Our label, unless it has the value that the rule's sentences name."""
    if names.INJECTION_LABEL not in given:
        return "it has none"
    value = given[names.INJECTION_LABEL]
    return "" if value == said else f"it has the value {value!r}"


def _matched(given: Any, found: Mapping[str, Any]) -> str:
    return f"{selector(given)} against {labels(found)}"


def _requirements(given: dict[str, Any]) -> Iterator[str]:
    for key, value in (given.get("matchLabels") or {}).items():
        yield f"{key}={value}"
    for one in given.get("matchExpressions") or ():
        key, operator = one.get("key"), one.get("operator")
        if operator in _OPERATORS:
            yield f"{key} {_OPERATORS[operator]} ({','.join(one.get('values') or ())})"
        else:
            yield key if operator == "Exists" else f"!{key}"
