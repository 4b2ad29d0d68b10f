"""Expressions of CEL, made from values and from other expressions.

Whatever a user wrote ends up inside a literal: it can never become a part of the program.
https://kubernetes.io/docs/reference/using-api/cel/
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from sidecar_injector.core.merging.status_annotation import json_text

SHORT: Final = 1200
"""Characters of an expression before it is divided. The API server needs time that grows with the
square of the length: 30,000 characters take it 0.8 s, 25 variables of this length some milliseconds
(Kubernetes 1.37.2)."""
LONGEST: Final = 100_000
"""Code points of one expression that the API server accepts:
https://github.com/kubernetes/apiserver/blob/master/pkg/cel/environment/base.go"""
MOST_EXACT: Final = 2**53
"""A larger integer may lose digits on its way through a policy, where it is a float."""
_REFERENCE = re.compile(r"\bvariables\.([A-Za-z_0-9]+)")
_LITERAL = re.compile(r'"(?:[^"\\]|\\.)*"')
_SPECIAL = re.compile(r"([^A-Za-z0-9/_-])")


class Cel(str):
    """An expression. Any other `str` in a value is text."""

    __slots__ = ()


class NotExactError(ValueError):
    """A value that a policy cannot carry as it is."""


def text(value: str) -> str:
    """A literal of a text. JSON's escapes are CEL's, but for those of surrogates."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def literal(value: Any) -> str:
    """An expression for a value of JSON; in it, `Cel` stands for itself.

    Raises NotExactError for a number that would lose digits on its way through a policy.
    """
    match value:
        case Cel():
            return str(value)
        case str():
            return text(value)
        case list():
            one_type = is_uniform(value)
            items = (literal(item) if one_type else f"dyn({literal(item)})" for item in value)
            return f"[{', '.join(items)}]"
        case dict():
            members = (f"{text(k)}: dyn({literal(v)})" for k, v in value.items() if v is not None)
            return f"{{{', '.join(members)}}}"
    if isinstance(value, int) and abs(value) > MOST_EXACT:
        raise NotExactError(str(value))
    return json.dumps(value)


def is_uniform(items: Sequence[Any]) -> bool:
    """Whether the items of a list have one type in CEL."""
    return any(all(isinstance(item, kind) for item in items) for kind in (str, dict))


def strings(values: Iterable[str]) -> str:
    """A list of texts."""
    return literal([*values])


def total(parts: Iterable[str], empty: str = "[]") -> str:
    """The sum of lists or texts, balanced: a long chain of `+` is deeper than the parser goes."""
    parts = [part for part in parts if part and part != empty]
    if len(parts) < 2:
        return parts[0] if parts else empty
    half = len(parts) // 2
    return f"({total(parts[:half], empty)} + {total(parts[half:], empty)})"


def grouped(parts: Iterable[str]) -> list[list[str]]:
    """The parts in groups none of which is long, unless a part is; at least one group."""
    groups: list[list[str]] = [[]]
    for part in parts:
        if groups[-1] and sum(map(len, groups[-1])) + len(part) > SHORT:
            groups.append([])
        groups[-1].append(part)
    return groups


def joined(pieces: Iterable[str]) -> Cel:
    """A text that consists of texts and expressions."""
    merged: list[str] = []
    for piece in pieces:
        if merged and not isinstance(piece, Cel) and not isinstance(merged[-1], Cel):
            merged[-1] += piece
        elif piece:
            merged.append(piece)
    return Cel(total(map(literal, merged), '""'))


def every(conditions: Iterable[str]) -> str:
    """Whether all are true."""
    parts = [part for part in conditions if part != "true"]
    return f"({' && '.join(parts)})" if len(parts) > 1 else "".join(parts) or "true"


def some(conditions: Iterable[str]) -> str:
    """Whether one is true."""
    parts = [part for part in conditions if part != "false"]
    if "true" in parts:
        return "true"
    return f"({' || '.join(parts)})" if len(parts) > 1 else "".join(parts) or "false"


def either(condition: str, value: str, otherwise: str = "[]") -> str:
    """One of two expressions, which is nothing in a list unless the condition is true."""
    if condition in ("true", "false"):
        return value if condition == "true" else otherwise
    return f"({condition} ? {value} : {otherwise})"


def matches(value: str, globs: Iterable[str]) -> str:
    """Whether a text matches one of the globs of `*` and `?`."""
    globs = [*globs]
    if "*" in globs:
        return "true"
    patterns = "|".join(map(_pattern, globs))
    return f"{value}.matches({text(f'^(?:{patterns})$')})" if globs else "false"


def _pattern(glob: str) -> str:
    words = {"*": "(?s:.*)", "?": "(?s:.)"}
    return "".join(words.get(character) or _SPECIAL.sub(r"\\\1", character) for character in glob)


def selector(selector: Mapping[str, Any] | None, labels: str) -> str:
    """Whether a label selector matches; `labels` is an expression for a map."""
    selector = selector or {}
    requirements = [
        {"key": key, "operator": "In", "values": [value]}
        for key, value in (selector.get("matchLabels") or {}).items()
    ]
    requirements += selector.get("matchExpressions") or ()
    return every(_requirement(requirement, labels) for requirement in requirements)


def _requirement(requirement: Mapping[str, Any], labels: str) -> str:
    key, operator = text(requirement["key"]), requirement["operator"]
    holds = f"({key} in {labels})"
    if operator in ("In", "NotIn"):
        values = strings(requirement.get("values") or ())
        holds = f"({key} in {labels} && {labels}[{key}] in {values})"
    return f"!{holds}" if operator in ("NotIn", "DoesNotExist") else holds


def operation(path: str, value: Any) -> str:
    """An operation `add` of a JSON patch, as a map: variables know no types of patches."""
    return f'{{"p": dyn({text(path)}), "v": dyn({literal(value)})}}'


def json_of(value: Any) -> str:
    """An expression for the compact JSON of a value; a `Cel` must be printable ASCII at run time.

    `strings.quote` escapes what is in it: of printable ASCII, only `"` and `\\`, as JSON does.
    """
    return f"strings.quote({value})" if isinstance(value, Cel) else text(json_text(value))


def _used(expression: str) -> set[str]:
    """The variables that an expression refers to, outside of texts."""
    return set(_REFERENCE.findall(_LITERAL.sub("", expression)))


class Variables:
    """The variables of a policy, in the order in which they are defined."""

    def __init__(self) -> None:
        self._expressions: dict[str, str] = {}

    def let(self, name: str, expression: str) -> Cel:
        """Define a variable; the expression that refers to it.

        A policy with two variables of one name, of which the second refers to itself, ends the API
        server (Kubernetes 1.37.2): that is a mistake here and raises ValueError.
        """
        used = _used(expression)
        if name in self._expressions or not used <= self._expressions.keys():
            raise ValueError(f"variable {name} is there already, or comes before {sorted(used)}")
        self._expressions[name] = str(expression)
        return Cel(f"variables.{name}")

    def has(self, name: str) -> bool:
        """Whether there is a variable of this name."""
        return name in self._expressions

    def short(self, name: str, expression: str) -> str:
        """The expression, or a variable with it if it is long."""
        return self.let(name, expression) if len(expression) > SHORT // 8 else expression

    def sum(self, name: str, parts: Iterable[str], empty: str = "[]") -> str:
        """The sum of the parts, in variables none of which is long, unless a part is."""
        parts = [part for part in parts if part and part != empty]
        if len(groups := grouped(parts)) == 1:
            return total(parts, empty)
        sums = [self.let(f"{name}_{n}", total(group, empty)) for n, group in enumerate(groups)]
        return self.sum(f"{name}_", sums, empty)

    def used_by(self, *roots: str) -> list[dict[str, str]]:
        """The definitions that these expressions need, as a policy has them."""
        wanted = _used(" ".join(roots))
        needed = []
        for name, expression in reversed(self._expressions.items()):
            if name in wanted:
                needed.append({"name": name, "expression": expression})
                wanted |= _used(expression)
        return needed[::-1]
