"""Sources for converters, and what is made of them."""

from __future__ import annotations

import pathlib
from collections.abc import Iterable
from typing import Any

import yaml

from sidecar_injector import crds, names
from sidecar_injector.cli.input import yaml_documents
from sidecar_injector.convert import findings, sidecarset, sources
from sidecar_injector.core.injections import model, schema
from tests.kits.samples import Json, container

SELECTOR = {"matchLabels": {"tier": "web"}}
DATA = pathlib.Path(__file__).parent / "data/convert"


def target(namespace: str | None = None) -> findings.Target:
    kind = names.CLUSTER_KIND if namespace is None else names.KIND
    return findings.Target(namespace, crds.spec_schema(kind))


def parse(text: str) -> Any:
    try:
        return next(iter(yaml_documents.load_all(text)), None)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error


def source(value: Any, **fields: Any) -> sources.SourceObject:
    return sources.SourceObject(place="here", value=value, **fields)


def file(name: str) -> list[sources.SourceObject]:
    text = (DATA / name).read_text(encoding="utf-8")
    return [
        sources.SourceObject(place=name, value=value) for value in yaml_documents.load_all(text)
    ]


def config_map(name: str = "sidecars", **data: str) -> Json:
    keys = {key.replace("_", "."): text for key, text in data.items()}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": keys}


def warnings(conversion: findings.Conversion) -> list[str]:
    return [str(finding) for finding in conversion.warnings]


def names_of(parts: Iterable[Json]) -> list[str]:
    return [part["name"] for part in parts]


def injection_names(conversion: findings.Conversion) -> list[str]:
    """The names of the injections."""
    return names_of(resource["metadata"] for resource in conversion.injections)


def only_spec(conversion: findings.Conversion) -> Json:
    """The spec of the only injection."""
    (resource,) = conversion.injections
    spec: Json = resource["spec"]
    return spec


def fields(conversion: findings.Conversion) -> list[str]:
    """The fields with warnings."""
    return [finding.field for finding in conversion.warnings]


def read(resources: Iterable[Json]) -> list[model.Injection]:
    """The injections as the webhook reads them."""
    return [
        model.read(resource, spec_schema=crds.spec_schema(resource["kind"]))
        for resource in resources
    ]


def misfits(conversion: findings.Conversion) -> list[schema.Problem]:
    """Everything that the CRDs' schemas would refuse."""
    return [
        problem
        for resource in conversion.injections
        for problem in schema.problems(crds.spec_schema(resource["kind"]), resource["spec"])
    ]


def sidecar_set(version: str = "v1beta1", name: str = "logs", **spec: Any) -> Json:
    usual: Json = {
        "selector": SELECTOR,
        "containers": [container()],
        "updateStrategy": {"type": "NotUpdate"},
    }
    return {
        "apiVersion": f"apps.kruise.io/{version}",
        "kind": "SidecarSet",
        "metadata": {"name": name},
        "spec": usual | spec,
    }


def converted_sets(*values: Any) -> findings.Conversion:
    conversion = sidecarset.convert([source(value) for value in values], target=target())
    assert misfits(conversion) == []
    return conversion
