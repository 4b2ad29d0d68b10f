"""Label selectors, compiled once and called for each pod.

They mean the same as in the API machinery: all requirements must be true, an empty selector matches
everything, `NotIn` and `DoesNotExist` are true for labels that are absent.
https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from sidecar_injector.core.pods import formats

Labels = Mapping[str, str]
Selector = Callable[[Labels], bool]

_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_PREFIX = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist")


def everything(labels: Labels) -> bool:
    """An absent or empty selector."""
    return True


def nothing(labels: Labels) -> bool:
    """An unreadable selector, which matches no pod."""
    return False


def compile_selector(selector: Mapping[str, Any] | None) -> Selector:
    """A function from labels to match. The selector must be without `problems`."""
    equal = dict((selector or {}).get("matchLabels") or {})
    expressions = (selector or {}).get("matchExpressions") or ()
    requirements = [_requirement(expression) for expression in expressions]
    if not equal and not requirements:
        return everything
    if not requirements and len(equal) == 1:
        ((key, value),) = equal.items()
        return lambda labels: labels.get(key) == value

    def matches(labels: Labels) -> bool:
        return all(labels.get(key) == value for key, value in equal.items()) and all(
            requirement(labels) for requirement in requirements
        )

    return matches


def required_label(selector: Mapping[str, Any] | None) -> tuple[str, str] | None:
    """A label that every selected pod carries; None if there is no such label."""
    return next(iter(((selector or {}).get("matchLabels") or {}).items()), None)


def _requirement(expression: Mapping[str, Any]) -> Selector:
    key: str = expression["key"]
    values = frozenset(expression.get("values") or ())
    match expression["operator"]:
        case "In":
            return lambda labels: labels.get(key) in values
        case "NotIn":
            return lambda labels: key not in labels or labels[key] not in values
        case "Exists":
            return lambda labels: key in labels
    return lambda labels: key not in labels


def problems(selector: Mapping[str, Any] | None, *, path: str) -> Iterator[tuple[str, str]]:
    """Mistakes in a selector that the schema cannot find, as (field path, sentence)."""
    for key, value in ((selector or {}).get("matchLabels") or {}).items():
        yield from label_problems(key, value, path=f"{path}.matchLabels[{key}]")

    for index, expression in enumerate((selector or {}).get("matchExpressions") or ()):
        where = f"{path}.matchExpressions[{index}]"
        key, operator = expression.get("key", ""), expression.get("operator")
        values = expression.get("values") or ()
        if operator not in _OPERATORS:
            yield f"{where}.operator", f"{operator!r} must be one of {', '.join(_OPERATORS)}"
        elif operator in ("In", "NotIn") and not values:
            yield f"{where}.values", f"{operator} needs at least one value"
        elif operator in ("Exists", "DoesNotExist") and values:
            yield f"{where}.values", f"{operator} takes no values"
        for value in values or ("",):
            yield from label_problems(key, value, path=where)


def label_problems(key: str, value: object, *, path: str) -> Iterator[tuple[str, str]]:
    """Why key and value cannot be a label, as (field path, sentence)."""
    if not is_qualified_name(key):
        expected = "no label key (an optional DNS prefix and '/', then a name)"
        yield path, f"key {formats.quoted(key)} is {expected}"
    if not isinstance(value, str) or not _VALUE.fullmatch(value):
        expected = (
            "no label value (a string of at most 63 of A-Z a-z 0-9 - _ ., with a letter or digit"
            " at both ends)"
        )
        yield path, f"value {formats.quoted(value)} is {expected}"


def is_qualified_name(key: str) -> bool:
    """Whether a key is valid: an optional DNS prefix and a slash, then at most 63 characters."""
    prefix, slash, name = key.rpartition("/")
    if slash and not (len(prefix) <= 253 and _PREFIX.fullmatch(prefix)):
        return False
    return bool(name) and _VALUE.fullmatch(name) is not None


def text(selector: object) -> str:
    """A selector as kubectl writes it."""
    requirements = ",".join(_texts(selector)) if isinstance(selector, dict) else ""
    return requirements or "everything"


def labels_text(labels: Mapping[str, Any]) -> str:
    """Labels as kubectl writes them."""
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items())) or "no labels"


def _texts(selector: dict[str, Any]) -> Iterator[str]:
    for key, value in (selector.get("matchLabels") or {}).items():
        yield f"{key}={value}"
    for expression in selector.get("matchExpressions") or ():
        key, operator = expression.get("key"), expression.get("operator")
        if operator in ("In", "NotIn"):
            yield f"{key} {operator.lower()} ({','.join(expression.get('values') or ())})"
        else:
            yield key if operator == "Exists" else f"!{key}"
