"""Live objects by the names that people type, and lists of them."""

from __future__ import annotations

import dataclasses

import click

from sidecar_injector import names
from sidecar_injector.kube import api

RESOURCES = api.WORKLOADS
"""By kind: everything that makes pods."""
SHORT = {
    "po": "Pod", "rc": "ReplicationController", "ds": "DaemonSet", "deploy": "Deployment",
    "rs": "ReplicaSet", "sts": "StatefulSet", "cj": "CronJob",
}  # fmt: skip
"""kubectl's own."""
MOST_LISTS = 3
"""How often a list is begun anew whose snapshot expires."""


@dataclasses.dataclass(frozen=True, slots=True)
class Reference:
    """An object as people name it."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind.lower()}/{self.name}"


def reference(text: str) -> Reference:
    """`KIND/NAME` as kubectl spells kinds: singular, plural, short, with a group or without.

    Raises UsageError for another form and for a kind that makes no pods.
    """
    kind, slash, name = text.partition("/")
    word = kind.partition(".")[0].lower()
    known = {one.lower(): one for one in RESOURCES} | SHORT
    plurals = {resource.plural: one for one, resource in RESOURCES.items()}
    found = known.get(word) or plurals.get(word)
    if not slash or not name or "/" in name:
        raise click.UsageError(f"{text!r} is no KIND/NAME, such as pod/web or deploy/web")
    if not found:
        raise click.UsageError(
            f"{text!r}: {kind!r} makes no pods; KIND is one of"
            f" {', '.join(sorted(one.lower() for one in RESOURCES))}"
        )
    return Reference(found, name)


async def read(asked: api.Api, wanted: Reference, *, namespace: str) -> api.Json:
    """The object with its version and kind; ApiError if there is none."""
    resource = RESOURCES[wanted.kind]
    found = await asked.get(resource, name=wanted.name, namespace=namespace)
    return {**found, "apiVersion": resource.api_version, "kind": wanted.kind}


async def listed(
    asked: api.Api, resource: api.Resource, *, scope: api.Scope = api.EVERYTHING
) -> list[api.Json]:
    """All objects of a list, however many pages it has."""
    for attempt in range(MOST_LISTS):
        try:
            return [one async for page in asked.pages(resource, scope=scope) for one in page.items]
        except api.ApiError as error:
            if error.status != api.GONE or attempt == MOST_LISTS - 1:
                raise
    raise AssertionError


async def found(
    asked: api.Api, resource: api.Resource, *, name: str, namespace: str | None = None
) -> api.Json | None:
    """The object; None if there is none."""
    try:
        return await asked.get(resource, name=name, namespace=namespace)
    except api.ApiError as error:
        if error.status != api.NOT_FOUND:
            raise
        return None


def labels(thing: api.Json) -> dict[str, str]:
    """Its labels; empty if it has none."""
    return api.metadata(thing).get("labels") or {}


def is_enabled(namespace: api.Json) -> bool:
    """Whether a namespace carries our label with the value that counts."""
    return labels(namespace).get(names.INJECTION_LABEL) == names.ENABLED
