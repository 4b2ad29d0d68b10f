"""Whether a workload can be restarted, and how: as kubectl or its own project does."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterable, Sequence
from typing import Final

from sidecar_injector.cli.cluster import errors, owners
from sidecar_injector.core.pods import fields as pod_fields
from sidecar_injector.core.pods import kinds, lenient, workloads
from sidecar_injector.core.pods.owner import Owner
from sidecar_injector.kube import api

RESTARTED_ANNOTATION = "kubectl.kubernetes.io/restartedAt"
"""What `kubectl rollout restart` sets: a changed template makes the controller start a rollout."""
RESTART_AT = "restartAt"
"""The field of `kinds.Restart.RESTART_AT`."""
IN_PLACE_FIELDS: Final = ("podUpdatePolicy", "rollingUpdateType")
"""OpenKruise: a changed annotation alone then makes no new pod.

https://openkruise.io/docs/core-concepts/inplace-update
"""


@dataclasses.dataclass(frozen=True, slots=True)
class RestartEffect:
    """What the restart annotation would do to an owner's pods."""

    obstacle: str = ""
    """Why it would not restart them; empty if it would."""
    restarted: datetime.datetime | None = None
    """When it was set last."""
    is_replaced_anyway: bool = False
    """Nothing is to be done: something else makes new pods in their place."""

    def is_under_way(self, created: Iterable[datetime.datetime]) -> bool:
        """Whether the last restart replaces all pods that were created at these times."""
        last = self.restarted
        return last is not None and all(moment < last for moment in created)


async def effect(lookup: owners.Owners, owner: Owner) -> RestartEffect:
    """The effect on one of the owners that were looked up, as it is now."""
    if owner.kind == "Pod":
        return RestartEffect("a bare pod: delete it and create it again")
    how = owner.entry.restart if owner.entry else None
    if how is kinds.Restart.NEXT_RUN:
        return RestartEffect(f"its {owner.kind}'s next run is new", is_replaced_anyway=True)
    if how is kinds.Restart.RUNS_ONCE:
        return RestartEffect(f"a {owner.kind} runs once: delete it and create it again")
    if not owner.rolls:
        if owner.group and owner.entry is None:
            return RestartEffect(
                f"how a {owner.kind} replaces pods is not known: delete them, or name its template"
                f" with --kind-path {owner.group}/{owner.kind}=PATH"
            )
        return RestartEffect(
            f"a {owner.kind} has no restart: delete its pods, and new ones are made"
        )
    try:
        workload = await lookup.read(owner)
    except api.ApiError as error:
        # The roles of the chart and of Kubernetes do not have custom kinds: the others go on.
        if not owner.group or error.status != api.FORBIDDEN:
            raise
        return RestartEffect(errors.denied(error).sentence)
    if workload is None:
        return RestartEffect("it is gone")
    return _effect(owner, workload)


def _effect(owner: Owner, workload: api.Json) -> RestartEffect:
    spec = lenient.child(workload, "spec")
    if owner.entry and owner.entry.restart is kinds.Restart.RESTART_AT:
        # Argo Rollouts does this in paused ones, too.
        return RestartEffect(restarted=_moment(spec.get(RESTART_AT)))
    templates = _templates(owner, workload)
    if not templates:
        return RestartEffect("it has no pod template that can be changed: delete its pods")
    # A UnitedDeployment has the specs of other workloads, with their strategies.
    specs = [spec, *(workloads.at(workload, path[:-1]) for path in templates)]
    strategies = [lenient.child(each, "updateStrategy") for each in specs]
    rolling = [lenient.child(strategy, "rollingUpdate") for strategy in strategies]
    if any(part.get("paused") for part in (*specs, *strategies, *rolling)):
        return RestartEffect("its rollout is paused: resume it first")
    types = [strategy.get("type") for strategy in strategies]
    if "OnDelete" in types:
        return RestartEffect("its updateStrategy is OnDelete: delete its pods")
    in_place = (*types, *(part.get(field) for part in rolling for field in IN_PLACE_FIELDS))
    if any(str(value).startswith("InPlace") for value in in_place):
        return RestartEffect("its updateStrategy changes pods in place: delete its pods")
    return RestartEffect(restarted=_restarted(workloads.at(workload, templates[0])))


def _templates(owner: Owner, workload: api.Json) -> list[kinds.Path]:
    """The pod templates that a merge patch can change: in no list, which would be replaced."""
    paths = owner.entry.paths if owner.entry else ()
    return [path for path in paths if isinstance(workloads.at(workload, path), dict)]


def _restarted(template: api.Json) -> datetime.datetime | None:
    return _moment(pod_fields.metadata_map(template, "annotations").get(RESTARTED_ANNOTATION))


def _moment(text: object) -> datetime.datetime | None:
    try:
        moment = datetime.datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return moment if moment and moment.tzinfo else None


async def restart(lookup: owners.Owners, owner: Owner, *, at: str) -> None:
    """Sets the restart annotation of the pod template, or the field of the kind; nothing else."""
    resource = await lookup.resource(owner)
    assert resource
    assert owner.entry
    body: api.Json = {"spec": {RESTART_AT: at}}
    if owner.entry.restart is kinds.Restart.ANNOTATION:
        paths: Sequence[kinds.Path] = owner.entry.paths
        if owner.group:
            workload = await lookup.client.get(resource, name=owner.name, namespace=owner.namespace)
            paths = _templates(owner, workload)
        body = _merged(paths, {"metadata": {"annotations": {RESTARTED_ANNOTATION: at}}})
    await lookup.client.patch(resource, body, name=owner.name, namespace=owner.namespace)


def _merged(paths: Iterable[kinds.Path], value: api.Json) -> api.Json:
    """An object with the value at each path."""
    body: api.Json = {}
    for path in paths:
        parent = body
        for step in path[:-1]:
            parent = parent.setdefault(str(step), {})
        parent[str(path[-1])] = value
    return body
