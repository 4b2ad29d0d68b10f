"""The chart's values and their schema, without helm."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import re
import tomllib
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
import yaml

import sidecar_injector
from sidecar_injector import crds, settings
from sidecar_injector.core.injections import model
from sidecar_injector.core.linting import validate
from tools import chart_docs

REPOSITORY = pathlib.Path(__file__).parents[3]
CHART = REPOSITORY / "charts" / "sidecar-injector"
VALUES_TEXT = (CHART / "values.yaml").read_text()
VALUES: dict[str, Any] = yaml.safe_load(VALUES_TEXT)
SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())
SET_FROM_ELSEWHERE = {
    "namespace",
    "fullname",
    "pod_name",
    "secret_name",
    "certificate_mode",
    "quotas",
    "policies",
    "webhook_port",
    "scratch_folder",
}
"""Settings that follow from where and how the chart is installed."""
WITHOUT_DEFAULT = {"enabled"}
"""A value that only other charts set, through a dependency on this one."""


def test_the_schema_is_one() -> None:
    jsonschema.Draft7Validator.check_schema(SCHEMA)


def test_the_schema_accepts_the_default_values() -> None:
    jsonschema.Draft7Validator(SCHEMA).validate(VALUES)


def test_every_object_of_the_schema_says_what_it_may_hold() -> None:
    objects = [
        node for node in _nodes(SCHEMA) if node.get("type") in ("object", ["object", "null"])
    ]

    open_ones = [node for node in objects if node["additionalProperties"] is True]
    shared = SCHEMA["properties"]["global"]
    assert open_ones == [shared, SCHEMA["definitions"]["open"]]
    for node in objects:
        # Other charts have members of `global` too.
        if node is shared:
            continue
        assert node["additionalProperties"] is False or "properties" not in node


def test_every_value_has_a_schema_and_every_schema_a_value() -> None:
    assert set(VALUES) == set(SCHEMA["properties"]) - WITHOUT_DEFAULT
    for key, value in VALUES.items():
        schema = _resolved(SCHEMA["properties"][key])
        # An empty one is a type of Kubernetes, whose members have no defaults here.
        if value and "properties" in schema and not key.endswith("Probe"):
            assert set(value) == set(schema["properties"]), key


def test_every_value_is_explained() -> None:
    lines = VALUES_TEXT.splitlines()

    unexplained = []
    for path, line in _leaves(yaml.compose(VALUES_TEXT), SCHEMA):
        above = line - 1
        while lines[above].lstrip().startswith("# ") and "# -- " not in lines[above]:
            above -= 1
        if "# -- " not in lines[above]:
            unexplained.append(path)
    assert unexplained == []


def test_the_values_under_settings_are_the_operators_settings() -> None:
    fields = {field.name for field in dataclasses.fields(settings.Settings)}

    assert {_snake(key) for key in VALUES["settings"]} == fields - SET_FROM_ELSEWHERE


@pytest.mark.parametrize("key", VALUES["settings"])
def test_a_setting_has_one_default(key: str) -> None:
    assert VALUES["settings"][key] == getattr(settings.Settings(), _snake(key))


def test_the_schema_lists_the_choices_that_the_operator_accepts() -> None:
    chosen = SCHEMA["properties"]["settings"]["properties"]
    mode = SCHEMA["properties"]["certificates"]["properties"]["mode"]

    assert tuple(mode["enum"]) == settings.CERTIFICATE_MODES
    assert tuple(chosen["logFormat"]["enum"]) == settings.LOG_FORMATS
    assert tuple(chosen["logLevel"]["enum"]) == settings.LOG_LEVELS


def test_chart_and_package_have_one_version() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]

    assert chart["appVersion"] == sidecar_injector.__version__
    assert chart["version"] == sidecar_injector.__version__
    assert project["version"] == sidecar_injector.__version__


def _nodes(node: object) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
        for item in node.values():
            yield from _nodes(item)
    elif isinstance(node, list):
        for item in node:
            yield from _nodes(item)


def _resolved(schema: dict[str, Any]) -> dict[str, Any]:
    reference = schema.get("$ref")
    if reference is None:
        return schema
    resolved: dict[str, Any] = SCHEMA["definitions"][reference.removeprefix("#/definitions/")]
    return resolved


def _leaves(
    node: yaml.Node | None, schema: dict[str, Any], path: str = ""
) -> Iterator[tuple[str, int]]:
    """Path and line of each value, as deep as the schema is ours; a group's members are values."""
    assert isinstance(node, yaml.MappingNode)
    for key, value in node.value:
        below = _resolved(schema["properties"][key.value])
        here = f"{path}.{key.value}".lstrip(".")
        if value.value and "properties" in below and not here.endswith("Probe"):
            yield from _leaves(value, below, here)
        else:
            yield here, key.start_mark.line


def _snake(key: str) -> str:
    return re.sub(r"([A-Z])", r"_\1", key).lower()


def test_the_readme_of_the_chart_has_every_value() -> None:
    assert chart_docs.PAGE.read_text() == chart_docs.text()
    for key in VALUES:
        assert re.search(rf"^\| `{key}[.`]", chart_docs.text(), re.MULTILINE), key


def test_the_schema_describes_every_value() -> None:
    assert chart_docs.SCHEMA.read_text() == chart_docs.schema()
    for path, _, comment in chart_docs.values():
        node = SCHEMA
        for key in path.split("."):
            node = node["properties"][key]
        assert node["description"] == comment, path


def lint_findings(example: dict[str, Any]) -> list[str]:
    injection = model.read(example, spec_schema=crds.spec_schema(example["kind"]))
    return [str(problem) for problem in validate.validate(injection).errors]


def test_what_the_chart_tells_artifact_hub_is_so() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    annotations = {
        key.removeprefix("artifacthub.io/"): yaml.safe_load(value)
        for key, value in chart["annotations"].items()
    }

    assert [image["image"] for image in annotations["images"]] == [
        f"sidecar-injector:{chart['appVersion']}"
    ]
    defined = [yaml.safe_load(path.read_text()) for path in CHART.glob("files/crds/*.yaml")]
    assert {definition["name"] for definition in annotations["crds"]} == {
        definition["metadata"]["name"] for definition in defined
    }
    for listed in annotations["crds"]:
        definition = next(item for item in defined if item["metadata"]["name"] == listed["name"])
        assert listed["kind"] == definition["spec"]["names"]["kind"]
        assert listed["version"] == definition["spec"]["versions"][0]["name"]
    for example in annotations["crdsExamples"]:
        assert lint_findings(example) == []
