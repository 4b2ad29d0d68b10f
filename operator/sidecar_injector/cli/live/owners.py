"""Whose pods they are, and whether that can be restarted."""

from __future__ import annotations

import dataclasses

from sidecar_injector.cli.live import objects
from sidecar_injector.kube import api

RESTARTED_ANNOTATION = "kubectl.kubernetes.io/restartedAt"
"""What `kubectl rollout restart` sets: the controller sees another template and rolls."""
ROLLING = frozenset({"Deployment", "DaemonSet", "StatefulSet"})


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Owner:
    """What would make a pod's successor."""

    namespace: str
    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.kind}/{self.name}"


class Owners:
    """Finds the owners of pods; ReplicaSets are read once a namespace."""

    def __init__(self, asked: api.Api) -> None:
        self._asked = asked
        self._deployments: dict[str, dict[str, Owner]] = {}

    async def of(self, pod: api.Json) -> Owner:
        """The Deployment behind a ReplicaSet, else the controller, else the pod itself."""
        metadata = api.metadata(pod)
        namespace = metadata["namespace"]
        controller = _controller(metadata)
        if controller is None:
            return Owner(namespace, "Pod", metadata["name"])
        if controller["kind"] == "ReplicaSet":
            above = (await self._of_replica_sets(namespace)).get(controller["name"])
            if above:
                return above
        return Owner(namespace, controller["kind"], controller["name"])

    async def _of_replica_sets(self, namespace: str) -> dict[str, Owner]:
        if namespace not in self._deployments:
            scope = api.Scope(namespace=namespace, metadata_only=True)
            found = await objects.listed(self._asked, objects.RESOURCES["ReplicaSet"], scope=scope)
            owned = {api.metadata(one)["name"]: _controller(api.metadata(one)) for one in found}
            self._deployments[namespace] = {
                name: Owner(namespace, controller["kind"], controller["name"])
                for name, controller in owned.items()
                if controller
            }
        return self._deployments[namespace]


async def by_hand(asked: api.Api, owner: Owner) -> str:
    """Why the annotation would not restart the owner's pods; empty if it would."""
    if owner.kind == "Pod":
        return "a bare pod: delete it and create it again"
    if owner.kind == "Job":
        return "a Job runs once: delete it and create it again"
    if owner.kind not in ROLLING:
        return f"a {owner.kind} does not replace its pods when its template changes: delete them"
    resource = objects.RESOURCES[owner.kind]
    found = await objects.found(asked, resource, name=owner.name, namespace=owner.namespace)
    if found is None:
        return "it is gone"
    spec = found["spec"]
    if spec.get("paused"):
        return "its rollout is paused: resume it first"
    if (spec.get("updateStrategy") or {}).get("type") == "OnDelete":
        return "its updateStrategy is OnDelete: delete its pods"
    return ""


async def restart(asked: api.Api, owner: Owner, *, at: str) -> None:
    """Set the restart annotation of its pod template, and nothing else."""
    annotations = {RESTARTED_ANNOTATION: at}
    await asked.patch(
        objects.RESOURCES[owner.kind],
        {"spec": {"template": {"metadata": {"annotations": annotations}}}},
        name=owner.name,
        namespace=owner.namespace,
    )


def _controller(metadata: api.Json) -> api.Json | None:
    references = metadata.get("ownerReferences") or ()
    return next((one for one in references if one.get("controller")), None)
