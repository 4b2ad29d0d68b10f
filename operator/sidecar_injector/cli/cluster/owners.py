"""What owns pods, and whether it can be restarted."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Collection, Iterable, Sequence
from typing import Final

from sidecar_injector.cli.cluster import discovery, errors, objects
from sidecar_injector.core import remedies
from sidecar_injector.core.pods import fields as pod_fields
from sidecar_injector.core.pods import kinds, lenient, workloads
from sidecar_injector.kube import api

RESTARTED_ANNOTATION = "kubectl.kubernetes.io/restartedAt"
"""What `kubectl rollout restart` sets: a changed template makes the controller start a rollout."""
RESTART_AT = "restartAt"
"""The field of `kinds.Restart.RESTART_AT`."""
IN_PLACE_FIELDS: Final = ("podUpdatePolicy", "rollingUpdateType")
"""OpenKruise: a changed annotation alone then makes no new pod.

https://openkruise.io/docs/core-concepts/inplace-update
"""
MAKERS: Final = ("ReplicaSet", "Job")
"""The kinds that another object nearly always makes: without them no owner is known."""
MOST_OWNERS: Final = 8
"""From a pod upwards. Owners may be a circle: anybody may write them."""


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Owner:
    """What creates a new pod in place of a deleted one; a pod without controller owns itself."""

    namespace: str
    kind: str
    name: str
    group: str = ""
    """The API group of a custom kind; empty for a kind of Kubernetes."""

    def __str__(self) -> str:
        kind = f"{self.kind}.{self.group}" if self.kind in kinds.BUILT_IN else self.kind
        return f"{self.namespace}/{kind.rstrip('.')}/{self.name}"

    @property
    def entry(self) -> kinds.Kind | None:
        """What is known of its kind."""
        return kinds.of_owner(self.group, self.kind)

    def subject(self, annotation: object = None) -> remedies.Subject:
        """The owner as what a remedy changes."""
        return remedies.Subject(
            namespace=self.namespace,
            kind=self.kind,
            name=self.name,
            group=self.group,
            annotation=annotation,
        )

    @property
    def rolls(self) -> bool:
        """Whether `restart` may make its controller replace pods."""
        return self.entry is not None and self.entry.restart in remedies.ROLLING


def of_workload(manifest: api.Json) -> Owner:
    """A live object as the owner of its pods."""
    metadata = api.metadata(manifest)
    group, kind = workloads.kind_of(manifest)
    return Owner(metadata["namespace"], kind, metadata["name"], kinds.custom_group(group, kind))


class Owners:
    """Finds the owners of pods; reads the ReplicaSets of a namespace once, custom ones singly."""

    def __init__(self, client: api.Api, kinds_served: discovery.Discovery | None = None) -> None:
        self._client = client
        self._kinds_served = kinds_served or discovery.Discovery(client)
        self._controllers: dict[tuple[str, str], dict[str, Owner]] = {}
        """By kind and namespace, and by the name of what they control."""
        self._custom: dict[Owner, api.Json | None] = {}
        """The custom objects that were read; None for those that cannot be."""
        self._resources: dict[tuple[str, str], api.Resource | None] = {}
        self.notes: dict[str, None] = {}
        """What could not be read, in sentences."""

    async def of(self, pod: api.Json) -> Owner:
        """What is restarted to get another pod: the Deployment of a ReplicaSet, a Rollout, …."""
        metadata = api.metadata(pod)
        chain = await self._chain(metadata["namespace"], _controller(metadata))
        if not chain:
            return Owner(metadata["namespace"], "Pod", metadata["name"])
        return self._top(chain)

    async def makers(self, pod: api.Json, *, wanted: Collection[Owner]) -> list[Owner]:
        """The pod's controllers, as far up as one of the wanted owners may be."""
        metadata = api.metadata(pod)
        controller = _controller(metadata)
        direct = _owner(metadata["namespace"], controller)
        if direct is None:
            return []
        above = set(direct.entry.made_by) if direct.entry and not direct.group else None
        if above is None or any(owner.group or owner.kind in above for owner in wanted):
            return await self._chain(metadata["namespace"], controller)
        return [direct]

    async def above(self, reference: api.Json) -> Owner:
        """What is restarted for the pods of an object; an object without owner is its own."""
        chain = await self._chain(reference["namespace"], reference)
        return self._top(chain)

    async def resource(self, owner: Owner) -> api.Resource | None:
        """Where the owner is read; None for a kind that the cluster does not serve."""
        if not owner.group:
            return api.WORKLOADS.get(owner.kind)
        key = owner.group, owner.kind
        if key not in self._resources:
            self._resources[key] = await self._kinds_served.of_kind(*key)
        return self._resources[key]

    async def _chain(self, namespace: str, controller: api.Json | None) -> list[Owner]:
        """The controller, what controls that, and so on; bounded."""
        chain: list[Owner] = []
        owner = _owner(namespace, controller)
        while owner and owner not in chain and len(chain) < MOST_OWNERS:
            chain.append(owner)
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
        if entry is None or not entry.made_by:
            return None
        return (await self._controllers_of(owner.kind, owner.namespace)).get(owner.name)

    async def _above_custom(self, owner: Owner) -> Owner | None:
        entry = owner.entry
        if entry and not entry.made_by:
            return None
        if owner not in self._custom:
            self._custom[owner] = await self._read_custom(owner)
        manifest = self._custom[owner]
        return _owner(owner.namespace, _controller(api.metadata(manifest))) if manifest else None

    async def _read_custom(self, owner: Owner) -> api.Json | None:
        try:
            resource = await self.resource(owner)
            manifest = resource and await api.get_or_none(
                self._client, resource, name=owner.name, namespace=owner.namespace
            )
        except api.ApiError as error:
            if error.status != api.FORBIDDEN:
                raise
            sentence = errors.denied(error).sentence
            self.notes[f"{sentence}: what owns {owner.kind} {owner.name} is not known"] = None
            return None
        if not resource or not manifest:
            return None
        return {**manifest, "apiVersion": resource.api_version, "kind": resource.kind}

    async def _controllers_of(self, kind: str, namespace: str) -> dict[str, Owner]:
        if (kind, namespace) not in self._controllers:
            self._controllers[kind, namespace] = {}
            scope = api.Scope(namespace=namespace, metadata_only=True)
            reading = objects.read_all(self._client, api.WORKLOADS[kind], scope=scope)
            if kind in MAKERS:
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
                if (owner := _owner(namespace, _controller(metadata)))
            }
        return self._controllers[kind, namespace]


