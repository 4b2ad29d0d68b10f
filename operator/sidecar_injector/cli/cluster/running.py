"""The running pods of a workload, and what they lack of what its new pods get."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sidecar_injector.cli.cluster import history, restarts
from sidecar_injector.cli.cluster import injections as cluster_injections
from sidecar_injector.cli.cluster import owners as cluster_owners
from sidecar_injector.cli.cluster import pods as cluster_pods
from sidecar_injector.cli.output import report
from sidecar_injector.core import audit, remedies
from sidecar_injector.core.injections import namespace_view
from sidecar_injector.core.pods.owner import Owner
from sidecar_injector.core.reasons import Reason
from sidecar_injector.kube import api


@dataclasses.dataclass(frozen=True, slots=True)
class Lack:
    """One injection that a pod lacks or has outdated, as `restart` sees it."""

    candidate: cluster_pods.RestartCandidate
    why: str


@dataclasses.dataclass(slots=True)
class RunningPods:
    """The pods of one workload that have not ended."""

    count: int = 0
    lacks: list[Lack] = dataclasses.field(default_factory=list)
    effect: restarts.RestartEffect = dataclasses.field(default_factory=restarts.RestartEffect)
    """What a restart would do; without meaning where nothing is lacking."""

    def headline(self) -> str:
        """How many pods lack what, and why; empty if none does."""
        return report.few(list(self._groups()), separator="; ")

    def _groups(self) -> Iterator[str]:
        groups: dict[tuple[str, str], set[str]] = {}
        for lack in self.lacks:
            candidate = lack.candidate
            what = f"without {candidate.reference}"
            if candidate.state == audit.OUTDATED:
                what = f"with an outdated {candidate.reference}"
            groups.setdefault((what, lack.why), set()).add(candidate.pod)
        for (what, why), pods in groups.items():
            verb = "is" if len(pods) == 1 else "are"
            yield f"{len(pods)} of {self.count} pods {verb} {what}: {why}"

    def remedy(self) -> remedies.Remedy | None:
        """How they get it; None if nothing is lacking."""
        if not self.lacks:
            return None
        owner = self.lacks[0].candidate.owner
        if self.effect.is_under_way(lack.candidate.created for lack in self.lacks):
            return remedies.Remedy("wait: a rollout that replaces them is under way")
        if self.effect.obstacle:
            return remedies.Remedy(self.effect.obstacle)
        subject = remedies.Subject.of(owner)
        return remedies.of(Reason.NOT_A_CREATE, subject)

    def as_json(self) -> dict[str, Any]:
        """For programs; its shape is stable."""
        remedy = self.remedy()
        return {
            "pods": self.count,
            "lacking": [
                {
                    "pod": lack.candidate.pod,
                    "injection": lack.candidate.reference,
                    "state": lack.candidate.state,
                    "message": lack.why,
                }
                for lack in self.lacks
            ],
            "remedy": remedy.text if remedy else "",
            "command": remedy.command if remedy else "",
        }


async def read(
    client: api.Api,
    manifests: Sequence[api.Json],
    *,
    views: Mapping[str, namespace_view.NamespaceView],
    injections: cluster_injections.ReadInjections,
    owners: cluster_owners.Owners,
) -> dict[Owner, RunningPods]:
    """The pods of each workload among these objects; those of a namespace are listed once."""
    running = {
        cluster_owners.of_workload(manifest): RunningPods()
        for manifest in manifests
        if manifest["kind"] != "Pod"
    }
    for name in sorted({owner.namespace for owner in running}):
        async for page in client.pages(api.PODS, scope=api.Scope(namespace=name)):
            for pod in page.items:
                if cluster_pods.has_ended(pod):
                    continue
                makers = await owners.makers(pod, wanted=running)
                if wanted := [running[maker] for maker in makers if maker in running]:
                    lacks = await _lacks(pod, views[name], injections=injections, owners=owners)
                    for pods in wanted:
                        pods.count += 1
                        pods.lacks += lacks
    for pods in running.values():
        if pods.lacks:
            owner = pods.lacks[0].candidate.owner
            pods.effect = await restarts.effect(owners, owner)
    return running


async def _lacks(
    pod: api.Json,
    view: namespace_view.NamespaceView,
    *,
    injections: cluster_injections.ReadInjections,
    owners: cluster_owners.Owners,
) -> list[Lack]:
    candidates = await cluster_pods.candidates_of(pod, view, owners)
    helped = [candidate for candidate in candidates if not candidate.obstacle]
    if not helped:
        return []
    pod_history = await history.read(pod, injections, owners)
    return [Lack(candidate, _why(pod_history, candidate)) for candidate in helped]


def _why(pod_history: history.PodHistory, candidate: cluster_pods.RestartCandidate) -> str:
    if candidate.state == audit.OUTDATED:
        return "created before its template was changed"
    return history.why_missing(pod_history, candidate.injection)
