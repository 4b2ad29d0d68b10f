"""What all converters share: names, cutting to the schema, finding configuration."""

from __future__ import annotations

from typing import Any

import pytest

from sidecar_injector.convert import findings, fitting, injection, sources
from sidecar_injector.core.injections import schema
from sidecar_injector.core.pods import annotation
from tests.kits import convert as kit
from tests.kits.samples import container

CONTAINERS = kit.target().pod_part("containers")


@pytest.fixture
def location() -> findings.Location:
    return findings.Location(findings.Conversion(kit.target()), "here", "containers")


@pytest.mark.parametrize(
    ("wanted", "name"),
    [
        ("logs", "logs"),
        ("logs:v2", "logs-v2"),
        ("Logs_Of.Web", "logs-of.web"),
        ("a.-b", "a.b"),
        ("--", "sidecar"),
        ("", "sidecar"),
        ("On", "sidecar-on"),
        ("1", "sidecar-1"),
        ("x" * 62 + "-y", "x" * 62),
    ],
)
def test_a_name_becomes_one_that_an_object_can_have(
    wanted: str, name: str, location: findings.Location
) -> None:
    assert injection.free_name(wanted, location) == name
    assert len(location.conversion.warnings) == (wanted != name)
    assert annotation.read({"sidecar-injector.dev/inject": name}).listed == (name,)


def test_a_name_is_given_out_once(location: findings.Location) -> None:
    long, spec = "n" * 63, {"template": {"spec": {"containers": [container()]}}}
    for name in ("a:b", "a-b", long, long):
        injection.add(injection.free_name(name, location), spec, location)
    names = kit.injection_names(location.conversion)
    assert names == ["a-b", "a-b-2", long, f"{'n' * 61}-2"]
    assert (
        "'a-b' is taken already; the injection is named 'a-b-2'"
        in kit.warnings(location.conversion)[1]
    )


@pytest.mark.parametrize(
    ("value", "fitted", "warning"),
    [
        ([{"name": "a", "image": None}], [{"name": "a"}], ""),
        ([{"name": "a", "IMAGE": "b"}], [{"name": "a", "image": "b"}], ""),
        ([{"name": "a", "env": [{"name": "N", "value": 7}]}],
         [{"name": "a", "env": [{"name": "N", "value": "7"}]}], ""),
        ([{"name": "a", "env": [{"name": "N", "value": True}]}],
         [{"name": "a", "env": [{"name": "N", "value": "true"}]}], ""),
        ([{"name": "a", "imagePullPolicy": "always"}], [{"name": "a"}],
         "containers[0].imagePullPolicy: is left out: 'always' must be one of Always"),
        ([{"name": "a", "environment": []}], [{"name": "a"}],
         "containers[0].environment: is left out: the field is unknown"),
        ([{"image": "a"}, {"name": "b"}], [{"name": "b"}],
         "containers[0]: is left out: name is required"),
        ([{"name": "a"}, {"name": "a"}], [{"name": "a"}],
         "containers[1]: is left out: an earlier item has the same name"),
        ([{"name": "a", "ports": [{"containerPort": 1}, {"containerPort": 1, "protocol": "TCP"}]}],
         [{"name": "a", "ports": [{"containerPort": 1}]}],
         "containers[0].ports[1]: is left out: an earlier item has the same containerPort and"),
        ({"name": "a"}, None, "containers: is left out: an object must be an array"),
        ([{"name": f"c{index}"} for index in range(65)],
         [{"name": f"c{index}"} for index in range(64)],
         "containers[64]: is left out: at most 64 items are accepted"),
    ],
)  # fmt: skip
def test_a_part_is_cut_to_what_the_schema_accepts(
    value: Any, fitted: Any, warning: str, location: findings.Location
) -> None:
    result = fitting.fit(CONTAINERS, value, location)
    assert result == fitted
    assert result is None or not list(schema.problems(CONTAINERS, result))
    assert len(location.conversion.warnings) == bool(warning)
    assert "".join(kit.warnings(location.conversion)).startswith(
        f"here: {warning}" if warning else ""
    )


def test_another_spelling_is_noted_and_the_exact_one_wins(location: findings.Location) -> None:
    both = fitting.with_known_case({"hostPid": 1, "hostPID": 2}, ("hostPID",), location)
    assert both == {"hostPid": 1, "hostPID": 2}
    assert fitting.with_known_case({"hostPid": 1}, ("hostPID",), location) == {"hostPID": 1}
    assert [str(note) for note in location.conversion.notes] == [
        "here: containers.hostPid: is read as hostPID"
    ]


def test_configuration_is_found_in_config_maps_in_lists_and_by_itself() -> None:
    inner = {"apiVersion": "v1", "kind": "List", "items": [kit.config_map(a="x: 1", b="[")]}
    typed = kit.config_map("typed", c="v: 2")
    del typed["apiVersion"], typed["kind"]
    listed = {"apiVersion": "v1", "kind": "ConfigMapList", "items": [typed]}
    outer = {"apiVersion": "v1", "kind": "List", "items": [inner, listed, {"z": 3}]}

    def parse(text: str) -> Any:
        if text == "[":
            raise ValueError("no YAML")
        return kit.parse(text)

    texts = sources.texts(kit.source(outer), parse=parse)

    assert [
        (text.place, text.config_map, text.key, text.value, text.problem) for text in texts
    ] == [
        ("here, items[0], items[0], data[a]", "sidecars", "a", {"x": 1}, ""),
        ("here, items[0], items[0], data[b]", "sidecars", "b", None, "no YAML"),
        ("here, items[1], items[0], data[c]", "typed", "c", {"v": 2}, ""),
        ("here, items[2]", "", "", {"z": 3}, ""),
    ]


def test_other_kubernetes_objects_are_no_configuration() -> None:
    service = {"apiVersion": "v1", "kind": "Service", "data": {"a": "name: a"}}
    assert not list(sources.texts(kit.source(service), parse=kit.parse))
