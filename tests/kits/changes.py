"""What others may do to a part of a pod between two calls, for every field of its schema."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

Json = dict[str, Any]
Steps = tuple[str, ...]
ITEM = "[]"
"""The step to the first item of a list."""
NUMBER = 7
TEXT = "changed"


def example(schema: Mapping[str, Any]) -> Any:
    """A value of the type that the schema has, with all of its members."""
    if "properties" in schema:
        return {key: example(member) for key, member in schema["properties"].items()}
    if "additionalProperties" in schema:
        return {TEXT: example(schema["additionalProperties"])}
    match schema.get("type"):
        case "array":
            return [example(schema["items"])]
        case "boolean":
            return True
        case "integer":
            return NUMBER
        case "object":
            return {}
        case _:
            return NUMBER if schema.get("x-kubernetes-int-or-string") else TEXT


def of_schema(schema: Mapping[str, Any], steps: Steps = ()) -> Iterator[tuple[Steps, Any]]:
    """Each place below the schema with the values that a change puts there; None takes it away."""
    for key, member in schema.get("properties", {}).items():
        if (*steps, key) == ("name",):
            continue
        value = example(member)
        for other in (value, None, *([[]] if member.get("type") == "array" else [])):
            yield (*steps, key), other
        yield from of_schema(member, (*steps, key))
        yield from of_schema(member.get("items", {}), (*steps, key, ITEM))


def changed(part: Json, steps: Steps, value: Any) -> Json:
    """A copy of the part with the value in that place; parents are made where they are missing."""
    result = copy.deepcopy(part)
    parent: Any = result
    for step, following in itertools.pairwise(steps):
        empty: Callable[[], Any] = list if following == ITEM else dict
        if step == ITEM:
            parent[:1] = parent[:1] or [empty()]
            parent = parent[0]
        else:
            if not parent.get(step):
                parent[step] = empty()
            parent = parent[step]
    if value is None:
        parent.pop(steps[-1], None)
    else:
        parent[steps[-1]] = value
    return result
