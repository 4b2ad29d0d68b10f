"""The informers that admission needs, what they keep, and who receives their changes.

What they keep is most of a replica's memory in a large cluster, so it is only what is read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from sidecar_injector import names
from sidecar_injector.controllers import status
from sidecar_injector.controllers.audit import controller
from sidecar_injector.kube import api, informer
from sidecar_injector.observability.metrics import Metrics
from sidecar_injector.webhook import cluster_state, readiness

INJECTION_METADATA: Final = ("name", "namespace", "uid", "generation")
PARTS: Final = ("spec", "status")
NAMESPACE_METADATA: Final = ("name", "uid", "labels")
LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
ONLY_THE_KEY: Final[api.Json] = {}


def make(
    api_client: api.Api,
    *,
    state: cluster_state.ClusterState,
    writer: status.StatusWriter,
    auditor: controller.Auditor,
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
        keep=injection_fields,
        on_change=injection_changed,
    )
    cluster_injections = informer.Informer(
        api_client,
        api.CLUSTER_INJECTIONS,
        metrics=metrics,
        keep=injection_fields,
        on_change=cluster_injection_changed,
    )
    namespaces = informer.Informer(
        api_client,
        api.NAMESPACES,
        metrics=metrics,
        scope=api.Scope(metadata_only=True),
        keep=namespace_fields,
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
        keep=lambda account: ONLY_THE_KEY,
        on_change=state.service_accounts.changed,
    )


def injection_fields(injection: api.Json) -> api.Json:
    """What is read of an injection; the compiled one shares the spec."""
    metadata = api.metadata(injection)
    kept = {field: metadata[field] for field in INJECTION_METADATA if field in metadata}
    return {"metadata": kept, **{part: injection[part] for part in PARTS if part in injection}}


def namespace_fields(namespace: api.Json) -> api.Json:
    """What is read of a namespace."""
    metadata = api.metadata(namespace)
    annotations = dict(metadata.get("annotations") or {})
    annotations.pop(LAST_APPLIED, None)
    kept = {field: metadata[field] for field in NAMESPACE_METADATA if field in metadata}
    return {"metadata": kept | ({"annotations": annotations} if annotations else {})}


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
