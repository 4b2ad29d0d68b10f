"""A CRD's structural schema, applied to objects from files as the API server applies it.

`defaulted` and `problems` do what the API server does with `openAPIV3Schema`:
https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/
CEL rules are not evaluated here; the module `rules` repeats each of them.
"""

from __future__ import annotations

import dataclasses
import difflib
import operator
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sidecar_injector.core.pods import quantity

Schema = Mapping[str, Any]
Root = tuple[str, Schema]
"""The path and the schema of the whole value."""

MAX_SHOWN = 60
"""Characters of a value in a message."""
MAX_DEPTH = 4
"""Objects within each other in which an unknown field is looked for; in a spec these are the
containers."""
MAX_KEY = 128
"""Characters of a key in the path of a message."""


@dataclasses.dataclass(frozen=True, slots=True)
class Problem:
    """A mistake in a field."""

    path: str
    expectation: str
    """What is expected of the field, or what is wrong with it."""
    value: str = ""
    """The value, shortened for people; it may be private. Empty where the path is enough."""

    @property
    def sentence(self) -> str:
        """All that people read after the field path."""
        return f"{self.value} {self.expectation}" if self.value else self.expectation

    def __str__(self) -> str:
        return f"{self.path}: {self.sentence}"


_TYPES: Mapping[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
}


def defaulted(schema: Schema, value: Any) -> Any:
    """The value with the schema's defaults filled in; the original is not changed.

    As on the API server, a default is filled in only if its parent object exists, and a null member
    counts as absent. A complete value, as the API server sends it, is not copied: otherwise a
    thousand injections would be in memory twice.
    """
    if isinstance(value, dict):
        properties = schema.get("properties") or {}
        rest = schema.get("additionalProperties")
        shapes = {
            key: properties.get(key, rest if isinstance(rest, dict) else None) for key in value
        }
        result = {
            key: defaulted(shapes[key] or {}, item)
            for key, item in value.items()
            if item is not None or shapes[key] is None
        }
        for key, sub in properties.items():
            if "default" in sub and result.get(key) is None:
                result[key] = defaulted(sub, sub["default"])
        same = result.keys() == value.keys() and all(result[key] is value[key] for key in value)
        return value if same else result
    if isinstance(value, list):
        items = [defaulted(schema.get("items") or {}, item) for item in value]
        return value if all(map(operator.is_, items, value)) else items
    return value


PLACEHOLDER = "$(params.NAME)"
_PLACEHOLDER_PATTERN = r"^\$\(params\."
"""The start of the pattern that accepts a token in a field of another type."""


def problems(
    schema: Schema,
    value: Any,
    *,
    path: str = "",
    tokens: bool = True,
    root: Root | None = None,
) -> Iterator[Problem]:
    """Everything in the value that the schema forbids, in the order of the value.

    With `tokens` a parameter's token is accepted in the place of a number or of one of some words.
    `root` is where the search for an unknown field begins, which is here without it.
    """
    root = root or (path, schema)
    if value is None:
        if not schema.get("nullable"):
            yield Problem(path, "must not be null")
        return
    if schema.get("x-kubernetes-int-or-string"):
        yield from _int_or_string(schema, value, path=path, tokens=tokens)
        return

    wanted = schema.get("type")
    if wanted and not _is(value, wanted):
        yield Problem(path, f"must be {_article(wanted)}{_quotes(wanted, value)}", _shown(value))
        return
    if isinstance(value, str | list | dict) and (problem := _size(schema, value, path=path)):
        # Work ends here: the size of a value limits what its patterns and its items cost.
        yield problem
        return
    yield from _limits(schema, value, path=path, tokens=tokens)
    if isinstance(value, dict):
        yield from _object(schema, value, path=path, tokens=tokens, root=root)
    elif isinstance(value, list):
        yield from _array(schema, value, path=path, tokens=tokens, root=root)


