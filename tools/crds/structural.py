"""The API server's own schema of a type, as a CustomResourceDefinition may embed it.

What a CRD's schema may hold:
https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Schema = dict[str, Any]

KEPT = frozenset(
    {"type", "format", "enum", "required"}
    | {"x-kubernetes-list-type", "x-kubernetes-list-map-keys", "x-kubernetes-map-type"}
)
DESCENDED = frozenset({"properties", "items", "additionalProperties", "$ref", "allOf"})
# Zero values of Go are published as defaults, and the real ones belong to the pod: filled in here
# they would look like values of the template's author.
DROPPED = frozenset(
    {"description", "default", "x-kubernetes-unions"}
    | {"x-kubernetes-patch-strategy", "x-kubernetes-patch-merge-key"}
)

NAME = r"\$\(params\.[A-Za-z][A-Za-z0-9]*\)"
TOKEN = f"^{NAME}$"
"""A whole value that a parameter fills."""
_DECIMAL = r"([0-9]+(\.[0-9]*)?|\.[0-9]+)"
QUANTITY = f"^([+-]?{_DECIMAL}([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]+)?|.*{NAME}.*)$"
INT32 = {"minimum": -(2**31), "maximum": 2**31 - 1}

LEAVES: Mapping[str, Schema] = {
    # Pods accept `cpu: 0.5`, and int-or-string refuses it and cannot be opened. So: no type, but
    # strings that are quantities or hold a token, and no object, list or boolean.
    "io.k8s.apimachinery.pkg.api.resource.Quantity": {
        "x-kubernetes-preserve-unknown-fields": True,
        "pattern": QUANTITY,
        "maxProperties": 0,
        "maxItems": 0,
        "not": {"enum": [{}, [], True, False]},
    },
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": {"x-kubernetes-int-or-string": True},
    # Of a volume claim's metadata pods accept no more:
    # https://github.com/kubernetes/kubernetes/blob/master/pkg/apis/core/validation/validation.go
    # (allowedPVCTemplateObjectMetaFields); the whole would bring fields that no CRD may describe.
    "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta": {
        "type": "object",
        "properties": {
            "annotations": {"type": "object", "additionalProperties": {"type": "string"}},
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        },
    },
}
PACKAGES = ("io.k8s.api.core.v1.", "io.k8s.apimachinery.pkg.apis.meta.v1.")


class UnsupportedSchemaError(ValueError):
    """The OpenAPI document says something that would be lost here. The text names type and key."""

    def __init__(self, where: str, what: str) -> None:
        super().__init__(f"{where}: {what}; teach tools/crds/structural.py what a CRD makes of it")


def schema_of(openapi: Mapping[str, Any], name: str) -> Schema:
    """The schema of a type (`EnvVar`) or of a type's field (`PodSpec.containers`).

    Structural, without references, descriptions or defaults (but that of a list's map key). Enums,
    quantities and integers admit the token of a parameter, except where a list is merged by them.
    """
    schemas = openapi.get("components", {}).get("schemas", {})
    kind, _, field = name.partition(".")
    for package in PACKAGES:
        if (schema := schemas.get(package + kind)) is not None:
            node = schema["properties"][field] if field else schema
            return _Embedding(schemas).embed(node, where=name)
    raise UnsupportedSchemaError(name, f"is in none of {', '.join(PACKAGES)}")


class _Embedding:
    """One walk through the document; `where` is the dotted path for messages."""

    def __init__(self, schemas: Mapping[str, Any]) -> None:
        self.schemas = schemas

    def embed(self, node: Mapping[str, Any], *, where: str, token: bool = True) -> Schema:
        """The node with all that it refers to; `token`: whether a parameter may fill it."""
        if unsupported := node.keys() - KEPT - DESCENDED - DROPPED:
            raise UnsupportedSchemaError(where, f"has {', '.join(sorted(unsupported))}")
        if target := reference(node, where=where):
            if leaf := LEAVES.get(target):
                return dict(leaf)
            node = {**self.schemas[target], **_without_reference(node)}
            return self.embed(node, where=where, token=token)

        result: Schema = {key: node[key] for key in sorted(node) if key in KEPT}
        if "properties" in node:
            result["properties"] = {
                key: self.embed(node["properties"][key], where=f"{where}.{key}")
                for key in sorted(node["properties"])
            }
        if "additionalProperties" in node:
            values = node["additionalProperties"]
            result["additionalProperties"] = self.embed(values, where=f"{where}.*")
        if "items" in node:
            result["items"] = self._items(node, where=f"{where}[]")
        return _with_token(result) if token else result

    def _items(self, node: Mapping[str, Any], *, where: str) -> Schema:
        """The items of a list. What they are merged by is required, and no parameter fills it."""
        is_set = node.get("x-kubernetes-list-type") == "set"
        items = self.embed(node["items"], where=where, token=not is_set)
        keys = node.get("x-kubernetes-list-map-keys", ())
        if not keys:
            return items

        fields = self._fields(node["items"], where=where)
        for key in keys:
            items["properties"][key] = self.embed(fields[key], where=f"{where}.{key}", token=False)
            if default := fields[key].get("default"):
                items["properties"][key]["default"] = default
            else:
                items["required"] = sorted({*items.get("required", ()), key})
        return items

    def _fields(self, node: Mapping[str, Any], *, where: str) -> Mapping[str, Any]:
        """The properties of a node as published, with their defaults."""
        target = reference(node, where=where)
        fields: Mapping[str, Any] = (self.schemas[target] if target else node)["properties"]
        return fields


def reference(node: Mapping[str, Any], *, where: str) -> str:
    """The name of the type that a node refers to, directly or by an `allOf` of one; else empty."""
    if len(parts := node.get("allOf", [node])) != 1:
        raise UnsupportedSchemaError(where, "has an allOf of more than one schema")
    return str(parts[0].get("$ref", "")).rpartition("/")[2]


def _without_reference(node: Mapping[str, Any]) -> Schema:
    return {key: value for key, value in node.items() if key not in ("$ref", "allOf")}


def _with_token(leaf: Schema) -> Schema:
    """The leaf, admitting a token where its own type or enum would refuse one."""
    if leaf.get("type") == "integer":
        # A format beside int-or-string is neither recognised nor enforced, bounds are.
        bounds = INT32 if leaf.get("format") == "int32" else {}
        return {"x-kubernetes-int-or-string": True, "pattern": TOKEN, **bounds}
    if "enum" in leaf:
        choice = {"enum": leaf.pop("enum")}
        return {**leaf, "anyOf": [choice, {"pattern": TOKEN}]}
    return leaf
