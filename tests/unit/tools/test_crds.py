"""The committed CRDs: what they promise, and that every copy says the same."""

from __future__ import annotations

import functools
import json
import pathlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import yaml

from sidecar_injector import names
from sidecar_injector.core.pods import annotation
from tools.crds import definition, structural

ROOT = pathlib.Path(__file__).resolve().parents[3]
ANNOTATION_BYTES = 256 * 1024
"""The API server's limit for all annotations of an object; client-side apply needs one of them."""

Schema = Mapping[str, Any]

every_kind = pytest.mark.parametrize("kind", definition.KINDS, ids=lambda kind: kind.kind)


@functools.cache
def crd_of(kind: definition.Kind) -> dict[str, Any]:
    """The committed CRD; it is large, so read once, and to be left as it is."""
    text = (ROOT / f"crds/{kind.plural}.yaml").read_text(encoding="utf-8")
    crd: dict[str, Any] = yaml.safe_load(text)
    return crd


def version_of(crd: Mapping[str, Any]) -> dict[str, Any]:
    (version,) = crd["spec"]["versions"]
    result: dict[str, Any] = version
    return result


def schema_of(kind: definition.Kind) -> dict[str, Any]:
    schema: dict[str, Any] = version_of(crd_of(kind))["schema"]["openAPIV3Schema"]
    return schema


def nodes(schema: Schema, path: str = "") -> Iterator[tuple[str, Schema]]:
    """Every schema in a schema, with the path of what it describes."""
    yield path, schema
    for name, below in schema.get("properties", {}).items():
        yield from nodes(below, f"{path}.{name}")
    if "items" in schema:
        yield from nodes(schema["items"], f"{path}[]")
    if "additionalProperties" in schema:
        yield from nodes(schema["additionalProperties"], f"{path}.*")


def embedded(written: Schema, path: str) -> Iterator[str]:
    """The paths at which a type of Kubernetes begins."""
    if definition.KUBERNETES in written:
        yield path
        return
    for name, below in written.get("properties", {}).items():
        yield from embedded(below, f"{path}.{name}")
    if "items" in written:
        yield from embedded(written["items"], f"{path}[]")


def parts(kind: definition.Kind) -> tuple[dict[str, Schema], dict[str, Schema]]:
    """Our own nodes below the root, and those inside of the types of Kubernetes."""
    starts = tuple(embedded(definition.source("spec"), ".spec"))
    ours: dict[str, Schema] = {}
    theirs: dict[str, Schema] = {}
    for path, node in nodes(schema_of(kind)):
        inside = any(path.startswith((f"{start}.", f"{start}[")) for start in starts)
        (theirs if inside else ours)[path] = node
    return ours, theirs


@every_kind
def test_the_chart_ships_the_same_text(kind: definition.Kind) -> None:
    source = ROOT / "crds" / f"{kind.plural}.yaml"
    copy = ROOT / "charts/sidecar-injector/files/crds" / f"{kind.plural}.yaml"

    assert copy.read_text() == source.read_text(), "run `make crds`"


@every_kind
def test_the_package_carries_the_schema_of_the_crd(kind: definition.Kind) -> None:
    packaged = ROOT / "operator/sidecar_injector/crds" / f"{kind.plural}.json"

    assert packaged.read_text() == definition.json_text(crd_of(kind)), "run `make crds`"


@every_kind
def test_the_files_say_what_the_sources_say(kind: definition.Kind) -> None:
    committed = crd_of(kind)
    generated = definition.definition(kind, embed=lambda _: {"type": "object"})
    version, committed_version = version_of(generated), version_of(committed)

    assert without(generated["spec"], "versions") == without(committed["spec"], "versions")
    assert without(version, "schema") == without(committed_version, "schema")
    by_path = dict(nodes(schema_of(kind)))
    for path, node in nodes(version["schema"]["openAPIV3Schema"]):
        # What Kubernetes has to say is not known here, nor is the rule that is made from it.
        unknown = {"type", "properties", "items"}
        if path == ".spec":
            unknown.add("x-kubernetes-validations")
        for key in node.keys() - unknown:
            assert node[key] == by_path[path][key], f"{path}: run `make crds`"


def without(mapping: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in mapping.items() if key not in keys}


@every_kind
def test_every_property_of_ours_is_described(kind: definition.Kind) -> None:
    ours, _ = parts(kind)
    undescribed = [
        path
        for path, node in ours.items()
        if not node.get("description") and not path.endswith((".*", "[]"))
    ]

    # The API server forbids to describe metadata.
    assert undescribed == [".metadata", ".metadata.name"]


@every_kind
def test_types_of_kubernetes_are_embedded_without_their_descriptions(
    kind: definition.Kind,
) -> None:
    _, theirs = parts(kind)

    assert len(theirs) > 500
    assert [path for path, node in theirs.items() if "description" in node] == []


@every_kind
def test_types_of_kubernetes_default_nothing_but_the_protocol(kind: definition.Kind) -> None:
    _, theirs = parts(kind)

    defaults = {
        path.rpartition(".")[2]: node["default"]
        for path, node in theirs.items()
        if "default" in node
    }
    assert defaults == {"protocol": "TCP"}


