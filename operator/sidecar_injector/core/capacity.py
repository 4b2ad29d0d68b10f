"""What pods ask of a namespace's quotas and of autoscalers.

Only amounts of cpu and memory are added up and compared.
"""

from __future__ import annotations

import dataclasses
import decimal
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from sidecar_injector import names
from sidecar_injector.core.pods import amounts as resource_amounts
from sidecar_injector.core.pods import lenient, quantity

Json = dict[str, Any]
Amounts = dict[str, decimal.Decimal]
"""Exact numbers by the names that quotas have, such as `requests.cpu`."""
NOTHING: Final = decimal.Decimal()
RESOURCES: Final = ("cpu", "memory")
QUOTA_NAMES: Final[Mapping[str, str]] = {"cpu": "requests.cpu", "memory": "requests.memory"}
"""What a quota may also call them."""
UTILIZATION: Final = "Utilization"
MIB: Final = 1024**2


class Owner(NamedTuple):
    """A workload, or a bare pod."""

    namespace: str
    kind: str
    name: str

    def __str__(self) -> str:
        return "/".join(self)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Autoscaler:
    """A HorizontalPodAutoscaler that compares what pods use with what they request."""

    name: str
    target: Owner
    resources: frozenset[str]
    """The resources that it needs requests of in every container."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LostMetric:
    """An autoscaler that can no longer compute a metric, and the container that is the cause."""

    autoscaler: Autoscaler
    resource: str
    container: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """A ResourceQuota without scopes."""

    namespace: str
    name: str
    hard: Mapping[str, Any]
    used: Mapping[str, Any] | None
    """None if it is not known; then it is what the workloads request."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Excess:
    """A resource of which a quota does not have enough."""

    quota: Quota
    resource: str
    hard: decimal.Decimal
    used: decimal.Decimal
    added: decimal.Decimal

    @property
    def missing(self) -> decimal.Decimal:
        """By how much the quota would be exceeded."""
        return self.used + self.added - self.hard


def autoscaler_of(manifest: Mapping[str, Any]) -> Autoscaler | None:
    """The autoscaler of a manifest; None if it needs no requests of all containers.

    https://kubernetes.io/docs/concepts/workloads/autoscaling/horizontal-pod-autoscale/
    """
    metadata, spec = (lenient.child(manifest, key) for key in ("metadata", "spec"))
    target = lenient.child(spec, "scaleTargetRef")
    metrics = [
        lenient.child(metric, "resource")
        for metric in lenient.objects(spec, "metrics")
        if metric.get("type") == "Resource"
    ]
    wanted = {
        lenient.text(metric, "name")
        for metric in metrics
        if lenient.child(metric, "target").get("type") == UTILIZATION
    }
    if not spec.get("metrics"):
        # The default of the API, also in the older version with a percentage of its own.
        wanted = {"cpu"}
    if not wanted:
        return None
    namespace = lenient.text(metadata, "namespace")
    owner = Owner(namespace, lenient.text(target, "kind"), lenient.text(target, "name"))
    name = lenient.text(metadata, "name")
    return Autoscaler(name=name, target=owner, resources=frozenset(wanted))


def quota_of(manifest: Mapping[str, Any]) -> Quota | None:
    """The quota of a manifest; None if it has scopes, so that it is for some pods only."""
    metadata, spec = (lenient.child(manifest, key) for key in ("metadata", "spec"))
    if spec.get("scopes") or spec.get("scopeSelector"):
        return None
    status = lenient.child(manifest, "status")
    used = status.get("used")
    return Quota(
        namespace=lenient.text(metadata, "namespace"),
        name=lenient.text(metadata, "name"),
        hard=lenient.child(spec, "hard"),
        used=used if isinstance(used, dict) else None,
    )


def excesses(
    quota: Quota, *, requested: Mapping[str, decimal.Decimal], added: Mapping[str, decimal.Decimal]
) -> Iterator[Excess]:
    """The resources of which the quota does not have enough for what is added.

    `requested` counts where it is not known what is used.
    """
    for resource, value in quota.hard.items():
        name = QUOTA_NAMES.get(resource, resource)
        hard, more = quantity.parse(value), added.get(name, NOTHING)
        used = requested.get(name, NOTHING)
        if quota.used is not None:
            used = quantity.parse(quota.used.get(resource, 0)) or NOTHING
        if hard is not None and more > 0 and used + more > hard:
            yield Excess(quota=quota, resource=name, hard=hard, used=used, added=more)


def amounts(pod: Mapping[str, Any]) -> Amounts:
    """What the pod requests, and its limits, as quotas count them."""
    spec = lenient.child(pod, "spec")
    result = {}
    for field in ("requests", "limits"):
        # Of the containers' sum and the pod's own resources, the latter count.
        own = lenient.child(lenient.child(spec, "resources"), field)
        sums = resource_amounts.total(resource_amounts.containers(spec), field)
        for name in RESOURCES:
            amount = quantity.parse(own.get(name))
            result[f"{field}.{name}"] = sums.get(name, NOTHING) if amount is None else amount
    return result


def newly_without_request(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, str]:
    """The resources that a container requests none of, and all did before, with its name."""
    missing = [_without_request(pod) for pod in (before, after)]
    return {name: container for name, container in missing[1].items() if name not in missing[0]}


def _without_request(pod: Mapping[str, Any]) -> dict[str, str]:
    """The first container without a request of cpu, and of memory, of those that go on running.

    An autoscaler needs all of them, unless the pod has requests of its own:
    https://github.com/kubernetes/kubernetes/blob/master/pkg/controller/podautoscaler/replica_calculator.go
    """
    spec = lenient.child(pod, "spec")
    own = lenient.child(lenient.child(spec, "resources"), "requests")
    running = [
        *lenient.objects(spec, "containers"),
        *(
            container
            for container in lenient.objects(spec, "initContainers")
            if container.get("restartPolicy") == names.CONTAINER_RESTART_ALWAYS
        ),
    ]
    result: dict[str, str] = {}
    for container in running:
        wanted = lenient.child(container, "resources")
        # The API server makes a request of a limit.
        has = lenient.child(wanted, "requests").keys() | lenient.child(wanted, "limits").keys()
        for name in set(RESOURCES) - has - own.keys():
            result.setdefault(name, str(container.get("name")))
    return result


def add(total: Amounts, more: Amounts, times: int) -> None:
    """Add so many times as much to the total."""
    for name, amount in more.items():
        total[name] = total.get(name, NOTHING) + amount * times


def text(resource: str, amount: decimal.Decimal) -> str:
    """An amount as people write it: 200m, 2, 512Mi."""
    if not resource.endswith("memory"):
        milli = amount * 1000
        return f"{milli.normalize():f}m" if milli % 1000 else f"{amount.normalize():f}"
    if amount % MIB:
        return f"{amount.normalize():f}"
    return f"{(amount / MIB).normalize():f}Mi"
