"""How the pods that run stand to the injections, from what their metadata says.

`matching.match` decides which injections apply to a pod, as it does while a pod is created. Whether
the pod carries one is what its annotation says: the spec is not looked at, so parts that the author
wrote into a pod by hand, for which there is no entry, count as missing.
"""

from __future__ import annotations

import collections
from collections.abc import Iterator, Mapping
from typing import Any

from sidecar_injector import names
from sidecar_injector.core import matching
from sidecar_injector.core.injections import model, namespace_view
from sidecar_injector.core.merging import status_annotation
from sidecar_injector.core.pods import fields as pod_fields

Json = dict[str, Any]
Identity = tuple[str, str, str]
"""Kind, namespace (empty for the cluster kind) and name of an injection."""

INJECTED, OUTDATED, SKIPPED, MISSING = "injected", "outdated", "skipped", "missing"
STATES = (INJECTED, OUTDATED, SKIPPED, MISSING)
"""What a selected pod is, to one injection."""
SELECTED = "selected"
"""The sum of them."""

Tally = collections.Counter[tuple[Identity, str]]
"""Pods by injection and state."""


def states(
    pod: Mapping[str, Any], known: namespace_view.NamespaceView
) -> Iterator[tuple[model.Injection, str]]:
    """The injections that apply to a pod, each with its state; none for a pod that is ending.

    Of the pod its metadata and `spec.hostNetwork` are looked at. Never fails, whatever pods carry.
    """
    metadata = pod.get("metadata") or {}
    if metadata.get("deletionTimestamp"):
        return
    said = status_annotation.read(pod_fields.metadata_map(pod, "annotations"))
    candidate = matching.candidate_of(pod, said)
    asked = namespace_view.PodRequest(namespace=known.namespace.name, pod=pod)
    if matching.out_of_scope(asked, candidate, known):
        return
    for injection in known.index.candidates(candidate.labels):
        if not injection.errors and matching.match(injection, candidate, known) is None:
            yield injection, _state(injection, said)


def _state(injection: model.Injection, said: status_annotation.Provenance) -> str:
    if entry := said.entry(injection.identity):
        return INJECTED if entry.hash == injection.hash else OUTDATED
    skipped = any((one.kind, one.name) == injection.identity for one in said.skipped)
    return SKIPPED if skipped else MISSING


def is_worth_a_look(known: namespace_view.NamespaceView) -> bool:
    """Whether any pod of the namespace can be selected by anything."""
    namespace = known.namespace
    return (
        namespace.is_enabled
        and namespace.name not in names.SYSTEM_NAMESPACES
        and namespace.name != known.release_namespace
        and any(
            not one.errors
            and not one.spec.get("suspend")
            and one.namespace_selector(namespace.labels)
            for one in known.injections
        )
    )


def is_mistyped(namespace: namespace_view.Namespace) -> bool:
    """Whether it carries our label with a value that means nothing; `disabled` is a word for no."""
    value = namespace.labels.get(names.INJECTION_LABEL, names.ENABLED)
    return value not in (names.ENABLED, names.DISABLED)


def identity(injection: model.Injection) -> Identity:
    """By which its counts are found."""
    return injection.kind, injection.namespace or "", injection.name


def counts(tally: Mapping[tuple[Identity, str], int], one: Identity) -> dict[str, int]:
    """The counts of one injection as its status has them."""
    found = {state: tally.get((one, state), 0) for state in STATES}
    return {SELECTED: sum(found.values()), **found}


def wanted(found: Mapping[str, int], *, current: Mapping[str, Any], now: str) -> Json | None:
    """What `status.pods` should become; None where it says so already.

    `observedAt` changes only with the counts: a status that is right is not written.
    """
    if all(current.get(key) == value for key, value in found.items()) and "observedAt" in current:
        return None
    return {**found, "observedAt": now}