def _object(
    schema: Schema, value: dict[str, Any], *, path: str, tokens: bool, root: Root
) -> Iterator[Problem]:
    properties = schema.get("properties") or {}
    rest = schema.get("additionalProperties")
    open_ended = schema.get("x-kubernetes-preserve-unknown-fields") or (not properties and not rest)
    for key, item in value.items():
        if key in properties:
            # The API server drops an optional field that is null.
            if item is not None or key in (schema.get("required") or ()):
                where = f"{path}.{key}" if path else key
                yield from problems(properties[key], item, path=where, tokens=tokens, root=root)
        elif isinstance(rest, dict):
            where = f"{path}[{_cut(key)}]"
            yield from problems(rest, item, path=where, tokens=tokens, root=root)
        elif not rest and not open_ended:
            where = f"{path}.{_cut(key)}" if path else _cut(key)
            yield Problem(where, f"unknown field; {_hint(key, item, properties, root)}")
    for key in schema.get("required") or ():
        if key not in value:
            yield Problem(f"{path}.{key}" if path else key, "is required")


def _hint(key: str, value: Any, properties: Sequence[str] | Schema, root: Root) -> str:
    """What an unknown field might mean: a field of that name elsewhere, or a similar one here.

    The search takes long for a key that is not the name of a field.
    """
    if place := _place_of(key, value, root):
        return f"it belongs to {place}"
    near = difflib.get_close_matches(key, properties, n=1) if len(key) <= MAX_SHOWN else []
    return f"did you mean {near[0]}?" if near else f"known are {', '.join(properties)}"


def _place_of(key: str, value: Any, root: Root) -> str:
    """The object nearest to the root that has such a field; empty if no object near it has."""
    objects = [root]
    for _ in range(MAX_DEPTH):
        below: list[Root] = []
        for path, schema in objects:
            properties = schema.get("properties") or {}
            if key in properties and _is(value, properties[key].get("type", "object")):
                return path
            for name, sub in properties.items():
                where = f"{path}.{name}" if path else name
                below += [(where, sub), (f"{where}[]", sub.get("items") or {})]
        objects = below
    return ""


def _array(
    schema: Schema, value: list[Any], *, path: str, tokens: bool, root: Root
) -> Iterator[Problem]:
    seen: set[object] = set()
    keys = schema.get("x-kubernetes-list-map-keys") or ()
    for index, item in enumerate(value):
        where = f"{path}[{index}]"
        items = schema.get("items") or {}
        yield from problems(items, item, path=where, tokens=tokens, root=root)
        identity, label = _identity(schema.get("x-kubernetes-list-type"), item, keys)
        if identity is not None and identity in seen:
            expectation = "is a duplicate: each may be in the list only once"
            yield Problem(where, expectation, label)
        seen.add(identity)


def _identity(list_type: Any, item: Any, keys: Sequence[str]) -> tuple[object, str]:
    """The key that must be unique in such a list, and its text; None if items may be equal."""
    if list_type == "map" and isinstance(item, dict):
        members = [(key, item.get(key)) for key in keys]
        return repr(members), ", ".join(f"{key} {_shown(value)}" for key, value in members)
    return (repr(item), _shown(item)) if list_type == "set" else (None, "")


def _limits(schema: Schema, value: Any, *, path: str, tokens: bool) -> Iterator[Problem]:
    # Compared as text, because in Python True equals 1.
    if "not" in schema and repr(value) in map(repr, schema["not"].get("enum", ())):
        yield Problem(path, "is not accepted here", _shown(value))
    if "enum" in schema and value not in schema["enum"]:
        expectation = f"must be one of {', '.join(map(str, schema['enum']))}"
        yield Problem(path, expectation, _shown(value))
    choices = [
        choice for choice in schema.get("anyOf") or () if tokens or not _accepts_token(choice)
    ]
    if choices and all(any(problems(choice, value, tokens=tokens)) for choice in choices):
        words = ", ".join(str(item) for choice in choices for item in choice.get("enum", ()))
        words += f" or {PLACEHOLDER}" if tokens else ""
        yield Problem(path, f"must be one of {words}", _shown(value))
    if isinstance(value, str):
        yield from _pattern(schema, value, path=path, tokens=tokens)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        if "minimum" in schema and value < schema["minimum"]:
            yield Problem(path, f"must be at least {schema['minimum']}", str(value))
        if "maximum" in schema and value > schema["maximum"]:
            yield Problem(path, f"must be at most {schema['maximum']}", str(value))


