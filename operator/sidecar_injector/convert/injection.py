"""What the injections of all converters share."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from sidecar_injector import names
from sidecar_injector.convert import findings, fitting
from sidecar_injector.core.injections import model, parameters, schema

Json = dict[str, Any]
CONTAINER_LISTS = ("containers", "initContainers")


@dataclasses.dataclass(frozen=True, slots=True)
class Target:
    """What is to come out: the kind, and what its schema accepts."""

    namespace: str | None
    """Of the SidecarInjections; None makes ClusterSidecarInjections."""
    spec_schema: schema.Schema
    """Of `spec` in the CRD of that kind."""

    @property
    def kind(self) -> str:
        """The kind of the injections."""
        return names.CLUSTER_KIND if self.namespace is None else names.KIND

    def part(self, *path: str) -> schema.Schema:
        """The schema of a field of `spec`; empty where this kind has no such field."""
        found: Any = self.spec_schema
        for name in path:
            found = (found.get("properties") or {}).get(name) or {}
        part: schema.Schema = found
        return part

    def pod_part(self, field: str) -> schema.Schema:
        """The schema of a field of `spec.template.spec`."""
        return self.part("template", "spec", field)

    def resource(self, name: str, spec: Mapping[str, Any], spot: findings.Location) -> Json:
        """The custom resource; warns about everything for which it would be refused."""
        metadata = {"name": name} | ({"namespace": self.namespace} if self.namespace else {})
        resource = {
            "apiVersion": names.API_VERSION,
            "kind": self.kind,
            "metadata": metadata,
            "spec": dict(spec),
        }
        for field, sentence in model.read(resource, spec_schema=self.spec_schema).errors:
            spot.warn(f"the injection {name!r} would be refused: {field} {sentence}")
        for field, _, token in parameters.tokens(resource["spec"], path="spec"):
            if token in parameters.BUILT_IN:
                spot.warn(f"the injection {name!r} fills in $({token}) per pod: {field}")
        return resource


def pod_parts(
    target: Target, fields: tuple[str, ...], value: Mapping[str, Any], spot: findings.Location
) -> Json:
    """Those fields of a pod's spec, cut to what a template accepts; absent where nothing is left.

    A field that this kind of injection has not is warned about.
    """
    found: Json = {}
    for field in fields:
        where = spot.member(field)
        if not target.pod_part(field):
            if value.get(field):
                where.warn(f"is left out: only a {names.CLUSTER_KIND} can set it")
            continue
        fitted = fitting.fit(target.pod_part(field), value.get(field), where)
        if field == "containers":
            fitted = [_without_policy(one, where) for one in fitted or ()]
        if fitted:
            found[field] = fitted
    return found


def _without_policy(container: Json, spot: findings.Location) -> Json:
    if "restartPolicy" in container:
        spot.warn(
            f"restartPolicy of {container['name']!r} is left out: sidecarMode decides it, and"
            " initContainers are where a native sidecar of its own may stand"
        )
    return {key: value for key, value in container.items() if key != "restartPolicy"}


def containers(parts: Mapping[str, Any]) -> Iterator[Json]:
    """The containers of both lists."""
    for field in CONTAINER_LISTS:
        yield from parts.get(field) or ()


def present(**members: Any) -> Json:
    """The members that say something; what is in them is left as it is."""
    return {key: value for key, value in members.items() if value not in (None, "", [], {}, False)}
