"""What becomes of the API server's own schema when a CRD embeds it."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tools.crds import definition, structural

CORE = "io.k8s.api.core.v1."
QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"


def embedded(**properties: Any) -> dict[str, Any]:
    """The embedded properties of a type that has these, beside two types that they may name."""
    schemas = {
        f"{CORE}Thing": {"type": "object", "properties": properties},
        f"{CORE}Port": {
            "type": "object",
            "description": "A port.",
            "properties": {
                "number": {"type": "integer", "format": "int32", "default": 0},
                "protocol": {"type": "string", "enum": ["TCP", "UDP"], "default": "TCP"},
                "weight": {"type": "integer", "format": "int64", "default": 7},
            },
        },
        QUANTITY: {"oneOf": [{"type": "string"}, {"type": "number"}]},
    }
    schema = structural.schema_of({"components": {"schemas": schemas}}, "Thing")
    result: dict[str, Any] = schema["properties"]
    return result


def reference(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def test_an_integer_admits_a_token_and_keeps_its_range() -> None:
    (leaf,) = embedded(seconds={"type": "integer", "format": "int32"}).values()

    assert leaf == {
        "x-kubernetes-int-or-string": True,
        "pattern": structural.TOKEN,
        "minimum": -2147483648,
        "maximum": 2147483647,
    }


def test_an_enum_admits_a_token() -> None:
    (leaf,) = embedded(policy={"type": "string", "enum": ["A", "B"]}).values()

    assert leaf == {
        "type": "string",
        "anyOf": [{"enum": ["A", "B"]}, {"pattern": structural.TOKEN}],
    }


def test_what_a_list_is_merged_by_admits_no_token_and_is_required_or_keeps_its_default() -> None:
    (ports,) = embedded(
        ports={
            "type": "array",
            "items": reference(f"{CORE}Port"),
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["number", "protocol"],
            "x-kubernetes-patch-merge-key": "number",
        }
    ).values()

    assert ports == {
        "type": "array",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["number", "protocol"],
        "items": {
            "type": "object",
            "required": ["number"],
            "properties": {
                "number": {"type": "integer", "format": "int32"},
                "protocol": {"type": "string", "enum": ["TCP", "UDP"], "default": "TCP"},
                "weight": {"x-kubernetes-int-or-string": True, "pattern": structural.TOKEN},
            },
        },
    }


def test_items_of_a_set_admit_no_token() -> None:
    (codes,) = embedded(
        codes={"type": "array", "items": {"type": "integer"}, "x-kubernetes-list-type": "set"}
    ).values()

    assert codes["items"] == {"type": "integer"}


def test_a_reference_in_an_allof_of_one_is_written_out() -> None:
    (port,) = embedded(port={"allOf": [reference(f"{CORE}Port")], "default": {}}).values()

    assert port["type"] == "object"
    assert list(port["properties"]) == ["number", "protocol", "weight"]
    assert "default" not in port


def test_a_quantity_takes_numbers_too() -> None:
    (leaf,) = embedded(cpu=reference(QUANTITY)).values()

    assert leaf["x-kubernetes-preserve-unknown-fields"] is True
    assert "type" not in leaf


@pytest.mark.parametrize("text", ["1", "0.5", ".5", "-1", "100m", "64Mi", "1e3", "1E3", "2Ei"])
def test_a_quantity_is_what_kubernetes_reads(text: str) -> None:
    assert re.search(structural.QUANTITY, text)


@pytest.mark.parametrize("text", ["$(params.size)", "$(params.size)Mi"])
def test_a_quantity_may_hold_a_token(text: str) -> None:
    assert re.search(structural.QUANTITY, text)


@pytest.mark.parametrize("text", ["", "a lot", "64MB", "1 Gi", "$(size)", "$(params.)", "$(pod.x)"])
def test_other_text_is_no_quantity(text: str) -> None:
    assert not re.search(structural.QUANTITY, text)


@pytest.mark.parametrize("text", ["$(params.x)0", "$(params.1)", "$(pod.namespace)", "x"])
def test_a_token_is_a_whole_value(text: str) -> None:
    assert not re.search(structural.TOKEN, text)


def test_a_keyword_that_would_be_lost_is_an_error_that_names_it() -> None:
    with pytest.raises(structural.UnsupportedSchemaError, match=r"Thing\.a: has oneOf"):
        embedded(a={"oneOf": [{"type": "string"}]})


def test_an_unknown_type_is_an_error_that_names_it() -> None:
    with pytest.raises(structural.UnsupportedSchemaError, match="Nothing"):
        structural.schema_of({"components": {"schemas": {}}}, "Nothing")


def test_an_overlay_adds_and_replaces_without_touching_what_is_below() -> None:
    below = {"type": "array", "items": {"properties": {"name": {"type": "string"}}}}
    above = {"maxItems": 3, "items": {"properties": {"name": {"maxLength": 5}}}}

    result = definition.overlay(below, above)

    assert result["maxItems"] == 3
    assert result["items"] == {"properties": {"name": {"maxLength": 5, "type": "string"}}}
    assert below["items"] == {"properties": {"name": {"type": "string"}}}
