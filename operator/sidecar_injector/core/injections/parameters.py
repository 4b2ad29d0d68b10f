"""Typed holes in templates, filled per pod.

Substitution works on the parsed tree: a value ends up inside one string, or is one typed leaf, and
can never add structure, whatever it holds. `$(VAR)` of Kubernetes itself is left alone, and a
doubled `$$` stays as it is, as in Kubernetes:
https://kubernetes.io/docs/tasks/inject-data-application/define-interdependent-environment-variables/
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import re2  # type: ignore[import-untyped]  # google-re2 ships no types

from sidecar_injector.core.injections.schema import Problem
from sidecar_injector.core.pods import quantity
from sidecar_injector.core.reasons import Reason

Value = str | int
Values = Mapping[str, Value]
"""What a token stands for, by what is between its parentheses."""

_TOKEN = re.compile(r"\$\$|\$\((params\.[^()$]*|pod\.[^()$]*|injection\.[^()$]*)\)")
_HINT = ("$(params.", "$(pod.", "$(injection.")
_INTEGER = re.compile(r"-?[0-9]{1,18}")
BUILT_IN = ("pod.namespace", "pod.serviceAccountName", "injection.name")
SOURCES = ("podAnnotation", "podLabel", "namespaceAnnotation", "namespaceLabel")
IDENTITIES = frozenset(
    {"name", "mountPath", "devicePath", "containerPort", "ip", "topologyKey", "whenUnsatisfiable"}
)
"""Fields by which lists are merged, or which refer to such a field: they must be known before a
pod is."""
IN_KEY = "{}"
"""Where `tokens` finds one in a key: no field is called so, while some are called `key`."""
EXPANDED = frozenset({"command", "args", "value"})
"""Fields in which the kubelet expands `$(VAR)`: a value's own dollars are doubled there."""


class UnresolvedError(Exception):
    """A parameter has no usable value on this pod."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason.value}: {detail}")
        self.reason = reason
        self.detail = detail


def resolve(
    parameters: list[Mapping[str, Any]], *, sources: Mapping[str, Mapping[str, Any]]
) -> dict[str, Value]:
    """The values of all parameters, as `params.NAME`.

    `sources` has the labels and annotations by the names in SOURCES. Raises UnresolvedError with
    MissingValue or InvalidValue.
    """
    return {f"params.{one['name']}": _resolve(one, sources=sources) for one in parameters}


def _resolve(parameter: Mapping[str, Any], *, sources: Mapping[str, Mapping[str, Any]]) -> Value:
    (source, key) = next((kind, name) for kind, name in parameter["from"].items() if name)
    found = sources[source].get(key, parameter.get("default"))
    if found is None:
        detail = f"parameter {parameter['name']} is read from {_spoken(source)} {key!r}"
        raise UnresolvedError(Reason.MISSING_VALUE, f"{detail}, which is not set")
    value, sentence = judged(parameter, found)
    if sentence:
        where = f"{_spoken(source)} {key!r}" if key in sources[source] else "its default"
        raise UnresolvedError(
            Reason.INVALID_VALUE, f"parameter {parameter['name']}, from {where}: {sentence}"
        )
    return value


def judged(parameter: Mapping[str, Any], found: Any) -> tuple[Value, str]:
    """A value as the parameter's type, and what is wrong with it (nothing if the text is empty).

    The sentence does not repeat the value: it may be long, and it is not ours to spread.
    """
    text = str(found)
    value: Value = text
    if parameter.get("type") == "Integer":
        if not _INTEGER.fullmatch(text):
            return text, "must be an integer"
        value = int(text)
    elif parameter.get("type") == "Quantity" and quantity.parse(text) is None:
        return text, "must be a quantity such as 500m or 64Mi"
    accepted = [str(one) for one in parameter.get("enum") or ()]
    if accepted and text not in accepted:
        return value, f"must be one of {', '.join(accepted)}"
    if (pattern := parameter.get("pattern")) and not re2.fullmatch(pattern, text):
        return value, f"must match {pattern} in full"
    return value, ""


def substitute(tree: Any, values: Values, *, field: str = "") -> Any:
    """The tree with its tokens replaced; parts without tokens are the same objects, not copies.

    A leaf that is one whole token becomes the value itself, with its type.
    """
    if isinstance(tree, dict):
        return _same_or_new(tree, {k: substitute(v, values, field=k) for k, v in tree.items()})
    if isinstance(tree, list):
        return _same_or_new(tree, [substitute(item, values, field=field) for item in tree])
    if not isinstance(tree, str) or not any(hint in tree for hint in _HINT):
        return tree
    escape = _doubled if field in EXPANDED else str
    whole = _TOKEN.fullmatch(tree)
    if whole and whole[1]:
        value = values[whole[1]]
        return value if isinstance(value, int) and field not in EXPANDED else escape(value)
    return _TOKEN.sub(_replacement(values, escape), tree)


def tokens(tree: Any, *, path: str, field: str = "") -> Iterator[tuple[str, str, str]]:
    """Every token of a tree, as (path, field, name); those in keys have the field IN_KEY."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from ((f"{path}[{key}]", IN_KEY, name) for name in _named(key))
            yield from tokens(value, path=f"{path}.{key}", field=key)
    elif isinstance(tree, list):
        for index, item in enumerate(tree):
            yield from tokens(item, path=f"{path}[{index}]", field=field)
    elif isinstance(tree, str):
        yield from ((path, field, name) for name in _named(tree))


