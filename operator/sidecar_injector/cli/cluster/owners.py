"""What owns pods, and whether it can be restarted."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Collection, Iterable

from sidecar_injector.cli.cluster import objects
from sidecar_injector.kube import api

RESTARTED_ANNOTATION = "kubectl.kubernetes.io/restartedAt"
"""What `kubectl rollout restart` sets: a changed template makes the controller start a rollout."""
ROLLING = frozenset({"Deployment", "DaemonSet", "StatefulSet"})

MAKERS = {"ReplicaSet": "Deployment", "Job": "CronJob"}
"""The kinds between a workload and its pods, and the kind of the workload."""


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Owner:
    """What creates a new pod in place of a deleted one; a pod without controller owns itself."""

    namespace: str
    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.kind}/{self.name}"


def of_workload(manifest: api.Json) -> Owner:
    """A live object as the owner of its pods."""
    metadata = api.metadata(manifest)
    return Owner(metadata["namespace"], manifest["kind"], metadata["name"])


class Owners:
    """Finds the owners of pods; reads the ReplicaSets of a namespace once."""

    def __init__(self, client: api.Api) -> None:
        self._client = client
        self._controllers: dict[tuple[str, str], dict[str, Owner]] = {}
        """By kind and namespace, and by the name of what they control."""

    async def of(self, pod: api.Json) -> Owner:
        """The Deployment of a ReplicaSet, else the controller, else the pod itself."""
        metadata = api.metadata(pod)
        namespace = metadata["namespace"]
        controller = _controller(metadata)
        if controller is None:
            return Owner(namespace, "Pod", metadata["name"])
        return await self.above({**controller, "namespace": namespace})

    async def makers(self, pod: api.Json, *, kinds: Collection[str]) -> list[Owner]:
        """The pod's controller, and what controls that if it is of one of these kinds."""
        metadata = api.metadata(pod)
        if (controller := _controller(metadata)) is None:
            return []
        kind, name, namespace = controller["kind"], controller["name"], metadata["namespace"]
        direct = Owner(namespace, kind, name)
        if MAKERS.get(kind) not in kinds:
            return [direct]
        upper = (await self._controllers_of(kind, namespace)).get(name)
        return [direct, upper] if upper else [direct]

    async def above(self, reference: api.Json) -> Owner:
        """The Deployment of a ReplicaSet; anything else is its own owner."""
        namespace, kind, name = (reference[key] for key in ("namespace", "kind", "name"))
        if kind == "ReplicaSet":
            deployment = (await self._controllers_of(kind, namespace)).get(name)
            if deployment:
                return deployment
        return Owner(namespace, kind, name)

    async def _controllers_of(self, kind: str, namespace: str) -> dict[str, Owner]:
        if (kind, namespace) not in self._controllers:
            scope = api.Scope(namespace=namespace, metadata_only=True)
            controlled = map(
                api.metadata,
                await objects.read_all(self._client, api.WORKLOADS[kind], scope=scope),
            )
            self._controllers[kind, namespace] = {
                metadata["name"]: Owner(namespace, controller["kind"], controller["name"])
                for metadata in controlled
                if (controller := _controller(metadata))
            }
        return self._controllers[kind, namespace]


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


async def restart_effect(client: api.Api, owner: Owner) -> RestartEffect:
    """The effect on one owner as it is now."""
    if owner.kind == "Pod":
        return RestartEffect("a bare pod: delete it and create it again")
    if owner.kind == "CronJob" or (owner.kind == "Job" and await _is_of_cron_job(client, owner)):
        return RestartEffect("its CronJob's next run is new", is_replaced_anyway=True)
    if owner.kind == "Job":
        return RestartEffect("a Job runs once: delete it and create it again")
    if owner.kind not in ROLLING:
        return RestartEffect(
            f"a {owner.kind} does not replace its pods when its template changes: delete them"
        )
    resource = api.WORKLOADS[owner.kind]
    workload = await api.get_or_none(client, resource, name=owner.name, namespace=owner.namespace)
    if workload is None:
        return RestartEffect("it is gone")
    spec = workload["spec"]
    if spec.get("paused"):
        return RestartEffect("its rollout is paused: resume it first")
    if (spec.get("updateStrategy") or {}).get("type") == "OnDelete":
        return RestartEffect("its updateStrategy is OnDelete: delete its pods")
    return RestartEffect(restarted=_restarted(spec["template"]))


async def _is_of_cron_job(client: api.Api, owner: Owner) -> bool:
    resource = api.WORKLOADS["Job"]
    job = await api.get_or_none(client, resource, name=owner.name, namespace=owner.namespace)
    controller = _controller(api.metadata(job)) if job else None
    return bool(controller and controller["kind"] == "CronJob")


def _restarted(template: api.Json) -> datetime.datetime | None:
    text = ((template.get("metadata") or {}).get("annotations") or {}).get(RESTARTED_ANNOTATION)
    try:
        moment = datetime.datetime.fromisoformat(text) if text else None
    except ValueError:
        return None
    return moment if moment and moment.tzinfo else None


async def restart(client: api.Api, owner: Owner, *, at: str) -> None:
    """Sets the restart annotation of the pod template, and nothing else."""
    annotations = {RESTARTED_ANNOTATION: at}
    await client.patch(
        api.WORKLOADS[owner.kind],
        {"spec": {"template": {"metadata": {"annotations": annotations}}}},
        name=owner.name,
        namespace=owner.namespace,
    )


def _controller(metadata: api.Json) -> api.Json | None:
    references = metadata.get("ownerReferences") or ()
    return next((reference for reference in references if reference.get("controller")), None)
