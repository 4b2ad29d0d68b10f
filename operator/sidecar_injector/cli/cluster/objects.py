"""Live objects by the names that people type, and lists of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Sequence
from typing import TypeVar

import click

from sidecar_injector import names
from sidecar_injector.cli.cluster import errors
from sidecar_injector.kube import api

Result = TypeVar("Result")
SHORT_NAMES = {
    "po": "Pod", "rc": "ReplicationController", "ds": "DaemonSet", "deploy": "Deployment",
    "rs": "ReplicaSet", "sts": "StatefulSet", "cj": "CronJob",
}  # fmt: skip
"""kubectl's short names of the kinds that make pods."""
MAX_LISTS = 3
"""How often a list is started whose snapshot expires on the way."""


@dataclasses.dataclass(frozen=True, slots=True)
class Reference:
    """An object as people name it."""

    kind: str
    name: str
    """Empty for all objects of the kind."""

    def __str__(self) -> str:
        return f"{self.kind.lower()}/{self.name}"


def references(words: Sequence[str]) -> list[Reference]:
    """`KIND/NAME…`, or `KIND [NAME]…`, as kubectl has them.

    Raises UsageError for another form and for a kind that has no pod template.
    """
    if any("/" in word for word in words):
        return [_reference(word) for word in words]
    kind, *object_names = words
    if not object_names and kind.partition(".")[0].lower() not in spellings():
        raise click.UsageError(
            f"{kind!r} is not a kind; for an object of this name write its kind before it, such as"
            f" deploy/{kind} or pod/{kind}"
        )
    return [Reference(_kind(kind), name) for name in object_names or ("",)]


def _reference(text: str) -> Reference:
    kind, slash, name = text.partition("/")
    if not slash or not name or "/" in name:
        raise click.UsageError(f"{text!r} is not KIND/NAME, such as pod/web or deploy/web")
    return Reference(_kind(kind), name)


def _kind(text: str) -> str:
    """The kind, of a singular, plural or short name, with or without a group."""
    word = text.partition(".")[0].lower()
    kind = spellings().get(word)
    if not kind:
        raise click.UsageError(
            f"{text!r} has no pod template; KIND is one of"
            f" {', '.join(sorted(workload.lower() for workload in api.WORKLOADS))}."
            " By its name: KIND/NAME, such as deploy/web"
        )
    return kind


def spellings() -> dict[str, str]:
    """The kinds that have pods, by each of their names."""
    return SHORT_NAMES | {
        name: resource.kind
        for resource in api.WORKLOADS.values()
        for name in (resource.kind.lower(), resource.plural)
    }


async def read_selected(
    client: api.Api, wanted: Reference, *, namespace: str | None, selector: str
) -> list[api.Json]:
    """The object, or all of its kind in a namespace or in all, with version and kind."""
    resource = api.WORKLOADS[wanted.kind]
    if wanted.name and namespace:
        return [await read(client, wanted, namespace=namespace)]
    scope = api.Scope(namespace=namespace, label_selector=selector)
    head = {"apiVersion": resource.api_version, "kind": wanted.kind}
    return [{**item, **head} for item in await read_all(client, resource, scope=scope)]


async def read_existing(
    client: api.Api, references: Sequence[Reference], *, namespace: str | None, selector: str
) -> tuple[list[api.Json], list[errors.Explained]]:
    """The objects, and a sentence for each reference to nothing."""
    existing: list[api.Json] = []
    absent: list[errors.Explained] = []
    for reference in references:
        try:
            manifests = await read_selected(
                client, reference, namespace=namespace, selector=selector
            )
        except api.ApiError as error:
            if error.status != api.NOT_FOUND:
                raise
            manifests = []
        existing += manifests
        if not manifests:
            absent.append(await _absence(client, reference, namespace, selector))
    return existing, absent


async def _absence(
    client: api.Api, wanted: Reference, namespace: str | None, selector: str
) -> errors.Explained:
    """Where the object is instead, as far as the user may see it."""
    if namespace and not await _may_exist(client, namespace):
        return errors.no_namespace(namespace)
    place = f"in namespace {namespace}" if namespace else "in any namespace"
    which = f" with the labels {selector}" if selector else ""
    words = " ".join(filter(None, (wanted.kind.lower(), wanted.name)))
    what = f"there is no {words}{which} {place}"
    if not namespace:
        return errors.Explained(what)
    if not wanted.name:
        return errors.Explained(what, "-A looks in all namespaces")
    plural = api.WORKLOADS[wanted.kind].plural
    try:
        items = await read_all(client, api.WORKLOADS[wanted.kind], scope=api.by_name(wanted.name))
    except api.ApiError:
        return errors.Explained(what, f"See: kubectl get {plural} -n {namespace}, or -n another")
    places = sorted(api.metadata(item)["namespace"] for item in items)
    if not places:
        return errors.Explained(what, f"See: kubectl get {plural} -A")
    more = f" and {len(places) - 1} more" if len(places) > 1 else ""
    return errors.Explained(
        f"{what}; there is one in namespace {places[0]}{more}", f"Use -n {places[0]}"
    )


async def _may_exist(client: api.Api, namespace: str) -> bool:
    """Whether there is such a namespace, or the user may not know."""
    try:
        return await api.get_or_none(client, api.NAMESPACES, name=namespace) is not None
    except api.ApiError:
        return True


async def read(client: api.Api, wanted: Reference, *, namespace: str) -> api.Json:
    """The object with its version and kind; ApiError if it does not exist."""
    resource = api.WORKLOADS[wanted.kind]
    manifest = await client.get(resource, name=wanted.name, namespace=namespace)
    return {**manifest, "apiVersion": resource.api_version, "kind": wanted.kind}


async def read_all(
    client: api.Api, resource: api.Resource, *, scope: api.Scope = api.EVERYTHING
) -> list[api.Json]:
    """All objects of a list, however many pages it has."""
    for attempt in range(MAX_LISTS):
        try:
            pages = client.pages(resource, scope=scope)
            return [item async for page in pages for item in page.items]
        except api.ApiError as error:
            if error.status != api.GONE or attempt == MAX_LISTS - 1:
                raise
    raise AssertionError


async def unless_forbidden(
    reading: Awaitable[Result], *, notes: list[str], consequence: str
) -> Result | None:
    """What is read; None and a note with the consequence where the user may not read it."""
    try:
        return await reading
    except api.ApiError as error:
        if error.status != api.FORBIDDEN:
            raise
        notes.append(f"{errors.denied(error).sentence}: {consequence}")
        return None


def labels(resource: api.Json) -> dict[str, str]:
    """The labels of an object; empty if it has none."""
    return api.metadata(resource).get("labels") or {}


def is_enabled(namespace: api.Json) -> bool:
    """Whether a namespace carries our label with the value that enables injection."""
    return labels(namespace).get(names.INJECTION_LABEL) == names.ENABLED
