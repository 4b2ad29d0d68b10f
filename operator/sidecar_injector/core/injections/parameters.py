"""Typed placeholders in templates, replaced for each pod.

Substitution works on the parsed tree: a value becomes a part of one string, or one typed leaf, and
can never add structure, whatever it contains. `$(VAR)` of Kubernetes itself is not changed, and a
doubled `$$` stays as it is, as in Kubernetes:
https://kubernetes.io/docs/tasks/inject-data-application/define-interdependent-environment-variables/
"""

from __future__ import annotations

import collections
import functools
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import re2  # type: ignore[import-untyped]  # google-re2 ships no types

from sidecar_injector.core.injections import schema
from sidecar_injector.core.injections.schema import Problem, Schema
from sidecar_injector.core.pods import quantity
from sidecar_injector.core.reasons import Conflict, Reason

Value = str | int
Values = Mapping[str, Value]
"""The values of tokens, by the name between the parentheses."""

TOKEN = re.compile(r"\$\$|\$\((params\.[^()$]*|pod\.[^()$]*|injection\.[^()$]*)\)")
HINT = ("$(params.", "$(pod.", "$(injection.")
MAX_NAMESPACE_BYTES: Final = 8192
"""Of the annotations of a namespace: there are thousands of them, and each may have 256 KiB."""
_INTEGER = re.compile(r"-?[0-9]{1,18}")
BUILT_IN = ("pod.namespace", "pod.serviceAccountName", "injection.name")
SOURCES: Mapping[str, str] = {
    "podAnnotation": "the pod's annotation",
    "podLabel": "the pod's label",
    "namespaceAnnotation": "the namespace's annotation",
    "namespaceLabel": "the namespace's label",
}
"""The fields of `from`, in words."""
FILLED = ("template", "applicationContainers", "inherit")
"""The parts of a spec in which tokens are replaced."""
IDENTITIES = frozenset(
    {"name", "mountPath", "devicePath", "containerPort", "ip", "topologyKey", "whenUnsatisfiable"}
)
"""Fields by which lists are merged, or which refer to such a field. They must not depend on a
pod."""
IN_KEY = "{}"
"""The field of a token in a key; no real field has this name, while some are called `key`."""
EXPANDED = frozenset({"command", "args", "value"})
"""Fields in which the kubelet expands `$(VAR)`, so dollars in a value are doubled."""


MAX_PATTERN_BYTES = 2 << 20
"""Of a compiled pattern. RE2 refuses a pattern that needs more."""
MAX_MATCHED = 1024
"""Bytes of a value that a pattern accepts."""
MAX_STEPS = 1 << 18
"""Bytes of a value times instructions of its pattern: about a millisecond where RE2 is slowest."""
MAX_FILLED = 64 * 1024
"""Characters that all parameters of an injection fill in together, each as often as it is used.
A pod's author chooses the values, so without a limit one annotation could fill the memory."""


class Incomplete(dict[str, str]):
    """Annotations without those that are too large to be kept."""


def resolve(
    parameters: list[Mapping[str, Any]], *, sources: Mapping[str, Mapping[str, Any]]
) -> dict[str, Value]:
    """The values of all parameters, as `params.NAME`.

    `sources` has the labels and annotations by the names in SOURCES. Raises Conflict with
    MissingValue or InvalidValue.
    """
    return {
        f"params.{parameter['name']}": _resolve(parameter, sources=sources)
        for parameter in parameters
    }


def _resolve(parameter: Mapping[str, Any], *, sources: Mapping[str, Mapping[str, Any]]) -> Value:
    (source, key) = next((kind, name) for kind, name in parameter["from"].items() if name)
    if key not in sources[source] and isinstance(sources[source], Incomplete):
        detail = f"parameter {parameter['name']} is read from {SOURCES[source]} {key!r}"
        cause = f"of which only {MAX_NAMESPACE_BYTES // 1024} KiB are kept, the shortest first"
        raise Conflict(Reason.INVALID_VALUE, f"{detail}, {cause}")
    raw = sources[source].get(key, parameter.get("default"))
    if raw is None:
        detail = f"parameter {parameter['name']} is read from {SOURCES[source]} {key!r}"
        raise Conflict(Reason.MISSING_VALUE, f"{detail}, which is not set")
    value, sentence = convert(parameter, raw)
    if sentence:
        where = f"{SOURCES[source]} {key!r}" if key in sources[source] else "its default"
        raise Conflict(
            Reason.INVALID_VALUE, f"parameter {parameter['name']}, from {where}: {sentence}"
        )
    return value


