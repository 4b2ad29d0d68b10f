"""What a change does to workloads: their templates, decided in two worlds.

A world is what decisions look at in each namespace. The one is the cluster as it is, the other one
as it would be. Pods that run are not touched by either: what is found here happens when they are
created again.
"""

from __future__ import annotations

import dataclasses
import decimal
import enum
import functools
import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from sidecar_injector import names
from sidecar_injector.core import autoscalers as scaling
from sidecar_injector.core import decision, templates
from sidecar_injector.core.injections import model, namespace_view
from sidecar_injector.core.limits import namespace_limits
from sidecar_injector.core.merging import status_annotation
from sidecar_injector.core.pods import amounts, lenient, workloads
from sidecar_injector.core.pods import fields as pod_fields
from sidecar_injector.core.pods.owner import Owner
from sidecar_injector.core.reasons import Level, PodVerdict, Verdict

Json = dict[str, Any]
World = Callable[[str], namespace_view.NamespaceView]
"""The view of a namespace, by name."""
MOST_PODS: Final = 2**31 - 1
NAMED_BY_JOB: Final = frozenset({("batch", "Job")})
"""The kinds whose pods have the workload's name and uid in labels."""
MULTIPLYING: Final = ("replicas", "parallelism", "size")
"""The fields that say how many pods there are, in the objects around a pod template."""

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
    DRY_RUN = "dry run"

    @property
    def is_breaking(self) -> bool:
        """Whether pods lack what an author wants."""
        return self in (Effect.REFUSED, Effect.NO_LONGER_FITS, Effect.DOES_NOT_FIT)


class Target(NamedTuple):
    """A pod template of a workload, or a bare pod."""

    owner: Owner
    template: str = ""
    """Where the template is in an object that has several."""

    def __str__(self) -> str:
        return f"{self.owner}/{self.template}" if self.template else str(self.owner)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """A workload, or a bare pod, with the pod template at a path of its manifest."""

    target: Target
    manifest: Mapping[str, Any]
    path: workloads.Path
    template: Json
    pods: int
    """How many pods it is to have."""
    account: Json | None = None
    """The ServiceAccount of its pods, if it is known."""


@dataclasses.dataclass(frozen=True, slots=True)
class InjectionEffect:
    """What becomes of one injection, and the line of the decision that says why."""

    effect: Effect
    reference: str
    line: decision.Line | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TemplateImpact:
    """What changes for each new pod of a template."""

    effects: tuple[InjectionEffect, ...]
    added: amounts.Amounts
    """By the names that a ResourceQuota has for them, such as `requests.cpu`."""
    counted: tuple[tuple[amounts.Amounts, amounts.Amounts], ...]
    """What each ResourceQuota of the namespace counts of a pod now, and what then."""
    without_request: Mapping[str, str]
    """The resources for which a container has no request now, and every one had: its name."""
    undecided: Mapping[str, str]
    """The injections that depend on a label or annotation whose value is unknown, with its key."""


class Excess(NamedTuple):
    """A resource of which a ResourceQuota does not have enough."""

    namespace: str
    quota: str
    resource: str
    hard: decimal.Decimal
    used: decimal.Decimal
    added: decimal.Decimal

    @property
    def missing(self) -> decimal.Decimal:
        """By how much the quota would be exceeded."""
        return self.used + self.added - self.hard


