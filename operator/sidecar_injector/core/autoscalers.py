"""HorizontalPodAutoscalers that compare what pods use with what they request.

Such a metric is lost as soon as one container that goes on running requests nothing, unless the pod
as a whole does.
https://github.com/kubernetes/kubernetes/blob/master/pkg/controller/podautoscaler/replica_calculator.go
(calculatePodRequests)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Final

from sidecar_injector.core.limits.charged_pod import ChargedPod
from sidecar_injector.core.pods import amounts, kinds, lenient, workloads
from sidecar_injector.core.pods.owner import Owner

KIND: Final = "HorizontalPodAutoscaler"
UTILIZATION: Final = "Utilization"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Autoscaler:
    """An autoscaler that needs requests of each container of its pods."""

    name: str
    target: Owner
    resources: frozenset[str]
    """The resources of which it needs them."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LostMetric:
    """A resource whose use an autoscaler can no longer compute."""

    autoscaler: Autoscaler
    resource: str
    container: str
    """The container without a request."""


def autoscaler_of(manifest: Mapping[str, Any], namespace: str) -> Autoscaler | None:
    """The autoscaler of a manifest; None if it needs no requests of all containers.

    https://kubernetes.io/docs/concepts/workloads/autoscaling/horizontal-pod-autoscale/
    """
    spec = lenient.child(manifest, "spec")
    wanted = {
        lenient.text(resource, "name")
        for metric in lenient.objects(spec, "metrics")
        if metric.get("type") == "Resource"
        and lenient.child(resource := lenient.child(metric, "resource"), "target").get("type")
        == UTILIZATION
    }
    if not spec.get("metrics"):
        # The default of the API, also in the older version with a percentage of its own.
        wanted = {"cpu"}
    if not wanted:
        return None
    reference = lenient.child(spec, "scaleTargetRef")
    group, kind = workloads.kind_of(reference)
    custom_group = kinds.custom_group(group, kind)
    return Autoscaler(
        name=lenient.text(lenient.child(manifest, "metadata"), "name"),
        target=Owner(namespace, kind, lenient.text(reference, "name"), custom_group),
        resources=frozenset(wanted),
    )


def newly_without_request(before: ChargedPod, after: ChargedPod) -> dict[str, str]:
    """The resources that a container requests none of, and all did before, with its name."""
    present = _without_request(before)
    return {
        resource: container
        for resource, container in _without_request(after).items()
        if resource not in present
    }


def _without_request(pod: ChargedPod) -> dict[str, str]:
    """The first container without a request of each resource, of those that go on running."""
    result: dict[str, str] = {}
    for needs in pod.containers:
        if not needs.is_init or needs.is_sidecar:
            for resource in amounts.CPU_AND_MEMORY - needs.requests.keys() - pod.own[0].keys():
                result.setdefault(resource, needs.name)
    return result
