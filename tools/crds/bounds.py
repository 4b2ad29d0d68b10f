"""A limit for every list, map and string of the schema that does not say one itself.

The limits are far above what an injection needs, so that the first to be met is the size of the
whole (`core.injections.model.MAX_BYTES`). They are there so that no single field makes work or
memory without end, also for an API server, whose CEL rules are estimated from them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Schema = dict[str, Any]

ITEMS, PROPERTIES, LENGTH = 64, 64, 1024
"""The limits where nothing below says another one."""
MOST_ITEMS: Mapping[str, int] = {
    "args": 512,
    "command": 512,
    "env": 512,
    "envFrom": 128,
    "hostAliases": 256,
    "items": 256,
    "nameservers": 16,
    "values": 256,
}
"""By the name of the field."""
MOST_PROPERTIES: Mapping[str, int] = {"annotations": 256}
ARGUMENT = 128 * 1024
"""The longest argument or variable that Linux gives to a process (MAX_ARG_STRLEN):
https://man7.org/linux/man-pages/man2/execve.2.html"""
PATH = 4096
"""PATH_MAX of Linux: https://man7.org/linux/man-pages/man7/path_resolution.7.html"""
LONGEST: Mapping[str, int] = {
    "annotations": ARGUMENT,
    "args": ARGUMENT,
    "command": ARGUMENT,
    "value": ARGUMENT,
    "devicePath": PATH,
    "image": PATH,
    "mountPath": PATH,
    "path": PATH,
    "subPath": PATH,
    "subPathExpr": PATH,
}
"""By the name of the field, also for the items of a list and the values of a map."""
TOKEN_LENGTH = 256
"""Of text in the place of a number, a word or a quantity: such as `$(params.NAME)Mi`."""
ROOT = frozenset({"apiVersion", "kind", "metadata"})
"""What the API server itself limits, and lets no CRD describe."""


def bounded(schema: Schema, *, name: str = "") -> Schema:
    """The schema with a limit in each place; `name` is that of the field. Not changed itself."""
    result = dict(schema)
    for key, value in limits(schema, name=name).items():
        result.setdefault(key, value)
    if "properties" in schema:
        result["properties"] = {
            key: bounded(below, name=key) for key, below in schema["properties"].items()
        }
    for key in ("items", "additionalProperties"):
        if key in schema:
            result[key] = bounded(schema[key], name=name)
    return result


def limits(schema: Schema, *, name: str) -> dict[str, int]:
    """The limits that such a field needs."""
    if schema.get("type") == "array":
        return {"maxItems": MOST_ITEMS.get(name, ITEMS)}
    if "additionalProperties" in schema:
        return {"maxProperties": MOST_PROPERTIES.get(name, PROPERTIES)}
    is_open = schema.get("x-kubernetes-preserve-unknown-fields")
    if is_open or schema.get("x-kubernetes-int-or-string") or "anyOf" in schema:
        return {"maxLength": TOKEN_LENGTH}
    if schema.get("type") == "string" and "enum" not in schema:
        return {"maxLength": LONGEST.get(name, LENGTH)}
    return {}
