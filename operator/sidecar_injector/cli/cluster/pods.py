"""The pods of enabled namespaces: which lack a sidecar, why, and whether a restart would help."""

from __future__ import annotations

import collections
import dataclasses
import datetime
from collections.abc import Iterator, Mapping, Sequence

from sidecar_injector import names
from sidecar_injector.cli.cluster import injections as cluster_injections
from sidecar_injector.cli.cluster import objects, owners
from sidecar_injector.core import audit, decide
from sidecar_injector.core.injections import model, namespace_view
from sidecar_injector.core.merging import status_annotation, uninject
from sidecar_injector.core.pods import fields as pod_fields
from sidecar_injector.core.pods.owner import Owner
from sidecar_injector.core.reasons import Verdict
from sidecar_injector.kube import api

SELECTOR = f"{names.INJECTION_LABEL}={names.ENABLED}"
ENDED_PHASES = frozenset({"Succeeded", "Failed"})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RestartCandidate:
    """A pod that lacks what an injection would add to it today."""

    pod: str
    created: datetime.datetime
    owner: Owner
    injection: model.Injection
    state: str
    """`audit.OUTDATED` or `audit.MISSING`."""
    obstacle: str
    """Why a restart would not help; empty if it would."""

    @property
    def reference(self) -> str:
        """The injection, as a pod's annotation may list it."""
        return self.injection.reference


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SkippedPod:
    """A pod that was created without an injection that applies and could not be done."""

    pod: str
    owner: Owner
    reference: str
    reason: str
    """A code of `reasons.Reason`, as the pod's annotation has it."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PodOverview:
    """The pods of enabled namespaces."""

    counts: Mapping[str, int]
    """How many pods have not ended, by namespace."""
    candidates: Sequence[RestartCandidate]
    skipped: Sequence[SkippedPod]
    tally: audit.Tally
    """The pods of these namespaces by injection and state."""


async def overview(
    lookup: owners.Owners,
    *,
    namespace: str | None,
    injections: cluster_injections.ReadInjections,
    release_namespace: str,
) -> PodOverview:
    """The pods of one namespace or of all that are enabled."""
    counts: dict[str, int] = {}
    candidates: list[RestartCandidate] = []
    skipped: list[SkippedPod] = []
    tally: audit.Tally = collections.Counter()
    client = lookup.client
    enabled = await enabled_namespaces(client, namespace)
    for resource in sorted(enabled, key=lambda resource: api.metadata(resource)["name"]):
        name = api.metadata(resource)["name"]
        view = await cluster_injections.namespace_view(
            client,
            name,
            injections=injections,
            release_namespace=release_namespace,
            resource=resource,
        )
        counts[name] = 0
        async for page in client.pages(api.PODS, scope=api.Scope(namespace=name)):
            for pod in page.items:
                if has_ended(pod):
                    continue
                counts[name] += 1
                candidates += await candidates_of(pod, view, lookup)
                skipped += await _skipped(pod, view, lookup)
                for injection, state in audit.states(pod, view):
                    tally[audit.identity(injection), state] += 1
    return PodOverview(counts=counts, candidates=candidates, skipped=skipped, tally=tally)


async def candidates_of(
    pod: api.Json, view: namespace_view.NamespaceView, pod_owners: owners.Owners
) -> list[RestartCandidate]:
    """What one pod lacks, also where a restart would not help."""
    metadata = api.metadata(pod)
    return [
        RestartCandidate(
            pod=metadata["name"],
            created=datetime.datetime.fromisoformat(metadata["creationTimestamp"]),
            owner=await pod_owners.of(pod),
            injection=injection,
            state=state,
            obstacle=obstacle(pod, injection, view),
        )
        for injection, state in states_to_mend(pod, view)
    ]


async def _skipped(
    pod: api.Json, view: namespace_view.NamespaceView, pod_owners: owners.Owners
) -> list[SkippedPod]:
    recorded = status_annotation.read(pod_fields.metadata_map(pod, "annotations"))
    reasons = {(skipped.kind, skipped.name): skipped.reason for skipped in recorded.skipped}
    return [
        SkippedPod(
            pod=api.metadata(pod)["name"],
            owner=await pod_owners.of(pod),
            reference=injection.reference,
            reason=reasons[injection.identity],
        )
        for injection, state in audit.states(pod, view)
        if state == audit.SKIPPED
    ]


async def enabled_namespaces(client: api.Api, namespace: str | None) -> list[api.Json]:
    """The given namespace if it is enabled; without it all that are."""
    if namespace is None:
        scope = api.Scope(label_selector=SELECTOR)
        return await objects.read_all(client, api.NAMESPACES, scope=scope)
    resource = await client.get(api.NAMESPACES, name=namespace)
    return [resource] if objects.is_enabled(resource) else []


def states_to_mend(
    pod: api.Json, view: namespace_view.NamespaceView
) -> Iterator[tuple[model.Injection, str]]:
    """The injections that a pod has outdated or lacks, each with its state of `audit.STATES`.

    None for a pod that is out of scope or has ended.
    """
    if not has_ended(pod):
        for injection, state in audit.states(pod, view):
            # A new pod would be without what is a dry run by now.
            if state in (audit.OUTDATED, audit.MISSING) and not injection.is_dry_run:
                yield injection, state


def has_ended(pod: api.Json) -> bool:
    """Whether the pod has ended or is being deleted."""
    phase = (pod.get("status") or {}).get("phase")
    return phase in ENDED_PHASES or "deletionTimestamp" in api.metadata(pod)


def as_new(pod: api.Json) -> api.Json:
    """The pod as its author may have written it: without what we, or the cluster, added."""
    written = uninject.uninject(pod)
    metadata = {key: value for key, value in written["metadata"].items() if key != "managedFields"}
    spec = {key: value for key, value in written["spec"].items() if key != "nodeName"}
    return {
        **{key: value for key, value in written.items() if key != "status"},
        "metadata": metadata,
        "spec": spec,
    }


def obstacle(pod: api.Json, injection: model.Injection, view: namespace_view.NamespaceView) -> str:
    """Why the injection would not be added to a new pod in place of this one; empty if it would."""
    pod_request = namespace_view.PodRequest(namespace=view.namespace.name, pod=as_new(pod))
    decision = decide.decide(pod_request, view)
    line = next((line for line in decision.lines if line.injection is injection), None)
    if line is None:
        return decision.message
    return "" if line.verdict is Verdict.INJECTED else f"{line.reason.value}: {line.message}"
