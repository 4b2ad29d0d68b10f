"""What people made of the owner of a pod: the Deployment of a ReplicaSet, the CronJob of a Job."""

from __future__ import annotations

import collections
from typing import Final

from sidecar_injector.kube import api, events

MOST_REMEMBERED: Final = 1000
"""Owners, each with some hundred bytes."""
_MADE: Final = {
    (api.WORKLOADS[kind].api_version, kind): api.WORKLOADS[kind] for kind in ("ReplicaSet", "Job")
}
"""The kinds that another object usually makes."""


class Owners:
    """Looks up the owners of ReplicaSets and Jobs, one small request for each of them."""

    def __init__(self, client: api.Api) -> None:
        self._client = client
        self._remembered: collections.OrderedDict[events.ObjectRef, events.ObjectRef] = (
            collections.OrderedDict()
        )

    async def top(self, regarding: events.ObjectRef) -> events.ObjectRef:
        """The controller of a ReplicaSet or Job; the object itself if it has none, or is gone."""
        resource = _MADE.get((regarding.api_version, regarding.kind))
        if resource is None:
            return regarding
        if owner := self._remembered.get(regarding):
            self._remembered.move_to_end(regarding)
            return owner
        try:
            item = await self._client.get(
                resource, name=regarding.name, namespace=regarding.namespace, metadata_only=True
            )
        except api.KubeError as error:
            # An Event about the ReplicaSet is better than none.
            if not isinstance(error, api.ApiError) or error.status != api.NOT_FOUND:
                return regarding
            # Its author may have made it up, and make as many pods with it.
            item = {}
        owner = self._remembered[regarding] = _controller(item, regarding)
        if len(self._remembered) > MOST_REMEMBERED:
            self._remembered.popitem(last=False)
        return owner


def _controller(item: api.Json, regarding: events.ObjectRef) -> events.ObjectRef:
    references = (item.get("metadata") or {}).get("ownerReferences") or ()
    for reference in references:
        if reference.get("controller"):
            return events.ObjectRef(
                api_version=reference["apiVersion"],
                kind=reference["kind"],
                name=reference["name"],
                namespace=regarding.namespace,
                uid=reference["uid"],
            )
    return regarding
