"""What a change does to workloads: their templates, decided in two worlds.

A world is what decisions look at in each namespace. The one is the cluster as it is, the other one
as it would be. Pods that run are not touched by either: what is found here happens when they are
created again.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Final

from sidecar_injector import names
from sidecar_injector.core import capacity, decision, templates
from sidecar_injector.core.injections import model, namespace_view
from sidecar_injector.core.merging import status_annotation
from sidecar_injector.core.pods import fields as pod_fields
from sidecar_injector.core.pods import lenient, workloads
from sidecar_injector.core.reasons import Level, PodVerdict, Verdict

Json = dict[str, Any]
World = Callable[[str], namespace_view.NamespaceView]
"""The view of a namespace, by name."""
MOST_PODS: Final = 2**31 - 1
NAMED_BY_JOB: Final = frozenset({("batch", "Job")})
"""The kinds whose pods have the workload's name and uid in labels."""

OUR_MARKS: Final[Mapping[str, Collection[str]]] = {
    "labels": (names.INJECTED_LABEL,),
    "annotations": (
        names.STATUS_ANNOTATION, names.INJECTED_ANNOTATION, names.SKIPPED_ANNOTATION,
    ),
}  # fmt: skip


class Effect(enum.Enum):
    """What becomes of an injection on the new pods of a workload; what breaks comes first."""

    REFUSED = "would be refused"
    NO_LONGER_FITS = "no longer fits"
    DOES_NOT_FIT = "does not fit"
    LOSES = "loses"
    CHANGES = "changes"
    GAINS = "gains"

    @property
    def is_breaking(self) -> bool:
        """Whether pods lack what an author wants."""
        return self in (Effect.REFUSED, Effect.NO_LONGER_FITS, Effect.DOES_NOT_FIT)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """A workload, or a bare pod, with the pod template at a path of its manifest."""

    owner: capacity.Owner
    manifest: Mapping[str, Any]
    path: workloads.Path
    template: Json
    pods: int
    """How many pods it is to have."""
    account: Json | None = None
    """The ServiceAccount of its pods, if it is known."""


@dataclasses.dataclass(frozen=True, slots=True)
class InjectionEffect:
    """What becomes of one injection, and the line of the decision about what cannot be done."""

    effect: Effect
    reference: str
    line: decision.Line | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TemplateImpact:
    """What changes for each new pod of a template."""

    effects: tuple[InjectionEffect, ...]
    before: capacity.Amounts
    """What a pod requests now."""
    added: capacity.Amounts
    without_request: Mapping[str, str]
    """The resources for which a container has no request now, and every one had: its name."""
    undecided: Mapping[str, str]
    """The injections that depend on a label or annotation whose value is unknown, with its key."""


class Impact:
    """Collects workloads one by one, and keeps little of those that do not change."""

    def __init__(
        self, before: World, after: World, *, autoscalers: Iterable[capacity.Autoscaler] = ()
    ) -> None:
        self.pods: dict[capacity.Owner, int] = {}
        """The number of pods of every workload that was added."""
        self.changed: dict[capacity.Owner, TemplateImpact] = {}
        self.lost_metrics: list[capacity.LostMetric] = []
        self.undecided: dict[str, str] = {}
        self._before, self._after = before, after
        self._is_same: dict[str, bool] = {}
        self._by_template: dict[tuple[str, bytes], TemplateImpact] = {}
        self.requested: dict[str, capacity.Amounts] = {}
        """What all workloads request now, in the namespaces that are touched."""
        self._autoscalers: dict[capacity.Owner, list[capacity.Autoscaler]] = {}
        for autoscaler in autoscalers:
            self._autoscalers.setdefault(autoscaler.target, []).append(autoscaler)

    def add(self, workload: Workload) -> None:
        """Decide about a workload; one that was added before does not count twice."""
        owner = workload.owner
        if owner in self.pods:
            return
        self.pods[owner] = workload.pods
        if self.is_untouched(owner.namespace):
            return
        impact = self._of_template(workload)
        self.undecided.update(impact.undecided)
        capacity.add(self.requested.setdefault(owner.namespace, {}), impact.before, workload.pods)
        if not impact.effects:
            return
        self.changed[owner] = impact
        for autoscaler in self._autoscalers.get(owner, ()):
            for resource in sorted(autoscaler.resources & impact.without_request.keys()):
                container = impact.without_request[resource]
                self.lost_metrics.append(
                    capacity.LostMetric(
                        autoscaler=autoscaler, resource=resource, container=container
                    )
                )

    def count(self, owner: capacity.Owner, pods: int) -> None:
        """Count a workload that does not change."""
        self.pods[owner] = pods

    def is_untouched(self, namespace: str) -> bool:
        """Whether decisions in the namespace look at the same things in both worlds."""
        if namespace not in self._is_same:
            views = self._before(namespace), self._after(namespace)
            self._is_same[namespace] = not any(map(_is_in_scope, views)) or (
                views[0].namespace == views[1].namespace
                and _in_force(views[0]) == _in_force(views[1])
            )
        return self._is_same[namespace]

    def added(self) -> dict[str, capacity.Amounts]:
        """What the changed workloads request and limit more, or less, by namespace."""
        result: dict[str, capacity.Amounts] = {}
        for owner, impact in self.changed.items():
            capacity.add(result.setdefault(owner.namespace, {}), impact.added, self.pods[owner])
        return {name: amounts for name, amounts in sorted(result.items()) if any(amounts.values())}

    @property
    def is_breaking(self) -> bool:
        """Whether a pod would be refused, or lack what an injection should add."""
        effects = (effect for impact in self.changed.values() for effect in impact.effects)
        return bool(self.lost_metrics) or any(each.effect.is_breaking for each in effects)

    def _of_template(self, workload: Workload) -> TemplateImpact:
        key = workload.owner.namespace, _digest(workload)
        if key not in self._by_template:
            views = self._before(key[0]), self._after(key[0])
            self._by_template[key] = _impact(workload, *views)
        return self._by_template[key]