def _owner(namespace: str, reference: api.Json | None) -> Owner | None:
    if reference is None:
        return None
    kind = reference["kind"]
    group, slash, _ = str(reference.get("apiVersion") or "").partition("/")
    custom_group = kinds.custom_group(group if slash else "", kind)
    return Owner(namespace, kind, reference["name"], custom_group)


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


async def restart_effect(client: api.Api, owner: Owner, found: Owners) -> RestartEffect:
    """The effect on one owner as it is now; `found` says where it is read."""
    if owner.kind == "Pod":
        return RestartEffect("a bare pod: delete it and create it again")
    how = owner.entry.restart if owner.entry else None
    if how is kinds.Restart.NEXT_RUN:
        return RestartEffect(f"its {owner.kind}'s next run is new", is_replaced_anyway=True)
    if owner.kind == "Job" and not owner.group and await _is_of_cron_job(client, owner):
        return RestartEffect("its CronJob's next run is new", is_replaced_anyway=True)
    if how is kinds.Restart.RUNS_ONCE:
        return RestartEffect(f"a {owner.kind} runs once: delete it and create it again")
    if how not in remedies.ROLLING:
        if owner.group and owner.entry is None:
            return RestartEffect(
                f"how a {owner.kind} replaces pods is not known: delete them, or name its template"
                f" with --kind-path {owner.group}/{owner.kind}=PATH"
            )
        return RestartEffect(
            f"a {owner.kind} does not replace its pods when its template changes: delete them"
        )
    resource = await found.resource(owner)
    workload = resource and await api.get_or_none(
        client, resource, name=owner.name, namespace=owner.namespace
    )
    if not workload:
        return RestartEffect("it is gone")
    return _effect(owner, workload)


