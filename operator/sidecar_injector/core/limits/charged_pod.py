"""A pod as LimitRanges and ResourceQuotas see it: with defaults, and in sum."""

from __future__ import annotations

import dataclasses
import functools
import operator
from collections.abc import Iterator, Mapping
from typing import Any, Final

from sidecar_injector.core.pods import amounts, lenient
from sidecar_injector.core.pods.amounts import Amounts, Needs

DEVICE_CLASS: Final = "deviceclass.resource.kubernetes.io/"
"""Kubernetes' own prefix of resources that are counted like extended ones.
https://github.com/kubernetes/kubernetes/blob/master/pkg/scheduler/util/utils.go"""
_REQUESTS, _LIMITS = "requests.", "limits."
_STANDARD: Final = ("cpu", "memory", "ephemeral-storage")
ONE: Final = amounts.NOTHING + 1


@dataclasses.dataclass(frozen=True)
class ChargedPod:
    """A pod's spec, and what its containers need with the defaults of LimitRanges."""

    spec: Mapping[str, Any]
    containers: tuple[Needs, ...]

    @functools.cached_property
    def own(self) -> tuple[Amounts, Amounts]:
        """Requests and limits of the pod as a whole, only of resources that it may have.

        https://github.com/kubernetes/component-helpers/blob/master/resource/helpers.go
        (IsSupportedPodLevelResource)
        """
        resources = lenient.child(self.spec, "resources")
        requests, limits = (
            {
                name: amount
                for name, amount in amounts.amounts(resources, field).items()
                if name in amounts.CPU_AND_MEMORY or name.startswith(amounts.HUGE)
            }
            for field in ("requests", "limits")
        )
        # https://github.com/kubernetes/kubernetes/blob/master/pkg/apis/core/v1/defaults.go
        # (defaultPodRequests): the sum of the containers comes first, then the limit.
        for name, limit in limits.items():
            if name not in requests and name not in self._sums[0]:
                requests[name] = limit
        return requests, limits

    @functools.cached_property
    def _sums(self) -> tuple[Amounts, Amounts]:
        """Requests and limits of the containers together."""
        requests, limits = (
            amounts.total(self.containers, field) for field in ("requests", "limits")
        )
        return requests, limits

    @property
    def has_own_resources(self) -> bool:
        """Whether resources of the pod as a whole are set."""
        return any(self.own)

    @functools.cached_property
    def limited(self) -> tuple[Amounts, Amounts]:
        """Requests and limits to which LimitRanges of the type Pod apply.

        https://github.com/kubernetes/kubernetes/blob/master/plugin/pkg/admission/limitranger/admission.go
        (podRequests, podLimits): there is no overhead in them.
        """
        requests, limits = (
            {**total, **{name: own[name] for name in own.keys() & amounts.CPU_AND_MEMORY}}
            for total, own in zip(self._sums, self.own, strict=True)
        )
        return requests, limits

    @functools.cached_property
    def usage(self) -> Amounts:
        """What ResourceQuotas count of the pod, by the names that they have for it.

        https://github.com/kubernetes/kubernetes/blob/master/pkg/quota/v1/evaluator/core/pods.go
        (PodUsageFunc)
        """
        overhead = {
            name: amount
            for name, value in lenient.child(self.spec, "overhead").items()
            if (amount := amounts.amount_of(value)) is not None
        }
        requests = amounts.joined(self._sums[0] | self.own[0], overhead, operator.add)
        limits = self._sums[1] | self.own[1]
        shared = {name: amount for name, amount in overhead.items() if limits.get(name)}
        limits = amounts.joined(limits, shared, operator.add)
        return {"pods": ONE, "count/pods": ONE, **dict(_quota_names(requests, limits))}

    @functools.cached_property
    def is_best_effort(self) -> bool:
        """Whether it has neither CPU nor memory, of which one is enough for another class.

        https://github.com/kubernetes/kubernetes/blob/master/pkg/apis/core/v1/helper/qos/qos.go
        """
        parts = (
            [*self.own]
            if self.has_own_resources
            else [part for needs in self.containers for part in (needs.requests, needs.limits)]
        )
        return not any(part.get(name) for part in parts for name in amounts.CPU_AND_MEMORY)

    @functools.cached_property
    def has_affinity_elsewhere(self) -> bool:
        """Whether a term of its affinity is about other namespaces; it may have thousands."""
        terms = []
        for kind in ("podAffinity", "podAntiAffinity"):
            affinity = lenient.child(lenient.child(self.spec, "affinity"), kind)
            terms += lenient.objects(affinity, "requiredDuringSchedulingIgnoredDuringExecution")
            wishes = lenient.objects(affinity, "preferredDuringSchedulingIgnoredDuringExecution")
            terms += [lenient.child(each, "podAffinityTerm") for each in wishes]
        return any(
            term.get("namespaces") or term.get("namespaceSelector") is not None for term in terms
        )


def _quota_names(requests: Amounts, limits: Amounts) -> Iterator[tuple[str, Any]]:
    """The amounts by the names that a ResourceQuota has for them (podComputeUsageHelper)."""
    for name, amount in requests.items():
        if name in _STANDARD or name.startswith(amounts.HUGE):
            yield name, amount
            yield _REQUESTS + name, amount
        elif amounts.is_extended(name) or name.startswith(DEVICE_CLASS):
            yield _REQUESTS + name, amount
    yield from ((_LIMITS + name, limits[name]) for name in _STANDARD if name in limits)


def is_of_resources(name: str) -> bool:
    """Whether a ResourceQuota limits resources of containers under this name."""
    bare = name.removeprefix(_LIMITS if name.startswith(_LIMITS) else _REQUESTS)
    return name in dict(_quota_names({bare: ONE}, {bare: ONE}))
