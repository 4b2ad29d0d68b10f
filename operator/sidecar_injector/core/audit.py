"""Which running pods have the injections that apply to them, from the metadata of the pods.

`matching.match` decides which injections apply, in the same way as for a new pod. The status
annotation says which of them the pod has. Containers are not read, so parts that the author wrote
by hand, for which the annotation has no entry, count as missing.
"""

from __future__ import annotations

import collections
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from sidecar_injector import names
from sidecar_injector.core import matching
from sidecar_injector.core.injections import model, namespace_view
from sidecar_injector.core.merging import status_annotation
from sidecar_injector.core.pods import fields as pod_fields
from sidecar_injector.core.pods import operating_system

Json = dict[str, Any]
Identity = tuple[str, str, str]
"""Kind, namespace (empty for the cluster kind) and name of an injection."""

INJECTED, OUTDATED, SKIPPED, MISSING = "injected", "outdated", "skipped", "missing"
STATES = (INJECTED, OUTDATED, SKIPPED, MISSING)
"""The states of a selected pod, for one injection."""
SELECTED = "selected"
"""The number of selected pods, which is the sum of the states."""

Tally = collections.Counter[tuple[Identity, str]]
"""Pods by injection and state."""


def states(
    pod: Mapping[str, Any], view: namespace_view.NamespaceView
) -> Iterator[tuple[model.Injection, str]]:
    """The injections that apply to a pod, each with its state; none for a pod that is ending.

    The metadata, `spec.hostNetwork` and what `operating_system.of` needs are read. If the last is
    not there, the pod counts as one for any system. Never fails, whatever they are.
    """
    metadata = pod.get("metadata") or {}
    if metadata.get("deletionTimestamp"):
        return
    recorded = status_annotation.read(pod_fields.metadata_map(pod, "annotations"))
    candidate = matching.candidate_of(pod, recorded)
    request = namespace_view.PodRequest(namespace=view.namespace.name, pod=pod)
    if matching.out_of_scope(request, candidate, view):
        return
    for injection in view.candidates(candidate.labels):
        if not injection.errors and matching.match(injection, candidate, view) is None:
            yield injection, _state(injection, recorded)


def depends_on_system(states: Iterable[tuple[model.Injection, str]]) -> bool:
    """Whether an injection may be missing only because the pod is for another system."""
    return any(
        state == MISSING and injection.spec.get("operatingSystem") != operating_system.ANY
        for injection, state in states
    )


def _state(injection: model.Injection, recorded: status_annotation.Provenance) -> str:
    if entry := recorded.entry(injection.identity):
        return INJECTED if entry.hash == injection.hash else OUTDATED
    skipped = {(injection.kind, injection.name) for injection in recorded.skipped}
    return SKIPPED if injection.identity in skipped else MISSING


def can_select(view: namespace_view.NamespaceView) -> bool:
    """Whether any injection can apply to a pod of the namespace."""
    namespace = view.namespace
    return (
        namespace.is_enabled
        and namespace.name not in names.SYSTEM_NAMESPACES
        and namespace.name != view.release_namespace
        and view.can_select
    )


def identity(injection: model.Injection) -> Identity:
    """The key of its counts in a tally."""
    return injection.kind, injection.namespace or "", injection.name


def counts(tally: Mapping[tuple[Identity, str], int], key: Identity) -> dict[str, int]:
    """The counts of one injection, as in `status.pods`."""
    by_state = {state: tally.get((key, state), 0) for state in STATES}
    return {SELECTED: sum(by_state.values()), **by_state}


def wanted(pods: Mapping[str, int], *, current: Mapping[str, Any], now: str) -> Json | None:
    """The new value of `status.pods`; None if the counts have not changed.

    `observedAt` changes only together with the counts, so an unchanged status is not written.
    """
    if all(current.get(key) == value for key, value in pods.items()) and "observedAt" in current:
        return None
    return {**pods, "observedAt": now}
