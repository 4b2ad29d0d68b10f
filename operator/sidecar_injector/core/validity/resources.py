"""What the API server requires of the resources of a container and of the pod itself.

https://github.com/kubernetes/kubernetes/blob/master/pkg/apis/core/validation/validation.go
(ValidateContainerResourceRequirements, validateResourceRequirements,
ValidateContainerResourceName, validateResourceName, ValidateResourceQuantityValue,
ValidateNonnegativeQuantity, validateResourceQuantityHugePageValue, validateResourceClaimNames,
validatePodResources, validatePodResourceConsistency)
"""

from __future__ import annotations

import decimal
import functools
import operator
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from sidecar_injector import names
from sidecar_injector.core.pods import formats, lenient, quantity, selectors
from sidecar_injector.core.pods.lenient import Json

Amounts = dict[str, decimal.Decimal]

_HUGE = "hugepages-"
_CPU_AND_MEMORY = frozenset({"cpu", "memory"})
_STANDARD = _CPU_AND_MEMORY | {"ephemeral-storage"}
_NATIVE_DOMAIN = "kubernetes.io/"
_NOTHING = decimal.Decimal()
_LONGEST_CACHED = 16


def problems(resources: Json, *, claims: Collection[str]) -> Iterator[str]:
    """Problems of one container; `claims` are the names in the pod's `resourceClaims`."""
    limits = _amounts(resources, "limits")
    # The API server sets this default before it compares.
    requests = limits | _amounts(resources, "requests")
    yield from _unreadable(resources)
    for part in (limits, requests):
        for name, amount in part.items():
            if name not in _STANDARD or amount < 0:
                yield from _amount(name, amount)
    yield from _against_limits(requests, limits)
    if any(name.startswith(_HUGE) for name in requests) and not requests.keys() & _CPU_AND_MEMORY:
        yield "resources: hugepages need cpu or memory beside them"
    if resources.get("claims"):
        yield from _claims(resources, claims)


def pod_problems(spec: Mapping[str, Any]) -> Iterator[str]:
    """Problems of the pod's own `resources`, compared with those of its containers."""
    resources = lenient.child(spec, "resources")
    if not resources:
        return
    limits, requests = _amounts(resources, "limits"), _amounts(resources, "requests")
    for name, total in aggregate(spec, "requests").items():
        if name in requests and total > requests[name]:
            yield f"the pod's resources.requests[{name}] is less than its containers' sum"
        # If the pod has no request of its own, the sum of its containers is its request.
        elif name in limits and name not in requests and total > limits[name]:
            yield f"the pod's resources.limits[{name}] is less than its containers' requests"
    for name, total in aggregate(spec, "limits").items():
        if name.startswith(_HUGE) and name in limits and total > limits[name]:
            yield f"the pod's resources.limits[{name}] is less than its containers' sum"
    for container in lenient.objects(spec, "containers"):
        for name, amount in _amounts(lenient.child(container, "resources"), "limits").items():
            if name in limits and amount > limits[name]:
                yield (
                    f"container {container.get('name')!r}: resources.limits[{name}] is more than"
                    " the pod's"
                )


@functools.lru_cache(maxsize=1024)
def _parse(text: str) -> decimal.Decimal | None:
    """A quantity of few characters; cached, because most pods use the same few quantities."""
    return quantity.stored(text, digits=quantity.MILLI)


def _amount_of(value: object) -> decimal.Decimal | None:
    is_short = isinstance(value, str) and len(value) <= _LONGEST_CACHED
    return _parse(str(value)) if is_short else quantity.stored(value, digits=quantity.MILLI)


def _amounts(resources: Json, field: str) -> Amounts:
    parsed = ((name, _amount_of(value)) for name, value in lenient.child(resources, field).items())
    return {name: amount for name, amount in parsed if amount is not None}


