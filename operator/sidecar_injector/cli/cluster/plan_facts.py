"""What a plan looks at in a cluster, read in pages of which little is kept.

Each kind is one consistent list. What comes or goes between the lists is not an error.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from typing import Final

from sidecar_injector.cli import planned
from sidecar_injector.cli.cluster import discovery, errors, objects, owners, release
from sidecar_injector.cli.cluster import injections as cluster_injections
from sidecar_injector.cli.cluster import pods as cluster_pods
from sidecar_injector.core import autoscalers, impact
from sidecar_injector.core.injections import namespace_view
from sidecar_injector.core.limits import namespace_limits
from sidecar_injector.core.pods import workloads
from sidecar_injector.core.pods.owner import Owner
from sidecar_injector.kube import api

AUTOSCALERS: Final = api.Resource("autoscaling/v2", "horizontalpodautoscalers", autoscalers.KIND)
Kind = tuple[str, str]
"""The group of a custom kind, empty for one of Kubernetes, and the kind."""
NOT_ENDED: Final = ",".join(f"status.phase!={phase}" for phase in cluster_pods.ENDED_PHASES)
ENDED: Final = frozenset({"Complete", "Failed"})
OF_ACCOUNT: Final = ("imagePullSecrets", "automountServiceAccountToken")
"""The fields of a ServiceAccount that shape its pods."""


class Facts:
    """Reads one part after the other; what may not be read is noted, and left out."""

    def __init__(
        self, client: api.Api, places: Sequence[str] | None, show: Callable[[str], None]
    ) -> None:
        self._client, self._show = client, show
        self._places = places
        self._scopes: Sequence[str | None] = [None] if places is None else places
        self.unseen: list[str] = []
        self._denied: dict[tuple[str | None, str], list[str]] = {}
        """The kinds that the user may not list, by namespace and consequence."""
        self._remedies: dict[str, None] = {}
        self._notes: list[str] = []

    async def plan(self, change: planned.Change, *, release_namespace: str | None) -> planned.Plan:
        """What the change does to everything that is read."""
        client, places = self._client, self._places
        only = places[0] if places and len(places) == 1 else None
        injections = await cluster_injections.injections(client, namespace=only)
        self.unseen += injections.notes
        namespaces = await self._namespaces(change)
        accounts = await self._accounts()
        scalers = [
            autoscaler
            async for item in self._listed(AUTOSCALERS)
            if (autoscaler := autoscalers.autoscaler_of(item, api.metadata(item)["namespace"]))
        ]
        settings = await release.settings_of(client, chosen=release_namespace)
        if not settings.quotas_are_checked:
            self._notes.append(
                "the operator does not check LimitRanges and ResourceQuotas (quotas.enabled=false):"
                " the API server refuses the pods in which they forbid what is added"
            )
        result = planned.Plan(
            impact=planned.worlds(
                change,
                [live.injection for live in injections.injections],
                namespaces,
                assumed={},
                limits=await self._limits(),
                accounts=accounts,
                autoscalers=scalers,
                quotas_are_checked=settings.quotas_are_checked,
                release_namespace=settings.namespace,
                kubernetes_minor=await cluster_injections.kubernetes_minor(client),
            ),
            unseen=self.unseen,
            notes=self._notes,
        )
        makers = await self._workloads(result, accounts)
        await self._bare_pods(result, accounts, makers)
        for (place, consequence), plurals in self._denied.items():
            where = f" in namespace {place}" if place else ""
            self.unseen.append(f"you may not list {', '.join(plurals)}{where}: {consequence}")
        self._notes += self._remedies
        return result

    async def _namespaces(self, change: planned.Change) -> Mapping[str, namespace_view.Namespace]:
        """By name. Raises ClusterError for one that is neither in the cluster nor in the change."""
        if self._places is None:
            scope = api.Scope(metadata_only=True)
            items = await objects.read_all(self._client, api.NAMESPACES, scope=scope)
            return {item.name: item for item in map(cluster_injections.namespace, items)}
        result = {}
        for name in self._places:
            so_far = len(self.unseen)
            item = await objects.unless_forbidden(
                api.get_or_none(self._client, api.NAMESPACES, name=name),
                notes=self.unseen,
                consequence=f"namespace {name} is assumed to be enabled",
            )
            if item:
                result[name] = cluster_injections.namespace(item)
            elif len(self.unseen) > so_far:
                result[name] = namespace_view.Namespace.assumed(name)
            elif name not in change.namespaces:
                raise errors.ClusterError(errors.no_namespace(name))
        return result

    async def _accounts(self) -> planned.Accounts | None:
        """None if one of the lists could not be read."""
        what = "pull secrets, and whether accounts exist and want tokens in pods, are not known"
        accounts: planned.Accounts = {
            _place(item): {field: item[field] for field in OF_ACCOUNT if field in item}
            async for item in self._listed(api.SERVICE_ACCOUNTS, consequence=what)
        }
        return None if self._is_denied(api.SERVICE_ACCOUNTS) else accounts

    def _is_denied(self, resource: api.Resource) -> bool:
        return any(resource.plural in plurals for plurals in self._denied.values())

    async def _limits(self) -> Mapping[str, Iterable[api.Json]]:
        """The LimitRanges and ResourceQuotas, by namespace."""
        limits: dict[str, dict[tuple[str, str], api.Json]] = {}
        for kind, resource in api.LIMITS.items():
            async for item in self._listed(resource):
                namespace, name = _place(item)
                # A list that expires begins again.
                limits.setdefault(namespace, {})[kind, name] = {**item, "kind": kind}
        for namespace, of_namespace in limits.items():
            for (kind, name), item in of_namespace.items():
                if remark := namespace_limits.remark(item):
                    self._notes.append(f"{kind} {namespace}/{name} {remark}")
        return {namespace: each.values() for namespace, each in limits.items()}

    async def _workloads(
        self, result: planned.Plan, accounts: planned.Accounts | None
    ) -> frozenset[Kind]:
        """The kinds that were read, each after those that make its objects."""
        custom = await discovery.Discovery(self._client).known()
        own = [resource for resource in api.WORKLOADS.values() if resource != api.PODS]
        makers = {(resource.group, resource.kind) for resource in custom}
        makers |= {("", resource.kind) for resource in own}
        for resource in (*custom, *own):
            await self._of_kind(resource, result, accounts, makers)
            if resource in custom and self._is_denied(resource):
                # Their ReplicaSets and pods may be seen all the same.
                makers.discard((resource.group, resource.kind))
        return frozenset(makers)

    async def _of_kind(
        self,
        resource: api.Resource,
        result: planned.Plan,
        accounts: planned.Accounts | None,
        makers: Collection[Kind],
    ) -> None:
        async for item in self._listed(resource):
            manifest = {**item, "apiVersion": resource.api_version, "kind": resource.kind}
            maker = owners.controller_of(api.metadata(item))
            if _has_ended(manifest) or (maker and _kind(maker) in makers):
                continue
            for path in workloads.pod_paths(manifest):
                # An unknown maker keeps ReplicaSets of older templates, without pods.
                if maker is None or impact.pods_of(manifest, path):
                    template = workloads.at(manifest, path)
                    result.add(manifest, template, path=path, accounts=accounts)

    async def _bare_pods(
        self, result: planned.Plan, accounts: planned.Accounts | None, makers: Collection[Kind]
    ) -> None:
        """Pods without a controller, and one pod of each controller of another kind."""
        counts: collections.Counter[Owner] = collections.Counter()
        examples: dict[Owner, str] = {}
        scope = api.Scope(field_selector=NOT_ENDED, metadata_only=True)
        async for item in self._listed(api.PODS, scope):
            metadata = api.metadata(item)
            namespace, name = _place(item)
            owner = owners.controller_of(metadata) or Owner(namespace, api.PODS.kind, name)
            is_made = owner.kind != api.PODS.kind and _kind(owner) in makers
            if not is_made and "deletionTimestamp" not in metadata:
                counts[owner] += 1
                examples[owner] = name
        for owner, pods in counts.items():
            if result.impact.is_untouched(owner.namespace):
                result.impact.count(impact.Target(owner), pods)
                continue
            pod = await api.get_or_none(
                self._client, api.PODS, name=examples[owner], namespace=owner.namespace
            )
            if pod is not None:
                written = cluster_pods.as_new({**pod, "apiVersion": "v1", "kind": "Pod"})
                result.add(written, written, path=(), accounts=accounts, owner=owner, pods=pods)

    async def _listed(
        self,
        resource: api.Resource,
        scope: api.Scope = api.EVERYTHING,
        *,
        consequence: str = "they are not in the plan",
    ) -> AsyncIterator[api.Json]:
        """The objects of all places, page by page; again from the first if a list expires."""
        for place in self._scopes:
            wanted = dataclasses.replace(scope, namespace=place)
            for attempt in range(objects.MAX_LISTS):
                try:
                    async for item in self._pages(resource, wanted):
                        yield item
                    break
                except api.ApiError as error:
                    if error.status == api.GONE and attempt < objects.MAX_LISTS - 1:
                        continue
                    if error.status != api.FORBIDDEN:
                        raise
                    self._denied.setdefault((place, consequence), []).append(resource.plural)
                    self._remedies[errors.denied(error).remedy] = None
                    break

    async def _pages(self, resource: api.Resource, scope: api.Scope) -> AsyncIterator[api.Json]:
        count = 0
        async for page in self._client.pages(resource, scope=scope):
            count += len(page.items)
            self._show(f"reading {resource.plural}: {count}")
            for item in page.items:
                yield item


def _place(item: api.Json) -> tuple[str, str]:
    metadata = api.metadata(item)
    return metadata["namespace"], metadata["name"]


def _kind(owner: Owner) -> Kind:
    return owner.group, owner.kind


def _has_ended(manifest: api.Json) -> bool:
    """Whether it is a Job that makes no more pods, or is being deleted."""
    conditions = (manifest.get("status") or {}).get("conditions") or ()
    is_over = manifest["kind"] == "Job" and any(
        condition.get("type") in ENDED and condition.get("status") == "True"
        for condition in conditions
    )
    return is_over or "deletionTimestamp" in api.metadata(manifest)
