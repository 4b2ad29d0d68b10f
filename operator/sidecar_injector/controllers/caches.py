"""The informers that admission needs, and who receives their changes."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from sidecar_injector import names
from sidecar_injector.controllers import status
from sidecar_injector.controllers.audit import controller
from sidecar_injector.kube import api, informer
from sidecar_injector.observability.metrics import Metrics
from sidecar_injector.webhook import cluster_state, judge, readiness


def make(
    api_client: api.Api,
    *,
    state: cluster_state.ClusterState,
    writer: status.StatusWriter,
    auditor: controller.Auditor,
    injection_judge: judge.Judge,
    metrics: Metrics,
) -> list[informer.Informer]:
    """Informers for both kinds and for namespaces; the caller runs them."""

    def namespace_changed(key: informer.Key, old: Any, new: Any) -> None:
        state.namespace_changed(key, old, new)
        writer.namespace_changed(key[1])
        auditor.mark(key[1])

    def injection_changed(key: informer.Key, old: Any, new: Any) -> None:
        state.injection_changed(key, old, new)
        writer.changed(names.KIND, key)
        auditor.injection_changed(old, new)

    def cluster_injection_changed(key: informer.Key, old: Any, new: Any) -> None:
        state.cluster_injection_changed(key, old, new)
        writer.changed(names.CLUSTER_KIND, key)
        auditor.injection_changed(old, new)

    injections = informer.Informer(
        api_client,
        api.INJECTIONS,
        metrics=metrics,
        on_change=injection_changed,
        prepare=functools.partial(injection_judge.read_ahead, kind=names.KIND),
    )
    cluster_injections = informer.Informer(
        api_client,
        api.CLUSTER_INJECTIONS,
        metrics=metrics,
        on_change=cluster_injection_changed,
        prepare=functools.partial(injection_judge.read_ahead, kind=names.CLUSTER_KIND),
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
    auditor.follow(by_kind, namespaces.objects)
    return [injections, cluster_injections, namespaces]


def of_accounts(
    api_client: api.Api, *, state: cluster_state.ClusterState, metrics: Metrics
) -> informer.Informer:
    """An informer for the names of ServiceAccounts, created only when it is needed."""
    return informer.Informer(
        api_client,
        api.SERVICE_ACCOUNTS,
        metrics=metrics,
        scope=api.Scope(metadata_only=True),
        on_change=state.service_accounts.changed,
    )


async def set_ready_when_synced(
    informers: Sequence[informer.Informer],
    ready: readiness.Readiness,
    *,
    filled: Callable[[], None],
) -> None:
    """Wait until each has a complete list, call `filled`, then meet the readiness condition."""
    for each in informers:
        await each.synced.wait()
    filled()
    ready.met(readiness.Condition.CACHES_SYNCED)