def _unreadable(resources: Json) -> Iterator[str]:
    for field in ("limits", "requests"):
        for name, value in lenient.child(resources, field).items():
            if _amount_of(value) is None:
                yield (
                    f"resources.{field}[{name}] {formats.quoted(value)} must be a quantity such as"
                    " 500m or 1Gi"
                )


def _amount(name: str, amount: decimal.Decimal) -> Iterator[str]:
    if not _is_resource(name):
        yield (
            f"resources: {formats.quoted(name)} must be cpu, memory, ephemeral-storage, hugepages-…"
            " or DOMAIN/NAME"
        )
        return
    if amount < 0:
        yield f"resources: {name} {amount} must not be negative"
    elif _is_extended(name) and amount % 1:
        yield f"resources: {name} {amount} must be a whole number"
    elif name.startswith(_HUGE):
        size = quantity.parse(name.removeprefix(_HUGE))
        if not size or size < 0 or size % 1 or amount % size:
            yield f"resources: {name} {amount} must be a multiple of the page's size"


def _is_resource(name: str) -> bool:
    if not selectors.is_qualified_name(name):
        return False
    if "/" not in name:
        return name in _STANDARD or name.startswith(_HUGE)
    if _NATIVE_DOMAIN in name:
        return True
    # Quotas prepend this word. The name must not begin with it, nor become too long by it.
    quota = "requests."
    return not name.startswith(quota) and selectors.is_qualified_name(quota + name)


def _is_extended(name: str) -> bool:
    return "/" in name and _NATIVE_DOMAIN not in name


def _against_limits(requests: Amounts, limits: Amounts) -> Iterator[str]:
    for name, amount in requests.items():
        limit = limits.get(name)
        if _is_extended(name) or name.startswith(_HUGE):
            if amount != limit:
                yield f"resources.requests[{name}] must equal resources.limits[{name}]"
        elif limit is not None and amount > limit:
            yield f"resources.requests[{name}] must not be more than resources.limits[{name}]"


def _claims(resources: Json, pod_claims: Collection[str]) -> Iterator[str]:
    requests_of: dict[str, set[str]] = {}
    for claim in lenient.objects(resources, "claims"):
        name, request = str(claim.get("name") or ""), str(claim.get("request") or "")
        if name not in pod_claims:
            yield f"resources.claims {formats.quoted(name)} must be in the pod's resourceClaims"
        if request and not formats.DNS_LABEL.accepts(request):
            yield f"resources.claims[{name}].request {formats.DNS_LABEL.refusal(request)}"
        # A claim as a whole overlaps with each of its requests.
        same = requests_of.setdefault(name, set())
        if request in same or "" in same or (same and not request):
            yield f"resources.claims {formats.quoted(name)} must be there only once"
        same.add(request)


def aggregate(spec: Mapping[str, Any], field: str) -> Amounts:
    """The largest amounts that the containers need together at any moment.

    https://github.com/kubernetes/enhancements/tree/master/keps/sig-node/753-sidecar-containers
    """
    total: Amounts = {}
    for container in lenient.objects(spec, "containers"):
        total = _joined(total, _needs(container, field), operator.add)
    sidecars: Amounts = {}
    peak: Amounts = {}
    for container in lenient.objects(spec, "initContainers"):
        needs = _needs(container, field)
        starting = _joined(sidecars, needs, operator.add)
        if container.get("restartPolicy") == names.CONTAINER_RESTART_ALWAYS:
            total = _joined(total, needs, operator.add)
            sidecars = starting
        peak = _joined(peak, starting, max)
    return _joined(peak, total, max)


def _needs(container: Json, field: str) -> Amounts:
    resources = lenient.child(container, "resources")
    limits = _amounts(resources, "limits")
    return limits if field == "limits" else limits | _amounts(resources, "requests")


def _joined(
    amounts: Amounts,
    other: Amounts,
    combine: Callable[[decimal.Decimal, decimal.Decimal], decimal.Decimal],
) -> Amounts:
    return {
        name: combine(amounts.get(name, _NOTHING), other.get(name, _NOTHING))
        for name in amounts.keys() | other.keys()
    }