def _effect(owner: Owner, workload: api.Json) -> RestartEffect:
    spec = lenient.child(workload, "spec")
    strategy = lenient.child(spec, "updateStrategy")
    rolling = lenient.child(strategy, "rollingUpdate")
    if any(part.get("paused") for part in (spec, strategy, rolling)):
        return RestartEffect("its rollout is paused: resume it first")
    if strategy.get("type") == "OnDelete":
        return RestartEffect("its updateStrategy is OnDelete: delete its pods")
    in_place = (strategy.get("type"), *(rolling.get(field) for field in IN_PLACE_FIELDS))
    if any(str(value).startswith("InPlace") for value in in_place):
        return RestartEffect("its updateStrategy changes pods in place: delete its pods")
    if owner.entry and owner.entry.restart is kinds.Restart.RESTART_AT:
        return RestartEffect(restarted=_moment(spec.get(RESTART_AT)))
    if not (templates := _templates(owner, workload)):
        return RestartEffect("it has no pod template that can be changed: delete its pods")
    return RestartEffect(restarted=_restarted(workloads.at(workload, templates[0])))


def _templates(owner: Owner, workload: api.Json) -> list[kinds.Path]:
    """The pod templates that a merge patch can change: a list would be replaced."""
    return [
        path
        for path in (owner.entry.paths if owner.entry else ())
        if kinds.EACH not in path and isinstance(workloads.at(workload, path), dict)
    ]


async def _is_of_cron_job(client: api.Api, owner: Owner) -> bool:
    resource = api.WORKLOADS["Job"]
    job = await api.get_or_none(client, resource, name=owner.name, namespace=owner.namespace)
    controller = _controller(api.metadata(job)) if job else None
    return bool(controller and controller["kind"] == "CronJob")


def _restarted(template: api.Json) -> datetime.datetime | None:
    return _moment(pod_fields.metadata_map(template, "annotations").get(RESTARTED_ANNOTATION))


def _moment(text: object) -> datetime.datetime | None:
    try:
        moment = datetime.datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return moment if moment and moment.tzinfo else None


async def restart(client: api.Api, owner: Owner, found: Owners, *, at: str) -> None:
    """Sets the restart annotation of the pod template, or the field of the kind; nothing else."""
    resource = await found.resource(owner)
    assert resource
    assert owner.entry
    body: api.Json = {"spec": {RESTART_AT: at}}
    if owner.entry.restart is kinds.Restart.ANNOTATION:
        paths: Sequence[kinds.Path] = owner.entry.paths
        if owner.group:
            workload = await client.get(resource, name=owner.name, namespace=owner.namespace)
            paths = _templates(owner, workload)
        body = _merged(paths, {"metadata": {"annotations": {RESTARTED_ANNOTATION: at}}})
    await client.patch(resource, body, name=owner.name, namespace=owner.namespace)


def _merged(paths: Iterable[kinds.Path], value: api.Json) -> api.Json:
    """An object with the value at each path."""
    body: api.Json = {}
    for path in paths:
        parent = body
        for step in path[:-1]:
            parent = parent.setdefault(str(step), {})
        parent[str(path[-1])] = value
    return body


def _controller(metadata: api.Json) -> api.Json | None:
    references = metadata.get("ownerReferences") or ()
    return next((reference for reference in references if reference.get("controller")), None)