@every_kind
def test_every_list_says_how_it_is_merged(kind: definition.Kind) -> None:
    lists = {path: node for path, node in nodes(schema_of(kind)) if node.get("type") == "array"}

    assert [path for path, node in lists.items() if "x-kubernetes-list-type" not in node] == []


@every_kind
def test_every_key_of_a_list_is_required_or_has_a_default(kind: definition.Kind) -> None:
    for path, node in nodes(schema_of(kind)):
        for key in node.get("x-kubernetes-list-map-keys", ()):
            items = node["items"]
            in_all = key in items.get("required", ()) or "default" in items["properties"][key]
            assert in_all, f"{path} is merged by {key}"


@every_kind
def test_nothing_but_a_quantity_is_left_open(kind: definition.Kind) -> None:
    for path, node in nodes(schema_of(kind)):
        if "x-kubernetes-preserve-unknown-fields" in node:
            assert node["pattern"] == structural.QUANTITY, path
        elif node.get("type") == "object":
            assert "properties" in node or "additionalProperties" in node, path


def limit_of(node: Schema) -> str | None:
    """The keyword that limits the size of a value here; None if the type already does."""
    if node.get("type") == "array":
        return "maxItems"
    if "additionalProperties" in node:
        return "maxProperties"
    is_text = node.get("type") == "string" and "enum" not in node
    return "maxLength" if is_text or is_of_several_types(node) else None


def is_of_several_types(node: Schema) -> bool:
    """Whether a value may also be text: a quantity, or a token in the place of a number or word."""
    marks = ("x-kubernetes-preserve-unknown-fields", "x-kubernetes-int-or-string", "anyOf")
    return any(mark in node for mark in marks)


@every_kind
def test_every_list_map_and_string_has_a_limit(kind: definition.Kind) -> None:
    # The API server limits these, and lets no CRD describe them.
    given = {".apiVersion", ".kind", ".metadata.name"}
    places = [
        (path, limit, node)
        for path, node in nodes(schema_of(kind))
        if (limit := limit_of(node)) and path not in given
    ]

    assert len(places) > 500
    assert [path for path, limit, node in places if limit not in node] == []


@every_kind
def test_a_crd_fits_into_the_annotation_of_client_side_apply(kind: definition.Kind) -> None:
    assert len(json.dumps(crd_of(kind))) < ANNOTATION_BYTES / 2


@every_kind
def test_the_defaults_are_those_of_the_manual(kind: definition.Kind) -> None:
    ours, _ = parts(kind)
    defaults = {path: node["default"] for path, node in ours.items() if "default" in node}

    assert defaults == {
        ".spec.activation": "Automatic",
        **(
            {".spec.optOut": "Allowed", ".spec.engine": "Webhook"}
            if kind.kind == names.CLUSTER_KIND
            else {}
        ),
        ".spec.priority": 0,
        ".spec.suspend": False,
        ".spec.dryRun": False,
        ".spec.failurePolicy": "Ignore",
        ".spec.onConflict": "Skip",
        ".spec.hostNetworkPods": "Skip",
        ".spec.operatingSystem": "Linux",
        ".spec.sidecarMode": "Auto",
        ".spec.placement": {},
        ".spec.placement.containers": "Last",
        ".spec.placement.initContainers": "First",
        ".spec.parameters[].type": "String",
        ".spec.applicationContainers.names": {},
        ".spec.applicationContainers.names.include": ["*"],
        ".spec.applicationContainers.names.exclude": [],
        ".spec.applicationContainers.initContainers": "Exclude",
        ".spec.applicationContainers.appendEnv[].separator": " ",
        ".spec.inherit.volumeMounts.fromContainers": ["*"],
        ".spec.inherit.volumeMounts.exclude": [],
    }


def test_the_cluster_kind_has_five_fields_more() -> None:
    namespaced, cluster = (
        {path for path, node in parts(kind)[0].items() if "description" in node}
        for kind in definition.KINDS
    )

    assert cluster - namespaced == {
        ".spec.namespaceSelector",
        ".spec.optOut",
        ".spec.engine",
        ".spec.template.spec.hostNetwork",
        ".spec.template.spec.hostPID",
    }
    assert namespaced <= cluster


@every_kind
def test_reserved_keys_and_words_are_the_ones_that_the_operator_reads(
    kind: definition.Kind,
) -> None:
    schema = schema_of(kind)
    metadata = schema["properties"]["spec"]["properties"]["template"]["properties"]["metadata"]
    (labels,) = metadata["properties"]["labels"]["x-kubernetes-validations"]
    (annotations,) = metadata["properties"]["annotations"]["x-kubernetes-validations"]
    _, words = schema["x-kubernetes-validations"]

    own = {f"{names.GROUP}/", f"{names.TUTORIAL_GROUP}/"}
    assert set(re.findall(r"'(.+?)'", labels["rule"])) == {names.INJECTION_LABEL, *own}
    assert set(re.findall(r"'(.+?)'", annotations["rule"])) == own
    assert set(re.findall(r"'(.+?)'", words["rule"])) == annotation.YES | annotation.NO
