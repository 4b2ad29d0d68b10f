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
from sidecar_injector.core.reasons import Level, Reason

Json = dict[str, Any]
Identity = tuple[str, str, str]
"""Kind, namespace (empty for the cluster kind) and name of an injection."""

INJECTED, OUTDATED, SKIPPED, MISSING = "injected", "outdated", "skipped", "missing"
WOULD_INJECT = "wouldInject"
"""The state of a pod without an injection that is a dry run; metadata does not say if it fits."""
STATES = (INJECTED, OUTDATED, SKIPPED, MISSING, WOULD_INJECT)
"""The states of a selected pod, for one injection."""
SELECTED = "selected"
"""The number of selected pods, which is the sum of the states."""
OPTED_OUT = "optedOut"
"""The state of a pod that would be selected if its author had not opted out of the injection."""
SKIPPED_REASONS = "skippedReasons"
"""The reasons that skipped pods have, each once."""
_BECAUSE = f"{SKIPPED}: "
_REASONS = {reason.value for reason in Reason if reason.level is Level.FIT}

Tally = collections.Counter[tuple[Identity, str]]
"""Pods by injection and state, and skipped pods by their reasons besides."""


def states(
    pod: Mapping[str, Any], view: namespace_view.NamespaceView
) -> Iterator[tuple[model.Injection, str]]:
    """The injections that apply to a pod, or would without an opt-out, each with its state.

    None for a pod that is ending. A skipped pod also has its reason as a state, for `counts`. The
    metadata, `spec.hostNetwork` and what `operating_system.of` needs are read. If the last is
    not there, the pod counts as one for any system. Never fails, whatever they are.
    """
    metadata = pod.get("metadata") or {}
    if metadata.get("deletionTimestamp"):
        return
    recorded = status_annotation.read(pod_fields.metadata_map(pod, "annotations"))
    candidate = matching.candidate_of(pod, recorded)
    request = namespace_view.PodRequest(namespace=view.namespace.name, pod=pod)
    if matching.out_of_scope(request, matching.without_opt_out(candidate), view):
        return
    yield from _applying(request, candidate, recorded, view.in_effect or view)
    if view.in_effect:
        found = _applying(request, candidate, recorded, view)
        yield from ((injection, state) for injection, state in found if injection.is_dry_run)


def _applying(
    request: namespace_view.PodRequest,
    candidate: matching.Candidate,
    recorded: status_annotation.Provenance,
    view: namespace_view.NamespaceView,
) -> Iterator[tuple[model.Injection, str]]:
    is_in_scope = matching.out_of_scope(request, candidate, view) is None
    for injection in view.candidates(candidate.labels):
        if injection.errors:
            continue
        if is_in_scope and matching.match(injection, candidate, view) is None:
            yield from ((injection, state) for state in _states(injection, recorded))
        elif matching.opted_out(injection, candidate, view):
            yield injection, OPTED_OUT


def depends_on_system(states: Iterable[tuple[model.Injection, str]]) -> bool:
    """Whether an injection may be counted only because the system of the pod is not known."""
    return any(
        state in (MISSING, OPTED_OUT, WOULD_INJECT)
        and injection.spec.get("operatingSystem") != operating_system.ANY
        for injection, state in states
    )


def _states(injection: model.Injection, recorded: status_annotation.Provenance) -> Iterator[str]:
    if entry := recorded.entry(injection.identity):
        yield INJECTED if entry.hash == injection.hash else OUTDATED
        return
    if injection.is_dry_run:
        yield WOULD_INJECT
        return
    reasons = {(skipped.kind, skipped.name): skipped.reason for skipped in recorded.skipped}
    if (reason := reasons.get(injection.identity)) is None:
        yield MISSING
        return
    yield SKIPPED
    # The record may be forged: only a reason that exists is counted.
    if reason in _REASONS:
        yield _BECAUSE + reason


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


def counts(tally: Mapping[tuple[Identity, str], int], key: Identity) -> Json:
    """The counts of one injection, as in `status.pods`."""
    by_state = {state: tally.get((key, state), 0) for state in STATES}
    return {
        SELECTED: sum(by_state.values()),
        **by_state,
        OPTED_OUT: tally.get((key, OPTED_OUT), 0),
        SKIPPED_REASONS: sorted(
            reason for reason in _REASONS if tally.get((key, _BECAUSE + reason))
        ),
    }


def sums(tally: Mapping[tuple[Identity, str], int]) -> dict[str, int]:
    """The counts of all injections together."""
    result = dict.fromkeys((SELECTED, *STATES, OPTED_OUT), 0)
    for (_, state), number in tally.items():
        if state in result:
            result[state] += number
    result[SELECTED] = sum(result[state] for state in STATES)
    return result


def wanted(pods: Mapping[str, Any], *, current: Mapping[str, Any], now: str) -> Json | None:
    """The new value of `status.pods`; None if the counts have not changed.

    `observedAt` changes only together with the counts, so an unchanged status is not written.
    """
    if all(current.get(key) == value for key, value in pods.items()) and "observedAt" in current:
        return None
    return {**pods, "observedAt": now}
