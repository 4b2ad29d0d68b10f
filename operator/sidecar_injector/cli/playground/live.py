"""The injections and workloads of a namespace of a cluster; nothing is written there."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final

import click

from sidecar_injector.cli.cluster import client as cluster_client
from sidecar_injector.cli.cluster import discovery, objects, owners
from sidecar_injector.cli.cluster import injections as cluster_injections
from sidecar_injector.cli.cluster import pods as cluster_pods
from sidecar_injector.cli.input import yaml_documents
from sidecar_injector.cli.playground import answers
from sidecar_injector.kube import api

SECONDS: Final = 5.0
"""For each request: a person waits."""
MOST: Final = 500
"""Objects of a kind that are offered at most."""
ALL: Final = "all"
"""In the place of KIND/NAME: every injection that may apply in the namespace."""
KEPT: Final = ("name", "generateName", "namespace", "labels", "annotations")
"""Of the metadata: what people write."""
LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"

Reading = Callable[[api.Api, str, Mapping[str, str]], Coroutine[Any, Any, api.Json]]
"""Reads in a namespace what the texts of a request name."""


def read(
    address: cluster_client.Address, namespace: str, reading: Reading, texts: Mapping[str, str]
) -> api.Json:
    """What is read; an error is a note on the page, which stays."""
    address = dataclasses.replace(address, seconds=SECONDS)
    try:
        return cluster_client.run(address, lambda client: reading(client, namespace, texts))
    except click.ClickException as error:
        return {"notes": [error.format_message()]}


async def choices(client: api.Api, namespace: str, _: Mapping[str, str]) -> api.Json:
    """The `KIND/NAME` for each editor, without what a controller has made."""
    live = await cluster_injections.injections(client, namespace=namespace)
    names, notes = [_name(each.resource) for each in live.injections], [*live.notes]
    offered: list[str] = []
    for resource in (*api.WORKLOADS.values(), *await discovery.Discovery(client).known()):
        items = await objects.unless_forbidden(
            _first(client, resource, namespace), notes=notes, consequence="they are not offered"
        )
        is_custom = resource not in api.WORKLOADS.values()
        kind = f"{resource.kind}.{resource.group}" if is_custom else resource.kind
        offered += [
            _name({**item, "kind": kind})
            for item in items or ()
            if not owners.controller_of(api.metadata(item))
        ]
    if not notes and not names and not offered:
        notes.append(f"namespace {namespace} has neither injections nor workloads")
    all_names = [ALL, *names] if names else []
    return {
        answers.INJECTIONS: all_names, answers.PODS: offered, "namespace": namespace, "notes": notes
    }  # fmt: skip


async def manifests(client: api.Api, namespace: str, texts: Mapping[str, str]) -> api.Json:
    """As `text`: what is chosen for an `editor`, as its author may have written it.

    Before a workload is its Namespace, which counts as well.
    """
    choice, notes = texts.get("choice", ""), list[str]()
    if texts.get("editor") == answers.INJECTIONS:
        live = await cluster_injections.injections(client, namespace=namespace)
        every = [each.resource for each in live.injections]
        resources = [resource for resource in every if choice in (ALL, _name(resource))]
    else:
        (reference,) = await objects.resolved(
            objects.references([choice]), discovery.Discovery(client)
        )
        around = await objects.unless_forbidden(
            client.get(api.NAMESPACES, name=namespace), notes=notes, consequence="it does not count"
        )
        head = {"apiVersion": "v1", "kind": "Namespace"}
        resources = [{**head, "metadata": api.metadata(around)}] if around else []
        resources.append(await objects.read(client, reference, namespace=namespace))
    return {"text": yaml_documents.dump_all([*map(_written, resources)]), "notes": notes}


async def _first(client: api.Api, resource: api.Resource, namespace: str) -> list[api.Json]:
    scope = api.Scope(namespace=namespace, metadata_only=True)
    page = await anext(client.pages(resource, scope=scope, limit=MOST))
    return page.items


def _name(resource: api.Json) -> str:
    return f"{resource['kind']}/{api.metadata(resource)['name']}"


def _written(resource: api.Json) -> api.Json:
    """The object without what the cluster has written into it."""
    manifest = cluster_pods.as_new(resource) if resource["kind"] == "Pod" else resource
    metadata = {**api.metadata(manifest)}
    annotations = metadata.get("annotations") or {}
    metadata["annotations"] = {k: v for k, v in annotations.items() if k != LAST_APPLIED}
    metadata = {key: metadata[key] for key in KEPT if metadata.get(key)}
    # The items of a list have version and kind at their end.
    whole = {"apiVersion": "", "kind": "", **manifest, "metadata": metadata}
    return {key: value for key, value in whole.items() if key != "status"}
