"""The world of a decision, read from a cluster."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from sidecar_injector import crds, names
from sidecar_injector.cli.cluster import objects, release
from sidecar_injector.core.injections import model
from sidecar_injector.core.injections import world as worlds
from sidecar_injector.kube import api

KINDS = {names.KIND: api.INJECTIONS, names.CLUSTER_KIND: api.CLUSTER_INJECTIONS}


class NoDefinitionsError(release.ReleaseError):
    """The cluster does not know our kinds."""

    def __init__(self) -> None:
        super().__init__(
            f"the cluster has no {names.KIND}: {names.PRODUCT} is not installed; {release.INSTALL}"
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Live:
    """A custom resource as it is, and as it is decided by."""

    resource: api.Json
    injection: model.Injection


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """All injections that the asking person may see."""

    injections: Sequence[Live]
    notes: Sequence[str] = ()
    """What could not be seen, in sentences."""

    def of(self, namespace: str) -> tuple[model.Injection, ...]:
        """Those that may apply in a namespace, in the order in which they are tried."""
        found = [one.injection for one in self.injections]
        return worlds.ordered([one for one in found if one.namespace in (None, namespace)])


async def injections(asked: api.Api, *, namespace: str | None = None) -> Read:
    """Those of a namespace and of the cluster; None: of every namespace.

    Raises NoDefinitionsError where the cluster does not know the kinds. Who may not read the
    cluster kind is told so by a note.
    """
    found: list[Live] = []
    notes: list[str] = []
    for kind, resource in KINDS.items():
        scope = api.Scope(namespace=namespace if kind == names.KIND else None)
        try:
            items = await objects.listed(asked, resource, scope=scope)
        except api.ApiError as error:
            if error.status == api.NOT_FOUND:
                raise NoDefinitionsError from error
            if error.status != api.FORBIDDEN or kind == names.KIND:
                raise
            notes.append(f"you may not list {resource.plural}: what they do is not shown")
            continue
        found += [live({**one, "apiVersion": names.API_VERSION, "kind": kind}) for one in items]
    return Read(injections=found, notes=notes)


def live(resource: api.Json) -> Live:
    """A custom resource with its kind, read as the operator reads it."""
    return Live(resource, model.read(resource, spec_schema=crds.spec_schema(resource["kind"])))


def namespace(thing: api.Json) -> worlds.Namespace:
    """What a decision needs of a namespace."""
    metadata = api.metadata(thing)
    return worlds.Namespace(
        metadata["name"], metadata.get("labels") or {}, metadata.get("annotations") or {}
    )


async def world(
    asked: api.Api, name: str, *, known: Read, release_namespace: str, thing: api.Json | None = None
) -> worlds.World:
    """The world of a namespace; `thing` is its object, if that was read already."""
    applying = known.of(name)
    return worlds.World(
        namespace=namespace(thing or await asked.get(api.NAMESPACES, name=name)),
        injections=applying,
        service_accounts=await _service_accounts(asked, name, applying),
        release_namespace=release_namespace,
    )


async def _service_accounts(
    asked: api.Api, namespace: str, applying: Sequence[model.Injection]
) -> frozenset[str] | None:
    """The names, if anything depends on them and they may be read."""
    if not any(one.template_spec.get("serviceAccountName") for one in applying):
        return None
    scope = api.Scope(namespace=namespace, metadata_only=True)
    try:
        found = await objects.listed(asked, api.SERVICE_ACCOUNTS, scope=scope)
    except api.ApiError as error:
        if error.status != api.FORBIDDEN:
            raise
        return None
    return frozenset(api.metadata(one)["name"] for one in found)