def problems(spec: Mapping[str, Any]) -> Iterator[Problem]:
    """What is wrong with the parameters of an injection and with the tokens in it."""
    parameters = spec.get("parameters") or ()
    for index, parameter in enumerate(parameters):
        yield from _declaration_problems(parameter, path=f"spec.parameters[{index}]")
    known = {f"params.{one.get('name')}" for one in parameters} | set(BUILT_IN)
    for part in ("template", "applicationContainers", "inherit"):
        for path, field, name in tokens(spec.get(part), path=f"spec.{part}"):
            if name not in known:
                yield path, f"$({name}) is unknown; known are {', '.join(sorted(known))}"
            elif field == IN_KEY or field in IDENTITIES:
                yield path, f"$({name}) is not accepted in names and keys"


def _declaration_problems(parameter: Mapping[str, Any], *, path: str) -> Iterator[Problem]:
    chosen = [key for key, value in (parameter.get("from") or {}).items() if value]
    if len(chosen) != 1:
        yield f"{path}.from", f"must have exactly one of {', '.join(SOURCES)}"
    if parameter.get("enum") and parameter.get("pattern"):
        yield f"{path}.pattern", "cannot be given together with enum: give one of the two"
    if (pattern := parameter.get("pattern")) and (refused := _pattern_problem(pattern)):
        yield f"{path}.pattern", f"is no RE2 expression: {_located(pattern, refused)}"
        return
    for index, one in enumerate(parameter.get("enum") or ()):
        if sentence := _type_problem(parameter, one):
            yield f"{path}.enum[{index}]", f"{one!r} {sentence}"
    if (default := parameter.get("default")) is not None:
        _, refusal = judged(parameter, default)
        # CEL compares 5 and '5' as two things.
        if not refusal and parameter.get("enum") and default not in parameter["enum"]:
            refusal = f"must be written as in enum: {', '.join(map(repr, parameter['enum']))}"
        if sentence := _type_problem(parameter, default) or refusal:
            yield f"{path}.default", f"{default!r} {sentence}"


def _type_problem(parameter: Mapping[str, Any], one: Any) -> str:
    """What is wrong with a value that the injection itself gives; nothing if the text is empty."""
    if parameter.get("type", "String") == "String" and not isinstance(one, str):
        return "must be a string: put it in quotes, or set type: Integer"
    _, sentence = judged({"type": parameter.get("type")}, one)
    return sentence


def _located(pattern: str, message: str) -> str:
    """RE2's message, and where the part stands that it names.

    RE2 gives the part that it could not read at the end of its message, and no position:
    https://github.com/google/re2/blob/main/re2/regexp.h
    """
    _, separator, part = message.rpartition(": ")
    at = pattern.find(part) if separator and part else -1
    if part == pattern:
        # An unbalanced bracket comes with the whole pattern: it is where reading first fails so.
        kind = message.removesuffix(part)
        ends = range(1, len(pattern) + 1)
        at = next(end for end in ends if _pattern_problem(pattern[:end]).startswith(kind)) - 1
    return f"{message}, at character {at + 1} of {pattern!r}" if at >= 0 else message


def _pattern_problem(pattern: str) -> str:
    """Why RE2 does not take a pattern; nothing if the text is empty."""
    options = re2.Options()
    options.log_errors = False
    try:
        re2.compile(pattern, options=options)
    except re2.error as error:
        first = error.args[0] if error.args else error
        return first.decode(errors="replace") if isinstance(first, bytes) else str(first)
    return ""


def _named(text: str) -> Iterator[str]:
    return (match[1] for match in _TOKEN.finditer(text) if match[1])


def _replacement(values: Values, escape: Callable[[Value], str]) -> Callable[[re.Match[str]], str]:
    return lambda match: escape(values[match[1]]) if match[1] else match[0]


def _doubled(value: Value) -> str:
    return str(value).replace("$", "$$")


def _same_or_new(old: Any, new: Any) -> Any:
    pairs = (
        zip(old.values(), new.values(), strict=True)
        if isinstance(old, dict)
        else zip(old, new, strict=True)
    )
    return old if all(one is other for one, other in pairs) else new


def _spoken(source: str) -> str:
    return {
        "podAnnotation": "the pod's annotation",
        "podLabel": "the pod's label",
        "namespaceAnnotation": "the namespace's annotation",
        "namespaceLabel": "the namespace's label",
    }[source]
