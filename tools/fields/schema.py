"""The fields of a template's spec, from the API server's own schema of pods."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterator, Mapping
from typing import Any

from tools.crds import definition, structural

Schema = Mapping[str, Any]

EVERY = "*"
"""In a path: every member of a map. The items of a list have the list's own path."""
_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
_MERGE_KEY = "x-kubernetes-patch-merge-key"


class Kind(enum.Enum):
    """What a field holds."""

    OBJECT = enum.auto()
    SELECTOR = enum.auto()
    """A LabelSelector: an empty one selects everything, an absent one nothing."""
    MAP = enum.auto()
    LIST = enum.auto()
    QUANTITY = enum.auto()
    STRING = enum.auto()
    NUMBER = enum.auto()
    BOOLEAN = enum.auto()

    @property
    def empty(self) -> Any:
        """The value that Go may leave out."""
        return _EMPTY.get(self, "")


_EMPTY: Mapping[Kind, Any] = {
    Kind.OBJECT: {},
    Kind.SELECTOR: {},
    Kind.MAP: {},
    Kind.LIST: [],
    Kind.QUANTITY: "0",
    Kind.NUMBER: 0,
    Kind.BOOLEAN: False,
}
_SCALARS = {"string": Kind.STRING, "integer": Kind.NUMBER, "boolean": Kind.BOOLEAN}
_SPECIAL = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": Kind.QUANTITY,
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": Kind.NUMBER,
    f"{_META}LabelSelector": Kind.SELECTOR,
}


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Field:
    """One field of the schema."""

    path: str
    kind: Kind
    key: str = ""
    """The field by which Kubernetes merges a list of objects."""


def fields(openapi: Schema) -> Iterator[Field]:
    """Every field that a template's spec accepts, at every depth, but `initContainers`."""
    schemas = openapi["components"]["schemas"]
    spec = definition.source("spec")["properties"]["template"]["properties"]["spec"]
    for name in spec["properties"]:
        if name != "initContainers":
            node = schemas["io.k8s.api.core.v1.PodSpec"]["properties"][name]
            yield from _Walk(schemas).fields(node, path=name)


@dataclasses.dataclass(frozen=True, slots=True)
class _Walk:
    schemas: Schema

    def fields(self, node: Schema, *, path: str) -> Iterator[Field]:
        """The field and all that is below it."""
        target = structural.reference(node, where=path)
        schema = self.schemas[target] if target else node
        if target == f"{_META}ObjectMeta":
            schema = structural.LEAVES[target]
        kind = _SPECIAL.get(target) or _kind(schema)
        yield Field(path=path, kind=kind, key=str(node.get(_MERGE_KEY, "")))
        if kind is not Kind.QUANTITY:
            yield from self._below(schema, path=path)

    def _below(self, schema: Schema, *, path: str) -> Iterator[Field]:
        members: Schema = schema.get("properties") or {}
        if items := schema.get("items"):
            target = structural.reference(items, where=path)
            members = (self.schemas[target] if target else items).get("properties") or {}
        for name, member in sorted(members.items()):
            yield from self.fields(member, path=f"{path}.{name}")
        if values := schema.get("additionalProperties"):
            yield from self.fields(values, path=f"{path}.{EVERY}")


def _kind(schema: Schema) -> Kind:
    if "additionalProperties" in schema:
        return Kind.MAP
    if "items" in schema:
        return Kind.LIST
    return _SCALARS.get(schema.get("type", ""), Kind.OBJECT)
