"""A change of injections and namespaces, and what it does: for `plan`, from files or a cluster."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from sidecar_injector import names
from sidecar_injector.cli.cluster import errors
from sidecar_injector.core import capacity, impact
from sidecar_injector.core.injections import model, namespace_view
from sidecar_injector.core.injections.schema import Problem
from sidecar_injector.core.pods import controllers, workloads

Json = dict[str, Any]
Accounts = dict[str, dict[str, Json]]
"""The ServiceAccounts, by namespace and name."""
MOST_LISTED = 5


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What would be applied and deleted."""

    injections: Sequence[model.Injection] = ()
    deleted: Collection[tuple[str | None, str]] = ()
    """Namespace and name, as `impact.key_of` has them."""
    namespaces: Mapping[str, namespace_view.Namespace] = dataclasses.field(default_factory=dict)
    """The namespaces of the files, by name."""
    labels: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """The labels that `labelled` would get."""
    labelled: str = ""

    def places(self) -> list[str] | None:
        """The namespaces that it reaches; None if it may be any."""
        reached = {injection.namespace for injection in self.injections}
        reached |= {namespace for namespace, _ in self.deleted}
        places = {name for name in reached if name} | self.namespaces.keys()
        if self.labels:
            places.add(self.labelled)
        return None if None in reached else sorted(places)

    def namespace(self, now: namespace_view.Namespace) -> namespace_view.Namespace:
        """The namespace as it would be."""
        after = self.namespaces.get(now.name, now)
        if now.name == self.labelled:
            after = dataclasses.replace(after, labels={**after.labels, **self.labels})
        return after

    def applied(self, current: Sequence[model.Injection]) -> list[model.Injection]:
        """The injections as they would be. Raises ClusterError for one that does not exist."""
        existing = {impact.key_of(injection): injection.reference for injection in current}
        for key in self.deleted:
            if key not in existing:
                few = sorted(existing.values())[:MOST_LISTED]
                place = f"in namespace {key[0]}" if key[0] else "of the cluster"
                raise errors.ClusterError(
                    errors.Explained(
                        f"--delete: there is no injection {key[1]} {place}",
                        f"There are {', '.join(few)}" if few else "There is none",
                    )
                )
        kept = (each for each in current if impact.key_of(each) not in self.deleted)
        return impact.applied(kept, self.injections)


@dataclasses.dataclass(slots=True, kw_only=True)
class Plan:
    """What the change does, as far as it can be seen."""

    impact: impact.Impact
    quotas: list[capacity.Quota] = dataclasses.field(default_factory=list)
    unseen: list[str] = dataclasses.field(default_factory=list)
    """What could not be read, in sentences."""
    notes: list[str] = dataclasses.field(default_factory=list)
    refused: Sequence[tuple[model.Injection, Problem]] = ()
    """The injections of the change that the cluster would refuse, with the first error."""
    is_of_files: bool = False

    def excesses(self) -> Iterator[capacity.Excess]:
        """The quotas that do not have enough for what is added."""
        added = self.impact.added()
        for quota in self.quotas:
            yield from capacity.excesses(
                quota,
                requested=self.impact.requested.get(quota.namespace, {}),
                added=added.get(quota.namespace, {}),
            )

    def exit_code(self) -> int:
        """1 if something would break; else 2 if not everything was seen."""
        is_breaking = self.refused or self.impact.is_breaking or any(self.excesses())
        return 1 if is_breaking else 2 if self.unseen else 0

    def add_quota(self, manifest: Json) -> None:
        """Compare with this ResourceQuota, too."""
        if quota := capacity.quota_of(manifest):
            self.quotas.append(quota)
            return
        metadata = manifest["metadata"]
        self.notes.append(
            f"quota {metadata.get('namespace')}/{metadata['name']} has scopes: it is not compared"
        )


def worlds(
    change: Change,
    current: Sequence[model.Injection],
    namespaces: Mapping[str, namespace_view.Namespace],
    *,
    assumed: Mapping[str, str],
    accounts: Accounts | None,
    autoscalers: Iterable[capacity.Autoscaler],
    **fields: Any,
) -> impact.Impact:
    """The impact on workloads that are added to it; an unknown namespace has the assumed labels."""

    def now(name: str) -> namespace_view.Namespace:
        labels = {**assumed, names.NAMESPACE_NAME_LABEL: name}
        return namespaces.get(name) or namespace_view.Namespace(name, labels)

    fields["accounts"] = accounts
    return impact.Impact(
        impact.world(current, now, **fields),
        impact.world(change.applied(current), lambda name: change.namespace(now(name)), **fields),
        autoscalers=autoscalers,
    )


def workload(
    manifest: Mapping[str, Any],
    template: Json,
    *,
    owner: capacity.Owner,
    path: workloads.Path,
    accounts: Accounts | None,
    pods: int,
) -> impact.Workload:
    """The workload with the ServiceAccount of its pods."""
    account = (accounts or {}).get(owner.namespace, {}).get(controllers.account_of(template))
    return impact.Workload(
        owner=owner, manifest=manifest, path=path, template=template, pods=pods, account=account
    )
