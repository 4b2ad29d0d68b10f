"""Manifests from files, with the injections and namespaces of a cluster."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from sidecar_injector import names
from sidecar_injector.cli.cluster import client as cluster_client
from sidecar_injector.cli.cluster import injections as cluster_injections
from sidecar_injector.cli.cluster import objects, release
from sidecar_injector.cli.commands import inject
from sidecar_injector.cli.input import manifests
from sidecar_injector.core.injections import namespace_view
from sidecar_injector.core.pods import workloads
from sidecar_injector.kube import api

Views = dict[str, namespace_view.NamespaceView]


def injector(
    address: cluster_client.Address,
    documents: Sequence[manifests.Document],
    *,
    namespace: str | None,
    namespace_labels: Mapping[str, str],
) -> inject.Injector:
    """An injector for these documents; a Namespace among them counts before the cluster's."""
    default = namespace or cluster_client.context_namespace(address)
    among = inject.namespaces_among(documents)
    places = {default, *_namespaces_of_pods(documents, default=default)}
    limits = inject.limits_among(documents, namespace=default, notes=[])
    views, notes = cluster_client.run(
        address,
        lambda client: _read(
            client,
            sorted(places),
            among=among,
            limits=limits,
            release_namespace=address.release_namespace,
        ),
        doing="reading",
    )

    def view_of(name: str) -> namespace_view.NamespaceView:
        view = views[name]
        labels = {**view.namespace.labels, **namespace_labels}
        return dataclasses.replace(
            view, namespace=dataclasses.replace(view.namespace, labels=labels)
        )

    known = {name: view.namespace for name, view in views.items()}
    return inject.Injector(view_of=view_of, namespace=default, namespaces=known, notes=notes)


def _namespaces_of_pods(documents: Sequence[manifests.Document], *, default: str) -> set[str]:
    return {
        (item.manifest.get("metadata") or {}).get("namespace") or default
        for item in manifests.every_item(documents)
        if workloads.pod_paths(item.manifest)
    }


async def _read(
    client: api.Api,
    places: Sequence[str],
    *,
    among: Mapping[str, namespace_view.Namespace],
    limits: Mapping[str, Sequence[api.Json]],
    release_namespace: str | None,
) -> tuple[Views, list[str]]:
    notes: list[str] = []
    views: Views = {}
    settings = await release.settings_of(client, chosen=release_namespace)
    for name in places:
        injections = await cluster_injections.injections(client, namespace=name)
        notes += injections.notes
        resource = _resource(among[name]) if name in among else await _live(client, name, notes)
        views[name] = await cluster_injections.namespace_view(
            client,
            name,
            injections=injections,
            release_namespace=settings.namespace,
            resource=resource,
            limits=await cluster_injections.limits(
                client, name, settings=settings, notes=notes, of_files=limits.get(name, ())
            ),
        )
    return views, notes


async def _live(client: api.Api, name: str, notes: list[str]) -> api.Json:
    """The namespace of the cluster; an assumed one, with a note, where there is none to see."""
    assumed = namespace_view.Namespace.assumed(name)
    label = f"{names.INJECTION_LABEL}={names.ENABLED}"
    resource = await objects.unless_forbidden(
        api.get_or_none(client, api.NAMESPACES, name=name),
        notes=notes,
        consequence=f"namespace {name} is assumed to have the label {label}",
    )
    if resource is None and not any(f"namespace {name} is assumed" in note for note in notes):
        notes.append(
            f"the cluster has no namespace {name}; it is assumed to have the label {label}"
        )
    return resource or _resource(assumed)


def _resource(namespace: namespace_view.Namespace) -> api.Json:
    return {
        "metadata": {
            "name": namespace.name,
            "labels": dict(namespace.labels),
            "annotations": dict(namespace.annotations),
        }
    }
