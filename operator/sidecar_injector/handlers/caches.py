"""What admission needs to know about the cluster: the caches, and who is told of a change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sidecar_injector import names, observe
from sidecar_injector.handlers import audit, process, status
from sidecar_injector.kube import api, cache
from sidecar_injector.server import readiness, registry


def make(
    api_client: api.Api,
    *,
    known: registry.Registry,
    writer: status.StatusWriter,
    auditor: audit.Auditor,
    metrics: observe.Metrics,
) -> list[cache.Cache]:
    """Caches of both kinds and of namespaces; they run when `Cache.run` does."""

    def namespace_changed(key: cache.Key, old: Any, new: Any) -> None:
        known.namespace_changed(key, old, new)
        writer.namespace_changed(key[1])
        auditor.namespace_changed(key[1])

    def injection_changed(key: cache.Key, old: Any, new: Any) -> None:
        known.injection_changed(key, old, new)
        writer.changed(names.KIND, key)
        auditor.injection_changed(old, new)

    def cluster_injection_changed(key: cache.Key, old: Any, new: Any) -> None:
        known.cluster_injection_changed(key, old, new)
        writer.changed(names.CLUSTER_KIND, key)
        auditor.injection_changed(old, new)

    injections = cache.Cache(
        api_client, api.INJECTIONS, metrics=metrics, on_change=injection_changed
    )
    cluster_injections = cache.Cache(
        api_client, api.CLUSTER_INJECTIONS, metrics=metrics, on_change=cluster_injection_changed
    )
    namespaces = cache.Cache(
        api_client,
        api.NAMESPACES,
        metrics=metrics,
        scope=api.Scope(metadata_only=True),
        on_change=namespace_changed,
    )
    by_kind = {names.KIND: injections.objects, names.CLUSTER_KIND: cluster_injections.objects}
    writer.follow(by_kind)
    auditor.follow(audit.Sources(injections=by_kind, namespaces=namespaces.objects))
    return [injections, cluster_injections, namespaces]


def of_accounts(
    api_client: api.Api, *, known: registry.Registry, metrics: observe.Metrics
) -> cache.Cache:
    """A cache of the names of ServiceAccounts, made only where it is wanted."""
    return cache.Cache(
        api_client,
        api.SERVICE_ACCOUNTS,
        metrics=metrics,
        scope=api.Scope(metadata_only=True),
        on_change=known.accounts.changed,
    )


async def tell_when_synced(caches: Sequence[cache.Cache], ready: readiness.Readiness) -> None:
    """Each has been filled by a whole list once."""
    for one in caches:
        await one.synced.wait()
    # While nobody is answered yet.
    process.settle()
    ready.met(readiness.Condition.CACHES_SYNCED)