class Impact:
    """Collects workloads one by one, and keeps little of those that do not change."""

    def __init__(
        self,
        before: World,
        after: World,
        *,
        limits: Mapping[str, namespace_limits.NamespaceLimits] | None = None,
        autoscalers: Iterable[scaling.Autoscaler] = (),
    ) -> None:
        self.pods: dict[Target, int] = {}
        """The number of pods of everything that was added."""
        self.changed: dict[Target, TemplateImpact] = {}
        self.lost_metrics: list[scaling.LostMetric] = []
        self.undecided: dict[str, str] = {}
        self._before, self._after = before, after
        self._limits = limits or {}
        self._is_same: dict[str, bool] = {}
        self._by_template: dict[tuple[str, bytes], TemplateImpact] = {}
        self._counted: dict[tuple[str, int], tuple[amounts.Amounts, amounts.Amounts]] = {}
        """What the quotas count of all workloads now, and what then, by namespace and position."""
        self._autoscalers: dict[Owner, list[scaling.Autoscaler]] = {}
        for autoscaler in autoscalers:
            self._autoscalers.setdefault(autoscaler.target, []).append(autoscaler)

    def add(self, workload: Workload) -> None:
        """Decide about a workload; one that was added before does not count twice."""
        target, namespace = workload.target, workload.target.owner.namespace
        if target in self.pods:
            return
        self.pods[target] = workload.pods
        if self.is_untouched(namespace):
            return
        impact = self._of_template(workload)
        self.undecided.update(impact.undecided)
        for position, counted in enumerate(impact.counted):
            totals = self._counted.setdefault((namespace, position), ({}, {}))
            for total, of_pod in zip(totals, counted, strict=True):
                _add(total, of_pod, workload.pods)
        if not impact.effects:
            return
        self.changed[target] = impact
        for autoscaler in self._autoscalers.get(target.owner, ()):
            self.lost_metrics += (
                scaling.LostMetric(
                    autoscaler=autoscaler,
                    resource=resource,
                    container=impact.without_request[resource],
                )
                for resource in sorted(autoscaler.resources & impact.without_request.keys())
            )

    def count(self, target: Target, pods: int) -> None:
        """Count a workload that does not change."""
        self.pods[target] = pods

    def is_untouched(self, namespace: str) -> bool:
        """Whether decisions in the namespace look at the same things in both worlds."""
        if namespace not in self._is_same:
            views = self._before(namespace), self._after(namespace)
            self._is_same[namespace] = not any(map(_is_in_scope, views)) or (
                views[0].namespace == views[1].namespace
                and _in_force(views[0]) == _in_force(views[1])
            )
        return self._is_same[namespace]

    def has_injections(self, namespace: str) -> bool:
        """Whether there is an injection that may work in the namespace then."""
        return self._after(namespace).can_select

    def added(self) -> dict[str, amounts.Amounts]:
        """What the changed workloads request and limit more, or less, by namespace."""
        result: dict[str, amounts.Amounts] = {}
        for target, impact in self.changed.items():
            total = result.setdefault(target.owner.namespace, {})
            _add(total, impact.added, self.pods[target])
        return {name: total for name, total in sorted(result.items()) if any(total.values())}

    def excesses(self) -> Iterator[Excess]:
        """The quotas that do not have enough for what is added."""
        for (namespace, position), (now, then) in sorted(self._counted.items()):
            quota = self._limits[namespace].quotas[position]
            for resource, hard in quota.hard.items():
                before = now.get(resource, amounts.NOTHING)
                more = then.get(resource, amounts.NOTHING) - before
                # A quota of a file has no status; then what the workloads of the files need counts.
                used = quota.used.get(resource, before)
                if more > 0 and used + more > hard:
                    yield Excess(namespace, quota.name, resource, hard, used, more)

    @property
    def is_breaking(self) -> bool:
        """Whether a pod would be refused or lack something, or a quota or an autoscaler breaks."""
        effects = (each.effect for impact in self.changed.values() for each in impact.effects)
        is_breaking = any(effect.is_breaking for effect in effects)
        return is_breaking or bool(self.lost_metrics) or any(self.excesses())

    def _of_template(self, workload: Workload) -> TemplateImpact:
        namespace = workload.target.owner.namespace
        key = namespace, _digest(workload)
        if key not in self._by_template:
            views = self._before(namespace), self._after(namespace)
            limits = self._limits.get(namespace, namespace_limits.NONE)
            self._by_template[key] = _impact(workload, *views, limits)
        return self._by_template[key]


