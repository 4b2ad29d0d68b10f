"""All pods of enabled namespaces, and how they stand: what needs a restart, and why."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping, Sequence

from sidecar_injector import names
from sidecar_injector.cli.cluster import injections as cluster_injections
from sidecar_injector.cli.cluster import objects, owners, standing
from sidecar_injector.core.injections import namespace_view
from sidecar_injector.kube import api

SELECTOR = f"{names.INJECTION_LABEL}={names.ENABLED}"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A pod that lacks what an injection would give it now."""

    pod: str
    created: datetime.datetime
    owner: owners.Owner
    reference: str
    """The injection, as a pod's annotation may list it."""
    state: str
    useless: str
    """Why a restart would not help; empty if it would."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Census:
    """What was found."""

    namespaces: Mapping[str, api.Json]
    """The enabled ones, by name."""
    pods: Mapping[str, int]
    """How many pods are not over, by namespace."""
    cases: Sequence[Case]


async def take(
    asked: api.Api,
    *,
    namespace: str | None,
    known: cluster_injections.ReadInjections,
    release_namespace: str,
) -> Census:
    """Of one namespace or of all that are enabled."""
    found = {api.metadata(one)["name"]: one for one in await enabled_namespaces(asked, namespace)}
    counts: dict[str, int] = {}
    cases: list[Case] = []
    looking = owners.Owners(asked)
    for name, thing in sorted(found.items()):
        around = await cluster_injections.world(
            asked, name, known=known, release_namespace=release_namespace, thing=thing
        )
        counts[name] = 0
        async for page in asked.pages(api.PODS, scope=api.Scope(namespace=name)):
            counts[name] += sum(not standing.is_over(pod) for pod in page.items)
            for pod in page.items:
                cases += [
                    await _case(pod, one, around, looking=looking)
                    for one in standing.standings(pod, around)
                    if one.needs_restart
                ]
    return Census(namespaces=found, pods=counts, cases=cases)


async def _case(
    pod: api.Json,
    found: standing.Standing,
    known: namespace_view.NamespaceView,
    *,
    looking: owners.Owners,
) -> Case:
    metadata = api.metadata(pod)
    return Case(
        pod=metadata["name"],
        created=datetime.datetime.fromisoformat(metadata["creationTimestamp"]),
        owner=await looking.of(pod),
        reference=found.injection.reference,
        state=found.state,
        useless=standing.would_help(pod, found, known),
    )


async def enabled_namespaces(asked: api.Api, namespace: str | None) -> list[api.Json]:
    """The namespace if it is enabled, or all that are."""
    if namespace is None:
        return await objects.listed(
            asked, api.NAMESPACES, scope=api.Scope(label_selector=SELECTOR)
        )  # fmt: skip
    one = await asked.get(api.NAMESPACES, name=namespace)
    return [one] if objects.is_enabled(one) else []
