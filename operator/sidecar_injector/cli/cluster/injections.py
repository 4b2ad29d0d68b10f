"""The world of a decision, read from a cluster."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from sidecar_injector import crds, names
from sidecar_injector.cli.cluster import objects, release
from sidecar_injector.core.injections import model, namespace_view
from sidecar_injector.kube import api

KINDS = {names.KIND: api.INJECTIONS, names.CLUSTER_KIND: api.CLUSTER_INJECTIONS}


class NoDefinitionsError(release.ReleaseError):
    """The cluster does not know our kinds."""

    def __init__(self) -> None:
        super().__init__(
            f"the cluster has no {names.KIND}: {names.PRODUCT} is not installed; {release.INSTALL}"
        )


@dataclasses.dataclass(frozen=True, slots=True)
class LiveInjection:
    """A custom resource as it is, and as it is decided by."""

    resource: api.Json
    injection: model.Injection


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ReadInjections:
    """All injections that the asking person may see."""

    injections: Sequence[LiveInjection]
    notes: Sequence[str] = ()
    """What could not be seen, in sentences."""

    def of(self, namespace: str) -> tuple[model.Injection, ...]:
        """Those that may apply in a namespace, in the order in which they are tried."""
        found = [one.injection for one in self.injections]
        return namespace_view.ordered([one for one in found if one.namespace in (None, namespace)])


async def injections(asked: api.Api, *, namespace: str | None = None) -> ReadInjections:
    """Those of a namespace and of the cluster; None: of every namespace.

    Raises NoDefinitionsError where the cluster does not know the kinds. Who may not read the
    cluster kind is told so by a note.
    """
    found: list[LiveInjection] = []
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
    return ReadInjections(injections=found, notes=notes)


def live(resource: api.Json) -> LiveInjection:
    """A custom resource with its kind, read as the operator reads it."""
    return LiveInjection(
        resource, model.read(resource, spec_schema=crds.spec_schema(resource["kind"]))
    )


def namespace(thing: api.Json) -> namespace_view.Namespace:
    """What a decision needs of a namespace."""
    metadata = api.metadata(thing)
    return namespace_view.Namespace(
        metadata["name"], metadata.get("labels") or {}, metadata.get("annotations") or {}
    )


async def world(
    asked: api.Api,
    name: str,
    *,
    known: ReadInjections,
    release_namespace: str,
    thing: api.Json | None = None,
) -> namespace_view.NamespaceView:
    """The world of a namespace; `thing` is its object, if that was read already."""
    applying = known.of(name)
    return namespace_view.NamespaceView(
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