def world(
    injections: Iterable[model.Injection],
    namespace_of: Callable[[str], namespace_view.Namespace],
    *,
    accounts: Mapping[str, Collection[str]] | None = None,
    **fields: Any,
) -> World:
    """The world with these injections, each view made once.

    `accounts` has the names of ServiceAccounts by namespace; without it they are not checked. The
    other fields are those of every NamespaceView.
    """
    own: dict[str | None, list[model.Injection]] = {}
    for injection in injections:
        own.setdefault(injection.namespace, []).append(injection)
    cluster = namespace_view.Index(own.pop(None, ()))
    indexes = {name: namespace_view.Index(members) for name, members in own.items()}

    @functools.cache
    def view_of(name: str) -> namespace_view.NamespaceView:
        return namespace_view.NamespaceView(
            namespace=namespace_of(name),
            cluster=cluster,
            own=indexes.get(name, namespace_view.NO_INJECTIONS),
            service_accounts=None if accounts is None else accounts.get(name, ()),
            **fields,
        )

    return view_of


def key_of(injection: model.Injection) -> tuple[str | None, str]:
    """Namespace and name: unique in a cluster."""
    return injection.namespace, injection.name


def applied(
    current: Iterable[model.Injection], new: Iterable[model.Injection]
) -> list[model.Injection]:
    """The injections after `kubectl apply`: what does not change is the same object as before."""
    result = {key_of(injection): injection for injection in current}
    for injection in new:
        old = result.get(key_of(injection))
        if old is None or old.spec != injection.spec:
            result[key_of(injection)] = injection
    return list(result.values())


def pods_of(manifest: Mapping[str, Any]) -> int:
    """How many pods a workload is to have at a time."""
    kind, spec = str(manifest.get("kind")), lenient.child(manifest, "spec")
    number = spec.get("replicas", 1)
    if kind in ("Job", "CronJob"):
        job = lenient.child(lenient.child(spec, "jobTemplate"), "spec") or spec
        number = 0 if spec.get("suspend") is True else job.get("parallelism", 1)
    elif kind == "DaemonSet":
        number = lenient.child(manifest, "status").get("desiredNumberScheduled", 1)
    elif kind in ("Pod", "PodTemplate"):
        number = int(kind == "Pod")
    return number if lenient.is_integer(number, least=0, most=MOST_PODS) else 1


def _is_in_scope(view: namespace_view.NamespaceView) -> bool:
    name = view.namespace.name
    is_excluded = name in names.SYSTEM_NAMESPACES or name == view.release_namespace
    return view.namespace.is_enabled and not is_excluded


def _in_force(view: namespace_view.NamespaceView) -> list[model.Injection]:
    """The injections that may work in the namespace; an injection equals only itself."""
    return [*view.cluster.members(view.in_cluster), *view.own.injections]


