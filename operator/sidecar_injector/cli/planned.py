"""A change of injections and namespaces, and what it does: for `plan`, from files or a cluster."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from sidecar_injector import names
from sidecar_injector.cli.cluster import errors
from sidecar_injector.core import autoscalers, impact, near_misses
from sidecar_injector.core.injections import model, namespace_view
from sidecar_injector.core.injections.schema import Problem
from sidecar_injector.core.limits import namespace_limits
from sidecar_injector.core.pods import controllers, kinds, workloads
from sidecar_injector.core.pods.owner import Owner

Json = dict[str, Any]
Accounts = dict[tuple[str, str], Json]
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
    is_named: bool = False
    """A person has named the namespace."""

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
        existing = {impact.key_of(injection) for injection in current}
        for place, name in self.deleted:
            if (place, name) not in existing:
                others = sorted(f"{each[0] or 'cluster'}/{each[1]}" for each in existing)
                where = f"in namespace {place}" if place else "of the cluster"
                remedy = (
                    f"There are {', '.join(others[:MOST_LISTED])}" if others else "There is none"
                )
                remedy += (
                    "; -n says in which namespace it is" if place and not self.is_named else ""
                )
                sentence = f"--delete: there is no injection {name} {where}"
                raise errors.ClusterError(errors.Explained(sentence, remedy))
        kept = (each for each in current if impact.key_of(each) not in self.deleted)
        return impact.applied(kept, self.injections)


@dataclasses.dataclass(slots=True, kw_only=True)
class Plan:
    """What the change does, as far as it can be seen."""

    impact: impact.Impact
    unseen: list[str] = dataclasses.field(default_factory=list)
    """What could not be read, in sentences."""
    notes: list[str] = dataclasses.field(default_factory=list)
    refused: Sequence[tuple[model.Injection, Problem]] = ()
    """The injections of the change that the cluster would refuse, with the first error."""
    files: Sequence[str] = ()
    """Those of the change."""
    is_of_files: bool = False

    def exit_code(self) -> int:
        """1 if something would break; else 2 if not everything was seen."""
        is_breaking = self.refused or self.impact.is_breaking
        return 1 if is_breaking else 2 if self.unseen else 0

    def add(
        self,
        manifest: Json,
        template: Json,
        *,
        path: workloads.Path,
        accounts: Accounts | None,
        owner: Owner | None = None,
        pods: int | None = None,
    ) -> None:
        """Decide about the pods of a template at a path of a manifest, which has a namespace.

        `owner` and `pods` are for a pod that stands for others of its controller.
        """
        metadata, kind = manifest["metadata"], workloads.kind_of(manifest)
        namespace = metadata["namespace"]
        name = metadata.get("name") or metadata.get("generateName") or ""
        has_several = len(workloads.pod_paths(manifest)) > 1
        self.impact.add(
            impact.Workload(
                target=impact.Target(
                    owner or Owner(namespace, kind[1], name, kinds.custom_group(*kind)),
                    workloads.field(path) if has_several else "",
                ),
                manifest=manifest,
                path=path,
                template=template,
                pods=impact.pods_of(manifest, path) if pods is None else pods,
                account=(accounts or {}).get((namespace, controllers.account_of(template))),
            )
        )


def remarks(change: Change, result: Plan) -> Iterator[str]:
    """What may be a mistake in the labels that a namespace would get."""
    if not change.labels:
        return
    name = change.labelled
    after = namespace_view.Namespace(name, change.labels)
    yield from (finding.message for finding in near_misses.of_namespace(after))
    if not result.impact.has_injections(name):
        yield f"there is no injection for namespace {name}"


def worlds(
    change: Change,
    current: Sequence[model.Injection],
    namespaces: Mapping[str, namespace_view.Namespace],
    *,
    assumed: Mapping[str, str],
    limits: Mapping[str, Iterable[Json]],
    autoscalers: Iterable[autoscalers.Autoscaler],
    quotas_are_checked: bool = True,
    **fields: Any,
) -> impact.Impact:
    """The impact on workloads that are added to it; an unknown namespace has the assumed labels.

    Without `quotas_are_checked` no injection is left out for `limits`.
    """

    def now(name: str) -> namespace_view.Namespace:
        labels = {**assumed, names.NAMESPACE_NAME_LABEL: name}
        return namespaces.get(name) or namespace_view.Namespace(name, labels)

    compiled = {
        name: of_namespace
        for name, manifests in limits.items()
        if (of_namespace := namespace_limits.of_objects(manifests))
    }
    fields["limits"] = compiled if quotas_are_checked else {}
    return impact.Impact(
        impact.world(current, now, **fields),
        impact.world(change.applied(current), lambda name: change.namespace(now(name)), **fields),
        limits=compiled,
        autoscalers=autoscalers,
    )