def world(
    injections: Iterable[model.Injection],
    namespace_of: Callable[[str], namespace_view.Namespace],
    *,
    accounts: Collection[tuple[str, str]] | None = None,
    limits: Mapping[str, namespace_limits.NamespaceLimits] | None = None,
    **fields: Any,
) -> World:
    """The world with these injections, each view made once.

    `accounts` has namespace and name of the ServiceAccounts; without it they are not checked. Of
    the ResourceQuotas of `limits` each view has what they demand of a single pod: how much of them
    is used is compared with all pods together. The other fields are those of every NamespaceView.
    """
    own: dict[str | None, list[model.Injection]] = {}
    for injection in injections:
        own.setdefault(injection.namespace, []).append(injection)
    cluster = namespace_view.Index(own.pop(None, ()))
    by_namespace: dict[str, set[str]] = {}
    for namespace, name in accounts or ():
        by_namespace.setdefault(namespace, set()).add(name)

    @functools.cache
    def view_of(name: str) -> namespace_view.NamespaceView:
        of_namespace = (limits or {}).get(name)
        return namespace_view.NamespaceView(
            namespace=namespace_of(name),
            cluster=cluster,
            own=namespace_view.Index(own.get(name, ())),
            service_accounts=None if accounts is None else by_namespace.get(name, ()),
            limits=of_namespace and of_namespace.unused(),
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


def pods_of(manifest: Mapping[str, Any], path: workloads.Path) -> int:
    """How many pods a workload is to have at a time of the template at the path."""
    kind = workloads.kind_of(manifest)
    if kind == ("apps", "DaemonSet"):
        return _number(lenient.child(manifest, "status"), "desiredNumberScheduled")
    if kind == ("", "PodTemplate"):
        return 0
    pods = 1
    for end in range(len(path)):
        around = workloads.at(manifest, path[:end])
        if not isinstance(around, dict):
            continue
        for field in MULTIPLYING:
            pods *= _number(around, field)
        pods *= around.get("suspend") is not True
    return min(pods, MOST_PODS)


def _number(parent: Json, field: str) -> int:
    number: Any = parent.get(field)
    return int(number) if lenient.is_integer(number, least=0, most=MOST_PODS) else 1


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
    workload: Workload,
    before: namespace_view.NamespaceView,
    after: namespace_view.NamespaceView,
    limits: namespace_limits.NamespaceLimits,
) -> TemplateImpact:
    """The two decisions about the workload's template, compared."""
    decided = [
        templates.decide_template(
            workload.manifest, workload.path, workload.template, view=view, account=workload.account
        )
        for view in (before, after)
    ]
    effects = _effects(decided[0].decision, decided[1].decision)
    is_refused = bool(effects) and effects[0].effect is Effect.REFUSED
    old, new = (limits.limit_ranges.charged(each.decision.pod) for each in decided)
    # A pod that is refused needs nothing more.
    new = old if is_refused else new
    keys = {**decided[0].undecided, **decided[1].undecided}
    unlike = decided[0].undecided.keys() ^ decided[1].undecided.keys()
    return TemplateImpact(
        effects=effects,
        added={
            name: new.usage.get(name, amounts.NOTHING) - old.usage.get(name, amounts.NOTHING)
            for name in sorted(new.usage.keys() | old.usage.keys())
            if "." in name
        },
        counted=tuple((quota.counted(old), quota.counted(new)) for quota in limits.quotas),
        without_request=scaling.newly_without_request(old, new) if effects else {},
        undecided={injection.reference: keys[injection] for injection in unlike},
    )


def _add(total: amounts.Amounts, more: amounts.Amounts, times: int) -> None:
    for name, amount in more.items():
        total[name] = total.get(name, amounts.NOTHING) + amount * times


def _effects(before: decision.Decision, after: decision.Decision) -> tuple[InjectionEffect, ...]:
    """What becomes of each injection; what breaks comes first."""
    was_refused, is_refused = (each.verdict is PodVerdict.REFUSED for each in (before, after))
    if is_refused:
        refusing = (line for line in after.evaluated if line.verdict is Verdict.REFUSED)
        lines = () if was_refused else (next(refusing),)
        return tuple(
            InjectionEffect(Effect.REFUSED, line.injection.reference, line) for line in lines
        )
    # A pod that was refused had nothing.
    old, new = {} if was_refused else _present(before), _present(after)
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
    dry_runs = _dry_runs(after)
    old_dry_runs = _dry_runs(before)
    for reference, line in dry_runs.items():
        if reference not in old_dry_runs or old_dry_runs[reference].message != line.message:
            effects.setdefault(reference, Effect.DRY_RUN)
    reasons = dry_runs | skipped
    order = list(Effect)
    pairs = sorted((order.index(effect), reference) for reference, effect in effects.items())
    return tuple(
        InjectionEffect(order[position], reference, reasons.get(reference))
        for position, reference in pairs
    )


def _dry_runs(decided: decision.Decision) -> dict[str, decision.Line]:
    lines = (line for line in decided.evaluated if line.verdict is Verdict.DRY_RUN)
    return {line.injection.reference: line for line in lines}


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
