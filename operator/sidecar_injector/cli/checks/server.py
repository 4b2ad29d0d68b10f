"""The cluster itself: its version, and what its schema knows."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

from sidecar_injector import crds, names
from sidecar_injector.cli.checks.finding import FAILED, OK, WARNING, CheckResult, Scene
from sidecar_injector.kube import api

OLDEST = (1, 32)
"""Native sidecars, matchConditions and CRD validation rules are all on from here."""
SCHEMAS = "/openapi/v3/api/v1"
POD_SPEC = "io.k8s.api.core.v1.PodSpec"
MOST_NAMED = 5
SUPPORTED = f"upgrade the cluster: {OLDEST[0]}.{OLDEST[1]} is the oldest supported version"


async def version(scene: Scene) -> AsyncIterator[CheckResult]:
    """Whether this Kubernetes is new enough."""
    said = await scene.asked.document("/version")
    text = str(said.get("gitVersion"))
    number = re.match(r"v(\d+)\.(\d+)", text)
    if number is None:
        yield CheckResult("cluster", WARNING, f"cannot read its version {text!r}", SUPPORTED)
    elif tuple(map(int, number.groups())) < OLDEST:
        yield CheckResult("cluster", FAILED, f"Kubernetes {text} is too old", SUPPORTED)
    else:
        yield CheckResult("cluster", OK, f"Kubernetes {text}")


async def acceptable_fields(scene: Scene) -> AsyncIterator[CheckResult]:
    """Whether the cluster knows every field that a template may have."""
    ours = crds.spec_schema(names.CLUSTER_KIND)["properties"]["template"]["properties"]["spec"]
    schemas = await _schemas(scene)
    unknown = sorted(set(_unknown_properties(ours, schemas[POD_SPEC], schemas, path="")))
    if unknown:
        yield CheckResult(
            "fields", WARNING, f"this Kubernetes does not know {_some(unknown)}",
            "leave them out of templates: the API server would drop them from pods",
        )  # fmt: skip
    else:
        yield CheckResult(
            "fields", OK, "this Kubernetes knows every field that a template may have"
        )


async def used_fields(scene: Scene) -> AsyncIterator[CheckResult]:
    """Whether the cluster knows every field that the templates use."""
    if scene.known is None or not scene.known.injections:
        return
    schemas = await _schemas(scene)
    count = 0
    for one in scene.known.injections:
        found = sorted(set(_unknown(one.injection.template_spec, schemas[POD_SPEC], schemas)))
        count += bool(found)
        if found:
            yield CheckResult(
                "fields", WARNING,
                f"{one.injection.reference}: this Kubernetes does not know template.spec"
                f"{_some(found)}",
                "leave them out: the API server drops them from pods",
            )  # fmt: skip
    if not count:
        yield CheckResult("fields", OK, "this Kubernetes knows every field that the templates use")


async def _schemas(scene: Scene) -> Mapping[str, Any]:
    document = await scene.asked.document(SCHEMAS)
    found: Mapping[str, Any] = document["components"]["schemas"]
    return found


def _unknown(
    value: Any, schema: api.Json, schemas: Mapping[str, Any], *, path: str = ""
) -> Iterator[str]:
    """Paths in a value for which the API server's own schema has no property."""
    schema = _resolved(schema, schemas)
    if isinstance(value, list):
        for item in value:
            yield from _unknown(item, schema.get("items") or {}, schemas, path=f"{path}[]")
    elif isinstance(value, dict) and "properties" in schema:
        for key, member in value.items():
            inner = schema["properties"].get(key)
            if inner is None:
                yield f"{path}.{key}"
            else:
                yield from _unknown(member, inner, schemas, path=f"{path}.{key}")


def _unknown_properties(
    ours: api.Json, theirs: api.Json, schemas: Mapping[str, Any], *, path: str
) -> Iterator[str]:
    """The same for all values of a schema of ours."""
    theirs = _resolved(theirs, schemas)
    if "items" in ours:
        yield from _unknown_properties(
            ours["items"], theirs.get("items") or {}, schemas, path=f"{path}[]"
        )
    if "properties" not in theirs:
        return
    for key, inner in (ours.get("properties") or {}).items():
        found = theirs["properties"].get(key)
        if found is None:
            yield f"{path}.{key}"
        else:
            yield from _unknown_properties(inner, found, schemas, path=f"{path}.{key}")


def _resolved(schema: api.Json, schemas: Mapping[str, Any]) -> api.Json:
    """What a reference refers to; the API server wraps it in allOf where a default stands by."""
    while True:
        if "$ref" in schema:
            schema = schemas[schema["$ref"].rpartition("/")[2]]
        elif len(schema.get("allOf") or ()) == 1:
            schema = schema["allOf"][0]
        else:
            return schema


def _some(paths: list[str]) -> str:
    more = f" and {len(paths) - MOST_NAMED} more" if len(paths) > MOST_NAMED else ""
    return ", ".join(paths[:MOST_NAMED]) + more
