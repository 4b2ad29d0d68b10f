"""The measurement of fields, against API servers that do one thing to every pod."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tools.crds import definition
from tools.fields import __main__ as fields
from tools.fields import measure

Json = dict[str, Any]
QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"


def openapi(container: Json) -> Json:
    """A document in which containers have these fields and volumes none."""
    spec = definition.source("spec")["properties"]["template"]["properties"]["spec"]
    properties = {name: {"type": "boolean"} for name in spec["properties"]}
    properties["containers"] = {
        "type": "array",
        "x-kubernetes-patch-merge-key": "name",
        "items": {"allOf": [{"$ref": "#/components/schemas/Container"}]},
    }
    properties["volumes"] = {"type": "array", "items": {"type": "object"}}
    return {
        "components": {
            "schemas": {
                "io.k8s.api.core.v1.PodSpec": {"properties": properties},
                "Container": {"type": "object", "properties": container},
                QUANTITY: {"type": "string"},
            }
        }
    }


def keeping(pod: Json) -> Json:
    return copy.deepcopy(pod)


def dropping(value: Any) -> Any:
    """What Go makes of fields with `omitempty` that are no pointers."""
    if isinstance(value, dict):
        members = {key: dropping(member) for key, member in value.items()}
        return {key: member for key, member in members.items() if member}
    return [dropping(item) for item in value] if isinstance(value, list) else value


def without_terminals(pod: Json) -> Json:
    pod = copy.deepcopy(pod)
    for container in pod["spec"]["containers"]:
        container.pop("tty", None)
    return pod


def filling(pod: Json) -> Json:
    pod = copy.deepcopy(pod)
    for container in pod["spec"]["containers"]:
        container["workingDir"] = container.get("workingDir") or "/"
        limits = (container.get("resources") or {}).get("limits") or {}
        limits.update((name, "2m") for name, amount in limits.items() if amount == "1500u")
    return pod


TTY: Json = {"tty": {"type": "boolean"}}
RESOURCES: Json = {
    "properties": {
        "limits": {
            "additionalProperties": {"allOf": [{"$ref": f"#/components/schemas/{QUANTITY}"}]}
        }
    }
}


def test_an_empty_value_that_stays_is_a_pointer() -> None:
    assert "containers.tty" in measure.measure(openapi(TTY), keeping).pointers
    assert "containers.tty" not in measure.measure(openapi(TTY), dropping).pointers


def test_what_is_filled_in_and_rounded_is_measured() -> None:
    container = {"workingDir": {"type": "string"}, "resources": RESOURCES}
    table = measure.measure(openapi(container), filling)
    assert table.defaults == {"containers.workingDir": "/"}
    assert table.quantities == {"containers.resources.limits.*": 3}
    assert table.maps == {"containers.resources.limits.*"}
    assert table.keys == {"containers": "name"}
    unrounded = measure.measure(openapi(container), keeping)
    assert unrounded.quantities == {"containers.resources.limits.*": 9}


def test_a_field_without_a_sample_is_an_error() -> None:
    with pytest.raises(measure.UnmeasuredError, match=r"no sample has containers\.unheardOf"):
        measure.measure(openapi({"unheardOf": {"type": "string"}}), keeping)


def test_a_sample_that_is_refused_is_an_error() -> None:
    with pytest.raises(measure.UnmeasuredError, match="a sample is refused"):
        measure.measure(openapi(TTY), lambda pod: None)


def test_a_field_that_is_dropped_must_be_declared() -> None:
    table = measure.measure(openapi(TTY), without_terminals)
    assert table.dropped == {"containers.tty"}
    with pytest.raises(measure.UnmeasuredError, match=r"declare .*containers\.tty"):
        fields.text(table)