def _digest(workload: Workload) -> bytes:
    """The same for workloads that make the same pods."""
    manifest = workload.manifest
    kind, spec = workloads.kind_of(manifest), lenient.child(manifest, "spec")
    metadata: Any = {}
    if kind in NAMED_BY_JOB or spec.get("volumeClaimTemplates"):
        metadata = {key: lenient.child(manifest, "metadata").get(key) for key in ("name", "uid")}
    fields = ("volumeClaimTemplates", "completionMode", "manualSelector", "jobTemplate")
    others = [spec.get(field) for field in fields]
    key = [kind, metadata, workload.template, others, workload.account]
    text = json.dumps(key, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=16).digest()


def _impact(
    workload: Workload, before: namespace_view.NamespaceView, after: namespace_view.NamespaceView
) -> TemplateImpact:
    """The two decisions about the workload's template, compared."""
    decided = [
        templates.decide_template(
            workload.manifest, workload.path, workload.template, view=view, account=workload.account
        )
        for view in (before, after)
    ]
    pods = [each.decision.pod for each in decided]
    effects = _effects(decided[0].decision, decided[1].decision)
    amounts = [capacity.amounts(pod) for pod in pods]
    added = {name: amounts[1][name] - amounts[0][name] for name in amounts[0]}
    keys = {**decided[0].undecided, **decided[1].undecided}
    unlike = decided[0].undecided.keys() ^ decided[1].undecided.keys()
    return TemplateImpact(
        effects=effects,
        before=amounts[0],
        added={} if effects and effects[0].effect is Effect.REFUSED else added,
        without_request=capacity.newly_without_request(*pods) if effects else {},
        undecided={injection.reference: keys[injection] for injection in unlike},
    )


def _effects(before: decision.Decision, after: decision.Decision) -> tuple[InjectionEffect, ...]:
    """What becomes of each injection; what breaks comes first."""
    was_refused, is_refused = (each.verdict is PodVerdict.REFUSED for each in (before, after))
    if is_refused:
        refusing = (line for line in after.evaluated if line.verdict is Verdict.REFUSED)
        lines = () if was_refused else (next(refusing),)
        return tuple(
            InjectionEffect(Effect.REFUSED, line.injection.reference, line) for line in lines
        )
    old, new = _present(before), _present(after)
    skipped = {line.injection.reference: line for line in after.skipped}
    unfit = {line.injection.reference for line in before.skipped} - old.keys()
    effects = {reference: Effect.LOSES for reference in old if reference not in new}
    effects |= {reference: Effect.GAINS for reference in new if reference not in old}
    both = [reference for reference in new if reference in old]
    changed = [reference for reference in both if old[reference] != new[reference]]
    if not effects and not changed and _bare(before.pod) != _bare(after.pod):
        changed = both
    effects |= dict.fromkeys(changed, Effect.CHANGES)
    for reference in skipped:
        if reference in old and reference not in new:
            effects[reference] = Effect.NO_LONGER_FITS
        elif reference not in new and reference not in unfit:
            effects[reference] = Effect.DOES_NOT_FIT
    order = list(Effect)
    pairs = sorted((order.index(effect), reference) for reference, effect in effects.items())
    return tuple(
        InjectionEffect(order[position], reference, skipped.get(reference))
        for position, reference in pairs
    )


def _present(decided: decision.Decision) -> dict[str, Any]:
    """The injections whose parts are in the pod, with what was recorded of each."""
    result: dict[str, Any] = {
        line.injection.reference: None
        for line in decided.evaluated
        if line.reason.level is Level.DONE
    }
    recorded = status_annotation.read(pod_fields.metadata_map(decided.pod, "annotations"))
    for entry in recorded.entries:
        prefix = names.CLUSTER_PREFIX if entry.kind == names.CLUSTER_KIND else ""
        # The generation also changes with fields that shape no pod.
        result[prefix + entry.name] = dataclasses.replace(entry, generation=None).as_json()
    return result


def _bare(pod: Mapping[str, Any]) -> Json:
    """The pod without what says what was added and skipped."""
    metadata = dict(pod.get("metadata") or {})
    for field, keys in OUR_MARKS.items():
        members = pod_fields.metadata_map(pod, field)
        metadata[field] = {key: value for key, value in members.items() if key not in keys}
    return {**pod, "metadata": metadata}