def _pattern(schema: Schema, value: str, *, path: str, tokens: bool) -> Iterator[Problem]:
    pattern = schema.get("pattern")
    placeholder = f" or {PLACEHOLDER}" if tokens else ""
    if pattern and _is_quantity(schema):
        # The pattern also accepts text around a token.
        fits = _matches(pattern, value) if tokens else quantity.parse(value) is not None
        if not fits:
            expectation = f"must be a quantity such as 500m or 64Mi{placeholder}"
            yield Problem(path, expectation, _shown(value))
    elif pattern and not _matches(pattern, value):
        words = f"be an integer{placeholder}" if _accepts_token(schema) else f"match {pattern}"
        yield Problem(path, f"must {words}", _shown(value))


def _matches(pattern: str, value: str) -> bool:
    """As the API server matches: `$` is the end of the text, and not before a last newline."""
    python = f"{pattern[:-1]}\\Z" if pattern.endswith("$") else pattern
    return re.search(python, value) is not None


def _is_quantity(schema: Schema) -> bool:
    """Only quantities have this mark, because they may be any type of number."""
    return bool(schema.get("x-kubernetes-preserve-unknown-fields"))


_SIZES: Mapping[type, tuple[str, str]] = {
    str: ("Length", "characters"),
    list: ("Items", "items"),
    dict: ("Properties", "members"),
}
"""The end of the schema's keywords for the size of a value, and what is counted."""


def _size(schema: Schema, value: Any, *, path: str) -> Problem | None:
    """Whether the value is too long or too short."""
    limit, unit = _SIZES[type(value)]
    most, least, size = schema.get(f"max{limit}"), schema.get(f"min{limit}"), len(value)
    if most is not None and size > most:
        return Problem(path, f"has {size} {unit}, at most {most} are accepted")
    if least is not None and size < least:
        return Problem(path, f"has {size} {unit}, at least {least} are needed")
    return None


def _int_or_string(schema: Schema, value: Any, *, path: str, tokens: bool) -> Iterator[Problem]:
    if isinstance(value, bool) or not isinstance(value, int | str):
        yield Problem(path, "must be an integer or a string", _shown(value))
    elif isinstance(value, str) and not tokens and _accepts_token(schema):
        yield Problem(path, "must be an integer", _shown(value))
    elif isinstance(value, str) and (problem := _size(schema, value, path=path)):
        yield problem
    else:
        yield from _limits(schema, value, path=path, tokens=tokens)


def _accepts_token(schema: Schema) -> bool:
    return str(schema.get("pattern", "")).startswith(_PLACEHOLDER_PATTERN)


def member(schema: Schema, key: str | None) -> Schema:
    """The schema of an object's member, or with None of a list's items; empty if it is unknown."""
    if key is None:
        items: Schema = schema.get("items") or {}
        return items
    rest = schema.get("additionalProperties")
    found: Schema = (schema.get("properties") or {}).get(key) or (
        rest if isinstance(rest, dict) else {}
    )
    return found


def is_text(schema: Schema) -> bool:
    """Whether only strings are accepted."""
    return schema.get("type") == "string"


def is_integer(schema: Schema) -> bool:
    """Whether only integers are accepted, or a token in the place of one."""
    return bool(schema.get("x-kubernetes-int-or-string")) and _accepts_token(schema)


def is_word(schema: Schema) -> bool:
    """Whether only some words are accepted, or a token in the place of one."""
    return any("enum" in choice for choice in schema.get("anyOf") or ())


def _is(value: Any, wanted: str) -> bool:
    is_boolean = isinstance(value, bool)
    return isinstance(value, _TYPES[wanted]) and is_boolean == (wanted == "boolean")


def _quotes(wanted: str, value: Any) -> str:
    """What helps where YAML has read a word such as y, no or 1 as something else than a text."""
    is_scalar = isinstance(value, bool | int | float)
    return ": put it in quotes" if wanted == "string" and is_scalar else ""


def _article(wanted: str) -> str:
    return f"an {wanted}" if wanted[0] in "aio" else f"a {wanted}"


def _shown(value: Any) -> str:
    """The value for a message: scalars short, structures by their kind."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    text = repr(value)
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 3]}..."


def _cut(key: str) -> str:
    """A key for the path of a message."""
    return key if len(key) <= MAX_KEY else f"{key[:MAX_KEY]}…"
