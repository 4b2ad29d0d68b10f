"""Walks through the types of the API server's OpenAPI document; a type is called `PodSpec`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from tools.crds import structural

Json = dict[str, Any]
Schema = Mapping[str, Any]

LEFT_OUT: Final = frozenset(
    {"PodSpec.ephemeralContainers"}
    | {f"ObjectMeta.{name}" for name in ("creationTimestamp", "deletionGracePeriodSeconds",
        "deletionTimestamp", "generation", "managedFields", "namespace", "resourceVersion",
        "selfLink", "uid")}
)  # fmt: skip
"""What no pod has when it is created, or what the API server sets itself."""


def full_name(types: Schema, kind: str) -> str:
    """The name of a type in the OpenAPI document."""
    return next(part + kind for part in structural.PACKAGES if part + kind in types)


def reference(schema: Schema) -> str:
    """The full name of the type that a field, or an item of it, refers to; empty for none."""
    schema = schema.get("items") or schema.get("additionalProperties") or schema
    (part,) = schema.get("allOf", [schema])
    return str(part.get("$ref", "")).rpartition("/")[2]


def fields_below(types: Schema, kind: str, seen: set[str] | None = None) -> set[str]:
    """Every field that an object of this type can have, however deep, as `Type.field`."""
    seen = set() if seen is None else seen
    for field, schema in types[full_name(types, kind)]["properties"].items():
        below = reference(schema)
        if f"{kind}.{field}" not in {*seen, *LEFT_OUT}:
            seen.add(f"{kind}.{field}")
            if "properties" in types.get(below, {}):
                fields_below(types, below.rpartition(".")[2], seen)
    return seen


def fields_of(types: Schema, kind: str, value: Any) -> Iterator[tuple[str, Json, str]]:
    """Each place for a field in an object, however deep: `Type.field`, the object, the field."""
    for field, schema in types[full_name(types, kind)]["properties"].items():
        below, inner = reference(schema), value.get(field)
        if f"{kind}.{field}" in LEFT_OUT:
            continue
        yield f"{kind}.{field}", value, field
        if "properties" in types.get(below, {}):
            for item in inner if isinstance(inner, list) else [inner]:
                if isinstance(item, dict):
                    yield from fields_of(types, below.rpartition(".")[2], item)
