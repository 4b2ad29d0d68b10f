"""What owns pods: their controllers, and what is restarted to replace them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from sidecar_injector.cli.cluster import discovery, errors, objects
from sidecar_injector.core.pods import kinds, workloads
from sidecar_injector.core.pods.owner import Owner
from sidecar_injector.kube import api

CONTROLLED: Final = ("ReplicaSet", "Job")
"""The kinds that another object nearly always makes: without them no owner is known."""
MOST_OWNERS: Final = 8
"""From a pod upwards. Owners may be a circle: anybody may write them."""


def of_workload(manifest: api.Json) -> Owner:
    """A live object as the owner of its pods."""
    metadata = api.metadata(manifest)
    group, kind = workloads.kind_of(manifest)
    return Owner(metadata["namespace"], kind, metadata["name"], kinds.custom_group(group, kind))


class Owners:
    """Finds the owners of pods; reads the ReplicaSets of a namespace once, custom ones singly."""

    def __init__(self, client: api.Api, kinds_served: discovery.Discovery | None = None) -> None:
        self.client = client
        """The cluster that they are in."""
        self._kinds_served = kinds_served or discovery.Discovery(client)
        self._controllers: dict[tuple[str, str], dict[str, Owner]] = {}
        """By kind and namespace, and by the name of what they control."""
        self._custom: dict[Owner, api.Json | None] = {}
        """The custom objects that were read; None for those that cannot be."""
        self.notes: dict[str, None] = {}
        """What could not be read, in sentences."""

    async def of(self, pod: api.Json) -> Owner:
        """What is restarted to get another pod: the Deployment of a ReplicaSet, a Rollout, …."""
        metadata = api.metadata(pod)
        if chain := await self._chain(controller_of(metadata)):
            return self._top(chain)
        return Owner(metadata["namespace"], "Pod", metadata["name"])

    async def makers(self, pod: api.Json, *, wanted: Collection[Owner]) -> list[Owner]:
        """The pod's controllers, as far up as one of the wanted owners may be."""
        direct = controller_of(api.metadata(pod))
        if direct is None:
            return []
        above = set(direct.entry.makers) if direct.entry and not direct.group else None
        if above is None or any(owner.group or owner.kind in above for owner in wanted):
            return await self._chain(direct, wanted=wanted)
        return [direct]

    async def above(self, reference: api.Json) -> Owner:
        """What is restarted for the pods of an object; an object without owner is its own."""
        return self._top(await self._chain(_owner(reference["namespace"], reference)))

    async def resource(self, owner: Owner) -> api.Resource | None:
        """Where the owner is read; None for a kind that the cluster does not serve."""
        if not owner.group:
            return api.WORKLOADS.get(owner.kind)
        return await self._kinds_served.of_kind(owner.group, owner.kind)

    async def read(self, owner: Owner) -> api.Json | None:
        """The object as it is now, with version and kind; None if there is none."""
        resource = await self.resource(owner)
        if resource is None:
            return None
        try:
            manifest = await api.get_or_none(
                self.client, resource, name=owner.name, namespace=owner.namespace
            )
        except api.InvalidNameError:
            # Nobody checks the names in ownerReferences.
            return None
        if manifest is None:
            return None
        return {**manifest, "apiVersion": resource.api_version, "kind": resource.kind}

    async def _chain(
        self, controller: Owner | None, *, wanted: Collection[Owner] = ()
    ) -> list[Owner]:
        """The controller, what controls that, and so on; bounded."""
        ends = frozenset() if any(owner.group for owner in wanted) else frozenset(wanted)
        chain: list[Owner] = []
        owner = controller
        while owner and len(chain) < MOST_OWNERS:
            chain.append(owner)
            if owner in ends:
                break
            owner = await (self._above_custom(owner) if owner.group else self._above_own(owner))
        return chain

    def _top(self, chain: Sequence[Owner]) -> Owner:
        """The highest owner that is known to make pods, or has a template that nothing below has.

        Above a Deployment, an object of an unknown kind is an application of some operator.
        """
        top = chain[0]
        for owner in chain[1:]:
            entry = owner.entry
            has_template = entry.paths if entry else not top.rolls and self._has_template(owner)
            if has_template:
                top = owner
        return top

    def _has_template(self, owner: Owner) -> bool:
        manifest = self._custom.get(owner)
        return manifest is not None and bool(workloads.pod_paths(manifest))

    async def _above_own(self, owner: Owner) -> Owner | None:
        entry = owner.entry
        if entry is None or not entry.makers:
            return None
        return (await self._controllers_of(owner.kind, owner.namespace)).get(owner.name)

    async def _above_custom(self, owner: Owner) -> Owner | None:
        entry = owner.entry
        if entry and not entry.makers:
            return None
        if owner not in self._custom:
            self._custom[owner] = await self._read_custom(owner)
        manifest = self._custom[owner]
        return controller_of(api.metadata(manifest)) if manifest else None

    async def _read_custom(self, owner: Owner) -> api.Json | None:
        try:
            return await self.read(owner)
        except api.ApiError as error:
            if error.status != api.FORBIDDEN:
                raise
            sentence = errors.denied(error).sentence
            self.notes[f"{sentence}: what owns {owner.kind} {owner.name} is not known"] = None
            return None

    async def _controllers_of(self, kind: str, namespace: str) -> dict[str, Owner]:
        if (kind, namespace) not in self._controllers:
            self._controllers[kind, namespace] = {}
            scope = api.Scope(namespace=namespace, metadata_only=True)
            reading = objects.read_all(self.client, api.WORKLOADS[kind], scope=scope)
            if kind in CONTROLLED:
                items = await reading
            else:
                notes: list[str] = []
                consequence = "custom objects that make them are not known"
                items = (
                    await objects.unless_forbidden(reading, notes=notes, consequence=consequence)
                    or []
                )
                self.notes |= dict.fromkeys(notes)
            self._controllers[kind, namespace] = {
                metadata["name"]: owner
                for metadata in map(api.metadata, items)
                if (owner := controller_of(metadata))
            }
        return self._controllers[kind, namespace]


def controller_of(metadata: api.Json) -> Owner | None:
    """What controls an object; None if nothing does."""
    references = metadata.get("ownerReferences") or ()
    controllers = (reference for reference in references if reference.get("controller"))
    reference = next(controllers, None)
    return _owner(metadata["namespace"], reference) if reference else None


def _owner(namespace: str, reference: api.Json) -> Owner:
    group, kind = workloads.kind_of(reference)
    return Owner(namespace, kind, reference["name"], kinds.custom_group(group, kind))
