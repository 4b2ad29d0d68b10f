"""Live objects by the names that people type, and lists of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Sequence
from typing import TypeVar

import click

from sidecar_injector import names
from sidecar_injector.cli.cluster import discovery, errors
from sidecar_injector.core.pods import kinds
from sidecar_injector.kube import api

Result = TypeVar("Result")
MAX_LISTS = 3
"""How often a list is started whose snapshot expires on the way."""


@dataclasses.dataclass(frozen=True, slots=True)
class Reference:
    """An object as people name it."""

    kind: str
    """As people write it until the cluster says what it is."""
    name: str
    """Empty for all objects of the kind."""
    resource: api.Resource | None = None
    """None for a kind that only the cluster may know."""

    def __str__(self) -> str:
        return f"{self.kind.lower()}/{self.name}"

    @property
    def read_from(self) -> api.Resource:
        """The resource of a reference that is resolved."""
        assert self.resource
        return self.resource

    @property
    def group(self) -> str:
        """The API group of a custom kind; empty for a kind of Kubernetes."""
        return "" if self.read_from in api.WORKLOADS.values() else self.read_from.group


def references(words: Sequence[str]) -> list[Reference]:
    """`KIND/NAME…`, or `KIND [NAME]…`, as kubectl has them; UsageError for another form.

    Kinds that are not of Kubernetes are left to `resolved`.
    """
    if any("/" in word for word in words):
        return [_reference(word) for word in words]
    kind, *object_names = words
    return [_of_word(kind, name) for name in object_names or ("",)]


def _reference(text: str) -> Reference:
    kind, _, name = text.partition("/")
    if not kind or not name or "/" in name:
        raise click.UsageError(f"{text!r} is not KIND/NAME, such as pod/web or deploy/web")
    return _of_word(kind, name)


def _of_word(word: str, name: str) -> Reference:
    resource = own_resource(word)
    return Reference(resource.kind if resource else word, name, resource)


def own_resource(word: str) -> api.Resource | None:
    """The kind of Kubernetes, of a singular, plural or short name, with or without its group."""
    name, _, group = word.lower().partition(".")
    resource = api.WORKLOADS.get(spellings().get(name, ""))
    groups = ("", "v1", f"v1.{resource.group}", resource.group) if resource else ()
    return resource if group in groups else None


async def resolved(
    references: Sequence[Reference], kinds_served: discovery.Discovery
) -> list[Reference]:
    """The references with what the cluster serves. Raises UsageError for what it does not."""
    return [
        reference if reference.resource else await _resolved(reference, kinds_served)
        for reference in references
    ]


async def _resolved(reference: Reference, kinds_served: discovery.Discovery) -> Reference:
    word = reference.kind
    served = await kinds_served.by_word(word)
    if served is None and not reference.name:
        raise click.UsageError(
            f"{word!r} is not a kind; for an object of this name write its kind before it, such as"
            f" deploy/{word} or pod/{word}"
        )
    if served is None:
        raise click.UsageError(
            f"{word!r} is not a kind that has pods; there are"
            f" {', '.join(sorted(workload.lower() for workload in api.WORKLOADS))}, and the custom"
            " kinds that the cluster serves: kubectl api-resources"
        )
    if not served.is_namespaced:
        raise click.UsageError(f"{word!r} has no pods: its objects are in no namespace")
    return Reference(served.resource.kind, reference.name, served.resource)


def spellings() -> dict[str, str]:
    """The kinds of Kubernetes that have pods, by each of their names."""
    return {
        name: resource.kind
        for resource in api.WORKLOADS.values()
        for name in (resource.kind.lower(), resource.plural, kinds.BUILT_IN[resource.kind].short)
        if name
    }


async def read_selected(
    client: api.Api, wanted: Reference, *, namespace: str | None, selector: str
) -> list[api.Json]:
    """The object, or all of its kind in a namespace or in all, with version and kind."""
    resource = wanted.read_from
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
    plural = f"{wanted.read_from.plural}.{wanted.group}".rstrip(".")
    try:
        items = await read_all(client, wanted.read_from, scope=api.by_name(wanted.name))
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
    resource = wanted.read_from
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
