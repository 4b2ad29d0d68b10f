"""A converted SidecarSet never reaches a pod that the original did not."""

from __future__ import annotations

import pytest

from tests.kits import convert as kit
from tests.kits.convert import SELECTOR, sidecar_set
from tests.kits.convert import converted_sets as converted
from tests.kits.samples import Json


@pytest.mark.parametrize(
    "scope",
    [
        {"selector": None},
        {"selector": {}},
        {"selector": {"matchLabels": {}}},
        {"selector": {"matchlabel": {"tier": "web"}}},
        {"selector": {"matchLabels": {"tier": "not a value"}}},
        {"selector": {**SELECTOR, "matchExpressions": [{"key": "a", "operator": "Near"}]}},
        {"namespaceSelector": {"namespaces": ["shop"]}},
        {"namespaceSelector": "shop"},
        {"namespace": ["shop"]},
        {"injectionStrategy": {"paused": "true"}},
        {"injectionStrategy": "paused"},
    ],
)
def test_an_injection_that_could_reach_more_pods_is_suspended(scope: Json) -> None:
    conversion = converted(sidecar_set(**scope))
    assert kit.only_spec(conversion)["suspend"] is True
    assert "the injection is suspended" in " ".join(kit.warnings(conversion))


def test_the_namespace_wins_over_the_namespace_selector() -> None:
    conversion = converted(sidecar_set("v1alpha1", namespace="shop", namespaceSelector=SELECTOR))
    spec = kit.only_spec(conversion)
    assert spec["namespaceSelector"] == {"matchLabels": {"kubernetes.io/metadata.name": "shop"}}
    assert "suspend" not in spec
    assert kit.fields(conversion) == ["spec.namespaceSelector"]


def test_a_label_value_may_be_empty() -> None:
    empty = {"matchLabels": {"mesh": ""}}
    spec = kit.only_spec(converted(sidecar_set(selector=empty)))
    assert spec["selector"] == empty
    assert "suspend" not in spec


def test_an_unknown_version_is_left_out_and_other_objects_are_passed_over() -> None:
    service = {"apiVersion": "v1", "kind": "Service"}
    conversion = converted(service, sidecar_set("v2"), {"spec": {}}, sidecar_set(name="b"))
    assert kit.injection_names(conversion) == ["b"]
    assert kit.warnings(conversion) == [
        "here: apiVersion: is left out: 'v2' is unknown; known are v1alpha1 and v1beta1",
        "here: is left out: it is not a Kubernetes object: apiVersion and kind are needed",
    ]


def test_sidecar_sets_of_a_list_are_found() -> None:
    listed = {"apiVersion": "v1", "kind": "List", "items": [sidecar_set(), sidecar_set(name="b")]}
    conversion = converted(listed)
    assert kit.injection_names(conversion) == ["logs", "b"]
