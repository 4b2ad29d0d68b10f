"""What a shell proposes from a cluster: namespaces, contexts, kinds and names.

Without an answer in time it proposes nothing, and says nothing.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Final

import click

SECONDS: Final = 2.0
"""For each request: a person waits."""
MOST: Final = 500
"""Names that are proposed at most."""


def contexts(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """The contexts of the kubeconfig."""
    from sidecar_injector.cli.cluster import client  # noqa: PLC0415 - not for other words
    from sidecar_injector.kube import api  # noqa: PLC0415

    try:
        return _starting(incomplete, client.contexts(_address(context)))
    except api.KubeError:
        return []


def namespaces(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """The namespaces of the cluster."""
    from sidecar_injector.kube import api  # noqa: PLC0415 - as above

    return _starting(incomplete, _names(context, api.NAMESPACES, namespace=None))


def objects(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """A kind; after one its names, as words or behind a slash."""
    from sidecar_injector.cli.cluster import objects as live  # noqa: PLC0415 - as above
    from sidecar_injector.kube import api  # noqa: PLC0415

    words = context.params.get(parameter.name or "") or ()
    text, slash, _ = incomplete.partition("/")
    word = text if slash else (words[0] if words and "/" not in words[0] else "")
    resource = live.own_resource(word)
    if not resource:
        return _starting(incomplete, sorted(name.lower() for name in api.WORKLOADS))
    prefix = f"{text}/" if slash else ""
    names = _names(context, resource, namespace=context.params.get("namespace") or "")
    return _starting(incomplete, [f"{prefix}{name}" for name in names])


def _names(context: click.Context, resource: Any, *, namespace: str | None) -> list[str]:
    """The names of the first objects; an empty `namespace` is that of the context."""
    from sidecar_injector.cli.cluster import client  # noqa: PLC0415 - as above
    from sidecar_injector.kube import api  # noqa: PLC0415

    address = _address(context)

    async def read(connected: api.Api) -> list[str]:
        scope = api.Scope(namespace=chosen, metadata_only=True)
        async for page in connected.pages(resource, scope=scope, limit=MOST):
            return [api.metadata(item)["name"] for item in page.items]
        return []

    try:
        chosen = client.context_namespace(address) if namespace == "" else namespace
        return client.run(dataclasses.replace(address, seconds=SECONDS), read)
    except client.ClusterError:
        return []


def _address(context: click.Context) -> Any:
    from sidecar_injector.cli.cluster import client  # noqa: PLC0415 - as above

    fields = {field.name for field in dataclasses.fields(client.Address)}
    chosen = {name: value for name, value in context.params.items() if name in fields and value}
    return client.Address(**chosen)


def _starting(incomplete: str, words: list[str]) -> list[str]:
    return [word for word in words if word.startswith(incomplete)]
