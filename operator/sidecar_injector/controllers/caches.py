"""What admission needs to know about the cluster: the caches, and who is told of a change."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sidecar_injector import names
from sidecar_injector.controllers import status
from sidecar_injector.controllers.audit import controller
from sidecar_injector.kube import api, informer
from sidecar_injector.observability.metrics import Metrics
from sidecar_injector.webhook import cluster_state, readiness


def make(
    api_client: api.Api,
    *,
    known: cluster_state.ClusterState,
    writer: status.StatusWriter,
    auditor: controller.Auditor,
    metrics: Metrics,
) -> list[informer.Informer]:
    """Caches of both kinds and of namespaces; they run when `Cache.run` does."""

    def namespace_changed(key: informer.Key, old: Any, new: Any) -> None:
        known.namespace_changed(key, old, new)
        writer.namespace_changed(key[1])
        auditor.namespace_changed(key[1])

    def injection_changed(key: informer.Key, old: Any, new: Any) -> None:
        known.injection_changed(key, old, new)
        writer.changed(names.KIND, key)
        auditor.injection_changed(old, new)

    def cluster_injection_changed(key: informer.Key, old: Any, new: Any) -> None:
        known.cluster_injection_changed(key, old, new)
        writer.changed(names.CLUSTER_KIND, key)
        auditor.injection_changed(old, new)

    injections = informer.Informer(
        api_client, api.INJECTIONS, metrics=metrics, on_change=injection_changed
    )
    cluster_injections = informer.Informer(
        api_client, api.CLUSTER_INJECTIONS, metrics=metrics, on_change=cluster_injection_changed
    )
    namespaces = informer.Informer(
        api_client,
        api.NAMESPACES,
        metrics=metrics,
        scope=api.Scope(metadata_only=True),
        on_change=namespace_changed,
    )
    by_kind = {names.KIND: injections.objects, names.CLUSTER_KIND: cluster_injections.objects}
    writer.follow(by_kind)
    auditor.follow(controller.Sources(injections=by_kind, namespaces=namespaces.objects))
    return [injections, cluster_injections, namespaces]


def of_accounts(
    api_client: api.Api, *, known: cluster_state.ClusterState, metrics: Metrics
) -> informer.Informer:
    """A cache of the names of ServiceAccounts, made only where it is wanted."""
    return informer.Informer(
        api_client,
        api.SERVICE_ACCOUNTS,
        metrics=metrics,
        scope=api.Scope(metadata_only=True),
        on_change=known.service_accounts.changed,
    )


async def tell_when_synced(
    caches: Sequence[informer.Informer], ready: readiness.Readiness, *, filled: Callable[[], None]
) -> None:
    """Each has been filled by a whole list once; `filled` is called before anybody hears of it."""
    for one in caches:
        await one.synced.wait()
    filled()
    ready.met(readiness.Condition.CACHES_SYNCED)
