"""Who adds an injection that asks for a policy: the policy, or the webhook, and why."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Collection, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from sidecar_injector import names
from sidecar_injector.cli.cluster import injections as cluster_injections
from sidecar_injector.cli.cluster import objects, policies, release
from sidecar_injector.core.injections import model, namespace_view
from sidecar_injector.core.policies import chain, doubts
from sidecar_injector.kube import api

Result = TypeVar("Result")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Engines:
    """Which injections a policy adds, of those that ask for it."""

    policy: str
    """Its name."""
    obstacles: Mapping[str, str]
    """Why the webhook adds others, by their reference."""
    limited: Collection[str] = ()
    """Namespaces of a cluster whose pods the policy leaves alone."""
    apart: Collection[str] = ()
    """`chain.Chain.apart`."""

    def sentence(
        self,
        injection: model.Injection,
        pod: Mapping[str, Any],
        added: Iterable[model.Injection],
        view: namespace_view.NamespaceView,
    ) -> str:
        """What adds one of the `added` injections to a pod."""
        if why := self.obstacles.get(injection.reference):
            return f"by the webhook: {why}"
        compiled = [each for each in added if not self.obstacles.get(each.reference)]
        if view.limits or view.namespace.name in self.limited:
            return "by the webhook: the namespace has a LimitRange or a ResourceQuota"
        if view.namespace.name in self.apart:
            return "by the webhook: an injection of the namespace comes first and shares a part"
        if why := doubt(pod, compiled, view.namespace):
            return f"by the webhook: {why}"
        return f"would be done by policy {self.policy}"


async def of_cluster(
    client: api.Api, *, namespaces: Collection[str], release_namespace: str | None
) -> Engines:
    """As the operator says, or else as it is compiled here, and if the cluster has the policy."""
    # Those that ask are of the cluster; not everybody may list all namespaces.
    injections = await cluster_injections.injections(client, namespace=min(namespaces))
    settings = await release.settings_of(client, chosen=release_namespace)
    minor = await cluster_injections.kubernetes_minor(client)
    result = policies.compiled(injections, chain.Place(minor=minor))
    live = await _unless_forbidden(api.get_or_none(client, api.POLICIES, name=settings.fullname))
    missing = "" if live else f"{api.POLICIES.kind} {settings.fullname} is not there"
    limited = set()
    for namespace in namespaces if settings.quotas_are_checked else ():
        for resource in api.LIMITS.values():
            scope = api.Scope(namespace=namespace, metadata_only=True)
            if await _unless_forbidden(objects.read_all(client, resource, scope=scope)):
                limited.add(namespace)
    return Engines(
        policy=settings.fullname,
        obstacles={
            each.injection.reference: policies.obstacle(each, result) or missing
            for each in injections.injections
        },
        limited=limited,
        apart=result.apart,
    )


async def _unless_forbidden(reading: Awaitable[Result]) -> Result | None:
    return await objects.unless_forbidden(reading, notes=[], consequence="")


def of_files(injections: Sequence[model.Injection]) -> Engines:
    """As they are compiled here, if what comes of it is applied."""
    asking = [each for each in injections if each.is_compiled]
    others = [each for each in injections if not each.is_compiled]
    result = chain.compile_chain(asking, chain.Place(), others=others)
    obstacles = {left.injection.reference: f"{left.path}: {left.why}" for left in result.left}
    return Engines(policy=names.PRODUCT, obstacles=obstacles, apart=result.apart)


def doubt(
    pod: Mapping[str, Any], compiled: Iterable[model.Injection], place: namespace_view.Namespace
) -> str:
    """Why a policy with these injections leaves this pod alone; empty if it does not."""
    return next((each for injection in compiled for each in doubts.of(injection, pod, place)), "")
