"""Whose pods they are, and whether that can be restarted."""

from __future__ import annotations

import dataclasses
import datetime

from sidecar_injector.cli.cluster import objects
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


@dataclasses.dataclass(frozen=True, slots=True)
class Outlook:
    """What the restart annotation would do to an owner's pods."""

    by_hand: str = ""
    """Why it would not restart them; empty if it would."""
    restarted: datetime.datetime | None = None
    """When it was set last."""


async def outlook(asked: api.Api, owner: Owner) -> Outlook:
    """Of one owner, as it is now."""
    if owner.kind == "Pod":
        return Outlook("a bare pod: delete it and create it again")
    if owner.kind == "Job":
        return Outlook("a Job runs once: delete it and create it again")
    if owner.kind not in ROLLING:
        kind = owner.kind
        return Outlook(f"a {kind} does not replace its pods when its template changes: delete them")
    resource = objects.RESOURCES[owner.kind]
    found = await objects.found(asked, resource, name=owner.name, namespace=owner.namespace)
    if found is None:
        return Outlook("it is gone")
    spec = found["spec"]
    if spec.get("paused"):
        return Outlook("its rollout is paused: resume it first")
    if (spec.get("updateStrategy") or {}).get("type") == "OnDelete":
        return Outlook("its updateStrategy is OnDelete: delete its pods")
    return Outlook(restarted=_restarted(spec["template"]))


def _restarted(template: api.Json) -> datetime.datetime | None:
    text = ((template.get("metadata") or {}).get("annotations") or {}).get(RESTARTED_ANNOTATION)
    try:
        found = datetime.datetime.fromisoformat(text) if text else None
    except ValueError:
        return None
    return found if found and found.tzinfo else None


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
