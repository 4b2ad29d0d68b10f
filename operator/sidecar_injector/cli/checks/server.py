"""The cluster itself: its version, and the fields that its schema knows."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

from sidecar_injector import crds, names
from sidecar_injector.cli.checks.finding import FAILED, OK, WARNING, CheckContext, CheckResult
from sidecar_injector.core.validity import releases
from sidecar_injector.kube import api

OLDEST = (1, releases.OLDEST)
"""From this version native sidecars, matchConditions and CRD validation rules are enabled."""
SCHEMAS = "/openapi/v3/api/v1"
POD_SPEC = "io.k8s.api.core.v1.PodSpec"
MAX_NAMED = 5
SUPPORTED = f"upgrade the cluster: {OLDEST[0]}.{OLDEST[1]} is the oldest supported version"


async def version(context: CheckContext) -> AsyncIterator[CheckResult]:
    """Whether this Kubernetes is new enough."""
    text = str((await context.client.document("/version")).get("gitVersion"))
    number = re.match(r"v(\d+)\.(\d+)", text)
    if number is None:
        yield CheckResult("cluster", WARNING, f"cannot read its version {text!r}", SUPPORTED)
    elif tuple(map(int, number.groups())) < OLDEST:
        yield CheckResult("cluster", FAILED, f"Kubernetes {text} is too old", SUPPORTED)
    else:
        yield CheckResult("cluster", OK, f"Kubernetes {text}")


async def acceptable_fields(context: CheckContext) -> AsyncIterator[CheckResult]:
    """Whether the cluster knows every field that a template may have."""
    ours = crds.spec_schema(names.CLUSTER_KIND)["properties"]["template"]["properties"]["spec"]
    schemas = await _schemas(context)
    unknown = sorted(set(_unknown(_example(ours), schemas[POD_SPEC], schemas)))
    if unknown:
        yield CheckResult(
            "fields", WARNING, f"this Kubernetes does not know {_some(unknown)}",
            "leave them out of templates: the API server would drop them from pods",
        )  # fmt: skip
    else:
        yield CheckResult(
            "fields", OK, "this Kubernetes knows every field that a template may have"
        )


async def used_fields(context: CheckContext) -> AsyncIterator[CheckResult]:
    """Whether the cluster keeps every field that the injections use."""
    if context.injections is None or not context.injections.injections:
        return
    version = str((await context.client.document("/version")).get("gitVersion"))
    minor = min(releases.minor_of(version), releases.NEWEST)
    count = 0
    for live in context.injections.injections:
        if paths := list(releases.dropped(live.injection.spec, minor=minor)):
            count += 1
            yield CheckResult(
                "fields", WARNING,
                f"{live.injection.reference}: Kubernetes 1.{minor} drops {_some(paths)}, unless a"
                " feature gate is on",
                "leave them out: pods come without them",
            )  # fmt: skip
    if not count:
        yield CheckResult("fields", OK, f"Kubernetes 1.{minor} keeps every field that they use")


async def _schemas(context: CheckContext) -> Mapping[str, Any]:
    document = await context.client.document(SCHEMAS)
    schemas: Mapping[str, Any] = document["components"]["schemas"]
    return schemas


def _unknown(
    value: Any, schema: api.Json, schemas: Mapping[str, Any], *, path: str = ""
) -> Iterator[str]:
    """Paths in a value that the schema of the API server does not have."""
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


def _example(schema: api.Json) -> Any:
    """A value that has every property of a schema, for a comparison with another schema."""
    if "items" in schema:
        return [_example(schema["items"])]
    return {key: _example(inner) for key, inner in (schema.get("properties") or {}).items()}


def _resolved(schema: api.Json, schemas: Mapping[str, Any]) -> api.Json:
    """The schema that a reference names; beside a default the API server wraps it in allOf."""
    while True:
        if "$ref" in schema:
            schema = schemas[schema["$ref"].rpartition("/")[2]]
        elif len(schema.get("allOf") or ()) == 1:
            schema = schema["allOf"][0]
        else:
            return schema


def _some(paths: list[str]) -> str:
    more = f" and {len(paths) - MAX_NAMED} more" if len(paths) > MAX_NAMED else ""
    return ", ".join(paths[:MAX_NAMED]) + more
