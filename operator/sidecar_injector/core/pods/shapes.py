"""The types of the fields of a pod that are read anywhere in the package.

A pod from the API server always has these types. A pod from a file may have any, so it is checked
by this module before anything else reads it. Fields that are not listed may have any type.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any


@dataclasses.dataclass(frozen=True, slots=True)
class ListOf:
    """A list."""

    item: Any


@dataclasses.dataclass(frozen=True, slots=True)
class MapOf:
    """An object with any keys."""

    value: Any


@dataclasses.dataclass(frozen=True, slots=True)
class Object:
    """An object; it may have other members too, and a null member counts as absent."""

    members: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    required: tuple[str, ...] = ()


STRINGS = MapOf(str)
_ANY = Object()
_QUANTITIES = MapOf((str, int, float))
_RESOURCES = Object(
    {"limits": _QUANTITIES, "requests": _QUANTITIES, "claims": ListOf(Object({"name": str}))}
)
_CONTAINER = Object(
    {
        "name": str,
        "image": str,
        "imagePullPolicy": str,
        "restartPolicy": str,
        "env": ListOf(Object({"name": str, "value": str, "valueFrom": _ANY}, ("name",))),
        "envFrom": ListOf(_ANY),
        "ports": ListOf(
            Object({"containerPort": int, "hostPort": int, "protocol": str, "name": str})
        ),
        "volumeMounts": ListOf(
            Object({"name": str, "mountPath": str, "readOnly": bool}, ("name", "mountPath"))
        ),
        "volumeDevices": ListOf(Object({"name": str, "devicePath": str}, ("name", "devicePath"))),
        "resources": _RESOURCES,
        "resizePolicy": ListOf(_ANY),
        "restartPolicyRules": ListOf(_ANY),
        "securityContext": _ANY,
        "lifecycle": _ANY,
        "livenessProbe": _ANY,
        "readinessProbe": _ANY,
        "startupProbe": _ANY,
    },
    ("name",),
)
_SELECTOR = Object(
    {
        "matchLabels": STRINGS,
        "matchExpressions": ListOf(Object({"key": str, "operator": str, "values": ListOf(str)})),
    }
)
_TOLERATION = Object(
    {"key": str, "operator": str, "value": str, "effect": str, "tolerationSeconds": int}
)
_SPREAD = Object(
    {
        "maxSkew": int,
        "topologyKey": str,
        "whenUnsatisfiable": str,
        "labelSelector": _SELECTOR,
        "matchLabelKeys": ListOf(str),
        "minDomains": int,
    }
)
_SPEC = Object(
    {
        "containers": ListOf(_CONTAINER),
        "initContainers": ListOf(_CONTAINER),
        "volumes": ListOf(Object({"name": str}, ("name",))),
        "imagePullSecrets": ListOf(Object({"name": str})),
        "hostAliases": ListOf(Object({"ip": str, "hostnames": ListOf(str)})),
        "tolerations": ListOf(_TOLERATION),
        "topologySpreadConstraints": ListOf(_SPREAD),
        "resourceClaims": ListOf(Object({"name": str})),
        "dnsConfig": Object(
            {
                "nameservers": ListOf(str),
                "searches": ListOf(str),
                "options": ListOf(Object({"name": str})),
            }
        ),
        "resources": _RESOURCES,
        "securityContext": _ANY,
        "nodeSelector": STRINGS,
        "os": Object({"name": str}),
        "restartPolicy": str,
        "serviceAccount": str,
        "serviceAccountName": str,
        "hostIPC": bool,
        "hostNetwork": bool,
        "hostPID": bool,
        "hostUsers": bool,
        "shareProcessNamespace": bool,
    }
)
_OWNER = Object(
    {"apiVersion": str, "kind": str, "name": str, "uid": str, "controller": bool},
    ("apiVersion", "kind", "name"),
)
POD = Object(
    {
        "metadata": Object(
            {"labels": STRINGS, "annotations": STRINGS, "ownerReferences": ListOf(_OWNER)}
        ),
        "spec": _SPEC,
    }
)

_NOUNS: Mapping[Any, str] = {str: "a string", int: "an integer", bool: "true or false"}


def problems(shape: Any, value: Any, *, path: str = "") -> Iterator[tuple[str, str]]:
    """Where a value has another type, as (field path, sentence)."""
    if isinstance(shape, ListOf):
        if not isinstance(value, list):
            yield path, "must be a list"
            return
        for index, item in enumerate(value):
            yield from problems(shape.item, item, path=f"{path}[{index}]")
    elif isinstance(shape, MapOf | Object):
        if not isinstance(value, dict):
            yield path, "must be an object"
            return
        yield from _members(shape, value, path=path)
    elif not _is(shape, value):
        quotes = ": put it in quotes" if shape is str and isinstance(value, int | float) else ""
        yield path, f"{value!r} must be {_NOUNS.get(shape, 'a quantity')}{quotes}"


def _members(
    shape: MapOf | Object, value: dict[str, Any], *, path: str
) -> Iterator[tuple[str, str]]:
    if isinstance(shape, MapOf):
        for key, item in value.items():
            yield from problems(shape.value, item, path=f"{path}[{key}]")
        return
    for key in shape.required:
        if value.get(key) is None:
            yield f"{path}.{key}", "is required"
    for key, inner in shape.members.items():
        if value.get(key) is not None:
            yield from problems(inner, value[key], path=f"{path}.{key}" if path else key)


def without_null_strings(shape: Any, value: Any) -> Any:
    """The value with an empty string for each null in a map of strings, as Go reads it."""
    if shape == STRINGS and isinstance(value, dict):
        return {key: "" if item is None else item for key, item in value.items()}
    if isinstance(shape, Object) and isinstance(value, dict):
        return {
            key: without_null_strings(shape.members.get(key), item) for key, item in value.items()
        }
    if isinstance(shape, ListOf) and isinstance(value, list):
        return [without_null_strings(shape.item, item) for item in value]
    return value


def _is(shape: Any, value: Any) -> bool:
    # In Python True is an int.
    return isinstance(value, shape) and isinstance(value, bool) == (shape is bool)
