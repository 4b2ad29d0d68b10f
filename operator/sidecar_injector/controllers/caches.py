"""The informers that admission needs, what they keep, and who receives their changes.

What they keep is most of a replica's memory in a large cluster, so it is only what is read.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Sequence
from typing import Any, Final

from sidecar_injector import names
from sidecar_injector.controllers import injections, limits, status
from sidecar_injector.controllers.audit import controller
from sidecar_injector.core.injections import parameters
from sidecar_injector.kube import api, informer
from sidecar_injector.observability.metrics import Metrics
from sidecar_injector.webhook import cluster_state, judge, readiness

log = logging.getLogger(__name__)

NAMESPACE_METADATA: Final = ("name", "uid", "labels")
LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
ONLY_THE_KEY: Final[api.Json] = {}


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
        is_labelled = any(
            names.INJECTION_LABEL in (api.metadata(each).get("labels") or {})
            for each in (old, new)
            if each
        )
        writer.namespace_changed(key[1], is_labelled=is_labelled)
        auditor.mark(key[1])

    def following(kind: str) -> informer.Informer:
        def changed(key: informer.Key, old: Any, new: Any) -> None:
            writer.changed(kind, key)
            auditor.injection_changed(old, new)

        return injections.Follower(
            api_client,
            kind,
            state=state,
            changed=changed,
            metrics=metrics,
            prepare=functools.partial(injection_judge.read_ahead, kind=kind),
        ).informer

    by_kind = {kind: following(kind) for kind in api.OWN_KINDS}
    namespaces = informer.Informer(
        api_client,
        api.NAMESPACES,
        metrics=metrics,
        scope=api.Scope(metadata_only=True),
        keep=namespace_fields,
        on_change=namespace_changed,
    )
    resources = {kind: each.objects for kind, each in by_kind.items()}
    writer.follow(resources)
    auditor.follow(resources, namespaces.objects)
    return [*by_kind.values(), namespaces]


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


def of_limits(
    api_client: api.Api,
    *,
    are_checked: bool,
    state: cluster_state.ClusterState,
    metrics: Metrics,
) -> list[informer.Informer]:
    """Informers for LimitRanges and ResourceQuotas; none if these are not checked."""
    if not are_checked:
        log.info(
            "LimitRanges and ResourceQuotas are not checked (quotas.enabled=false): where one"
            " forbids a sidecar, the API server refuses the pod"
        )
        return []
    return [
        limits.Follower(api_client, kind, state=state, metrics=metrics).informer
        for kind in api.LIMITS
    ]


def namespace_fields(namespace: api.Json) -> api.Json:
    """What is read of a namespace."""
    metadata = api.metadata(namespace)
    kept: api.Json = {field: metadata[field] for field in NAMESPACE_METADATA if field in metadata}
    annotations = dict(metadata.get("annotations") or {})
    annotations.pop(LAST_APPLIED, None)
    if annotations:
        kept["annotations"], kept["leftOut"] = _bounded(annotations)
    return {"metadata": kept}


def _bounded(annotations: dict[str, str]) -> tuple[dict[str, str], int]:
    """The shortest annotations that are kept, and the number of the others."""
    sizes = {key: len(key.encode()) + len(value.encode()) for key, value in annotations.items()}
    if sum(sizes.values()) <= parameters.MAX_NAMESPACE_BYTES:
        return annotations, 0
    kept, room = parameters.Incomplete(), parameters.MAX_NAMESPACE_BYTES
    for key in sorted(annotations, key=lambda key: (sizes[key], key)):
        room -= sizes[key]
        if room < 0:
            break
        kept[key] = annotations[key]
    return kept, len(annotations) - len(kept)


async def set_ready_when_synced(
    informers: Sequence[informer.Informer],
    ready: readiness.Readiness,
    *,
    tried: Sequence[informer.Informer] = (),
    filled: Callable[[], None],
) -> None:
    """Wait until each has a complete list and follows it, call `filled`, then meet the condition.

    Of the `tried` ones an error is enough, as pods are injected without them too.
    """
    for each in informers:
        await each.followed.wait()
    for each in tried:
        await each.tried.wait()
    filled()
    ready.met(readiness.Condition.CACHES_SYNCED)
