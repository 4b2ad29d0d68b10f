"""The quality of service class of a pod, which decides who is evicted first.

https://kubernetes.io/docs/concepts/workloads/pods/pod-qos/
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sidecar_injector.core.pods import lenient, quantity

GUARANTEED, BURSTABLE, BEST_EFFORT = "Guaranteed", "Burstable", "BestEffort"
RESOURCES = ("cpu", "memory")
FIELDS = ("requests", "limits")


def service_class(spec: Mapping[str, Any]) -> str:
    """The class that the API server gives a pod with this spec."""
    # Resources of the pod as a whole count instead of those of its containers.
    resources = [lenient.child(spec, "resources")]
    if not _is_set(resources[0]):
        lists = ("initContainers", "containers")
        containers = [each for field in lists for each in lenient.objects(spec, field)]
        resources = [lenient.child(container, "resources") for container in containers]
    if all(is_guaranteed(each) for each in resources):
        return GUARANTEED
    return BURSTABLE if any(map(_is_set, resources)) else BEST_EFFORT


def is_guaranteed(resources: Any) -> bool:
    """Whether a container with these resources leaves its pod Guaranteed.

    A request that is absent is the limit.
    """
    for name in RESOURCES:
        limit = _amount(resources, "limits", name)
        request = lenient.child(resources, "requests").get(name)
        if not limit or (request is not None and quantity.parse(request) != limit):
            return False
    return True


def _is_set(resources: Any) -> bool:
    return any(_amount(resources, field, name) for field in FIELDS for name in RESOURCES)


def _amount(resources: Any, field: str, name: str) -> Any:
    return quantity.parse(lenient.child(resources, field).get(name))