def convert(parameter: Mapping[str, Any], raw: Any) -> tuple[Value, str]:
    """A value converted to the parameter's type, and why it is not accepted (empty if it is).

    The sentence does not repeat the value, which may be long or private.
    """
    text = str(raw)
    value: Value = text
    if parameter.get("type") == "Integer":
        if not _INTEGER.fullmatch(text):
            return text, "must be an integer"
        value = int(text)
    elif parameter.get("type") == "Quantity" and quantity.parse(text) is None:
        return text, "must be a quantity such as 500m or 64Mi"
    accepted = [str(item) for item in parameter.get("enum") or ()]
    if accepted and text not in accepted:
        return value, f"must be one of {', '.join(accepted)}"
    if pattern := parameter.get("pattern"):
        regexp, most = _compiled(pattern), longest_match(pattern)
        if len(text.encode(errors="surrogatepass")) > most:
            return value, f"must have at most {most} bytes, for its pattern"
        if not regexp.fullmatch(text):
            return value, f"must match {pattern} in full"
    return value, ""


def longest_match(pattern: str) -> int:
    """The most bytes of a value that a pattern accepts."""
    return min(MAX_MATCHED, int(MAX_STEPS // _compiled(pattern).programsize))


def check_size(values: Values, uses: Mapping[str, int]) -> None:
    """Raises Conflict with InvalidValue if the values are too long where they are filled in."""
    size = sum(count * len(str(values[name])) for name, count in uses.items())
    if size > MAX_FILLED:
        raise Conflict(
            Reason.INVALID_VALUE,
            f"its parameters fill in {size} characters, at most {MAX_FILLED} are accepted",
        )


def substitute(tree: Any, values: Values, *, shape: Schema, field: str = "") -> Any:
    """The tree with its tokens replaced; parts without tokens stay the same objects.

    A leaf that consists of one token becomes the value itself, with its type, unless `shape`, the
    schema of the tree, wants a string.
    """
    if isinstance(tree, dict):
        return _same_or_new(
            tree,
            {
                key: substitute(item, values, shape=schema.member(shape, key), field=key)
                for key, item in tree.items()
            },
        )
    if isinstance(tree, list):
        items = schema.member(shape, None)
        return _same_or_new(
            tree, [substitute(item, values, shape=items, field=field) for item in tree]
        )
    if not isinstance(tree, str) or not any(hint in tree for hint in HINT):
        return tree
    escape = _doubled if field in EXPANDED else str
    if name := _whole(tree):
        value = values[name]
        return value if isinstance(value, int) and not schema.is_text(shape) else escape(value)
    return TOKEN.sub(_replacement(values, escape), tree)


def tokens(tree: Any, *, path: str, field: str = "") -> Iterator[tuple[str, str, str]]:
    """Every token of a tree, as (path, field, name); a token in a key has the field IN_KEY."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from ((f"{path}[{key}]", IN_KEY, name) for name in _named(key))
            yield from tokens(value, path=f"{path}.{key}", field=key)
    elif isinstance(tree, list):
        for index, item in enumerate(tree):
            yield from tokens(item, path=f"{path}[{index}]", field=field)
    elif isinstance(tree, str):
        yield from ((path, field, name) for name in _named(tree))


def token_uses(spec: Mapping[str, Any]) -> Mapping[str, int]:
    """How often each token is in the parts of a spec that are filled in."""
    parts = (tokens(spec.get(part), path=part) for part in FILLED)
    return collections.Counter(name for part in parts for _, _, name in part)


def problems(spec: Mapping[str, Any]) -> Iterator[Problem]:
    """Mistakes in the parameters of an injection and in its tokens."""
    parameters = spec.get("parameters") or ()
    for index, parameter in enumerate(parameters):
        yield from _declaration_problems(parameter, path=f"spec.parameters[{index}]")
    accepted = {f"params.{parameter.get('name')}" for parameter in parameters} | set(BUILT_IN)
    for part in FILLED:
        for path, field, name in tokens(spec.get(part), path=f"spec.{part}"):
            if name not in accepted:
                yield Problem(
                    path, f"$({name}) is unknown; known are {', '.join(sorted(accepted))}"
                )
            elif field == IN_KEY or field in IDENTITIES:
                yield Problem(path, f"$({name}) is not accepted in names and keys")


def type_problems(spec: Mapping[str, Any], spec_schema: Schema) -> Iterator[Problem]:
    """Tokens that are the whole value of a field that no value of their type fits."""
    types = {
        f"params.{parameter['name']}": parameter.get("type") or "String"
        for parameter in spec.get("parameters") or ()
    }
    for part in FILLED:
        shape = schema.member(spec_schema, part)
        for path, field_shape, name in _whole_values(spec.get(part), shape, path=f"spec.{part}"):
            kind = types.get(name)
            if kind == "Integer" and schema.is_word(field_shape):
                yield Problem(path, f"$({name}) is an Integer, which is none of the accepted words")
            elif kind in ("String", "Quantity") and schema.is_integer(field_shape):
                yield Problem(path, f"$({name}) must be a parameter of type Integer here")


def _whole_values(tree: Any, shape: Schema, *, path: str) -> Iterator[tuple[str, Schema, str]]:
    """Every token that is a whole value, as (path, schema of the field, name)."""
    if isinstance(tree, dict):
        for key, item in tree.items():
            yield from _whole_values(item, schema.member(shape, key), path=f"{path}.{key}")
    elif isinstance(tree, list):
        items = schema.member(shape, None)
        for index, item in enumerate(tree):
            yield from _whole_values(item, items, path=f"{path}[{index}]")
    elif isinstance(tree, str) and (name := _whole(tree)):
        yield path, shape, name


def _whole(text: str) -> str | None:
    """The name of the token that is the whole text."""
    match = TOKEN.fullmatch(text)
    return match[1] if match else None


def _declaration_problems(parameter: Mapping[str, Any], *, path: str) -> Iterator[Problem]:
    chosen = [key for key, value in (parameter.get("from") or {}).items() if value]
    if len(chosen) != 1:
        yield Problem(f"{path}.from", f"must have exactly one of {', '.join(SOURCES)}")
    if parameter.get("enum") and parameter.get("pattern"):
        yield Problem(f"{path}.pattern", "cannot be given together with enum: give one of the two")
    if (pattern := parameter.get("pattern")) and (refused := pattern_problem(pattern)):
        yield Problem(f"{path}.pattern", f"is not an RE2 expression: {_located(pattern, refused)}")
        return
    for index, value in enumerate(parameter.get("enum") or ()):
        if sentence := _type_problem(parameter, value):
            yield Problem(f"{path}.enum[{index}]", sentence, repr(value))
    if (default := parameter.get("default")) is not None:
        _, refusal = convert(parameter, default)
        # For CEL 5 and '5' are different.
        if not refusal and parameter.get("enum") and default not in parameter["enum"]:
            refusal = f"must be written as in enum: {', '.join(map(repr, parameter['enum']))}"
        if sentence := _type_problem(parameter, default) or refusal:
            yield Problem(f"{path}.default", sentence, repr(default))


def _type_problem(parameter: Mapping[str, Any], value: Any) -> str:
    """Why a value in the injection itself is not accepted; empty if it is."""
    if parameter.get("type", "String") == "String" and not isinstance(value, str):
        return "must be a string: put it in quotes, or set type: Integer"
    _, sentence = convert({"type": parameter.get("type")}, value)
    return sentence


def _located(pattern: str, message: str) -> str:
    """RE2's message, with the position of the part that it names.

    The message ends with the part that RE2 could not read, without its position:
    https://github.com/google/re2/blob/main/re2/regexp.h
    """
    _, separator, part = message.rpartition(": ")
    at = pattern.find(part) if separator and part else -1
    if part == pattern:
        # For an unbalanced bracket RE2 names the whole pattern: find where the error first occurs.
        kind = message.removesuffix(part)
        ends = range(1, len(pattern) + 1)
        at = next(end for end in ends if pattern_problem(pattern[:end]).startswith(kind)) - 1
    return f"{message}, at character {at + 1} of {pattern!r}" if at >= 0 else message


def pattern_problem(pattern: str) -> str:
    """Why RE2 does not accept a pattern; empty if it does."""
    try:
        _compiled(pattern)
    except re2.error as error:
        first = error.args[0] if error.args else error
        return first.decode(errors="replace") if isinstance(first, bytes) else str(first)
    return ""


@functools.lru_cache(maxsize=16)
def _compiled(pattern: str) -> Any:
    """The pattern compiled by RE2, which takes up to 1 ms. Raises re2.error.

    A pattern of an injection has at most 256 characters, and takes up to twice MAX_PATTERN_BYTES in
    memory while it is used. The module `re2` would keep 128 of them.
    """
    options = re2.Options()
    options.log_errors = False
    options.max_mem = MAX_PATTERN_BYTES
    regexp = re2.compile(pattern, options=options)
    re2.purge()
    return regexp


def _named(text: str) -> Iterator[str]:
    return (match[1] for match in TOKEN.finditer(text) if match[1])


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
    return old if all(before is after for before, after in pairs) else new
