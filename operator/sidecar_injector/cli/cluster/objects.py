"""Live objects by the names that people type, and lists of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable
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

    def __str__(self) -> str:
        return f"{self.kind.lower()}/{self.name}"


def reference(text: str) -> Reference:
    """`KIND/NAME` as kubectl spells kinds: singular, plural, short, with or without a group.

    Raises UsageError for another form and for a kind that makes no pods.
    """
    kind, slash, name = text.partition("/")
    word = kind.partition(".")[0].lower()
    spellings = dict(SHORT_NAMES)
    for resource in api.WORKLOADS.values():
        spellings |= {resource.kind.lower(): resource.kind, resource.plural: resource.kind}
    if not slash or not name or "/" in name:
        raise click.UsageError(f"{text!r} is no KIND/NAME, such as pod/web or deploy/web")
    if word not in spellings:
        raise click.UsageError(
            f"{text!r}: {kind!r} makes no pods; KIND is one of"
            f" {', '.join(sorted(workload.lower() for workload in api.WORKLOADS))}"
        )
    return Reference(spellings[word], name)


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
