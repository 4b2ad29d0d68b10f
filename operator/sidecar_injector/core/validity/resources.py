"""What the API server requires of the resources of a container and of the pod itself.

https://github.com/kubernetes/kubernetes/blob/master/pkg/apis/core/validation/validation.go
(ValidateContainerResourceRequirements, validateResourceRequirements,
ValidateContainerResourceName, validateResourceName, ValidateResourceQuantityValue,
ValidateNonnegativeQuantity, validateResourceQuantityHugePageValue, validateResourceClaimNames,
validatePodResources, validatePodResourceConsistency)
"""

from __future__ import annotations

import decimal
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from sidecar_injector.core.pods import amounts, formats, lenient, quantity, selectors
from sidecar_injector.core.pods.lenient import Json

_STANDARD = amounts.CPU_AND_MEMORY | {"ephemeral-storage"}
_NATIVE_DOMAIN = "kubernetes.io/"


def problems(resources: Json, *, claims: Collection[str]) -> Iterator[str]:
    """Problems of one container; `claims` are the names in the pod's `resourceClaims`."""
    _, requests, limits, *_ = amounts.of_resources("", resources)
    yield from _unreadable(resources)
    for part in (limits, requests):
        for name, amount in part.items():
            if name not in _STANDARD or amount < 0:
                yield from _amount(name, amount)
    yield from amounts.contradictions(requests, limits)
    if resources.get("claims"):
        yield from _claims(resources, claims)


def pod_problems(spec: Mapping[str, Any]) -> Iterator[str]:
    """Problems of the pod's own `resources`, compared with those of its containers."""
    resources = lenient.child(spec, "resources")
    if not resources:
        return
    limits, requests = (amounts.amounts(resources, field) for field in ("limits", "requests"))
    yield from amounts.over_pod(requests, limits, list(amounts.containers(spec)))


def _unreadable(resources: Json) -> Iterator[str]:
    for field in ("limits", "requests"):
        for name, value in lenient.child(resources, field).items():
            if amounts.amount_of(value) is None:
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
    elif amounts.is_extended(name) and not quantity.is_multiple(amount):
        yield f"resources: {name} {amount} must be a whole number"
    elif name.startswith(amounts.HUGE):
        size = quantity.parse(name.removeprefix(amounts.HUGE))
        if (
            not size
            or size < 0
            or not (quantity.is_multiple(size) and quantity.is_multiple(amount, size))
        ):
            yield f"resources: {name} {amount} must be a multiple of the page's size"


def _is_resource(name: str) -> bool:
    if not selectors.is_qualified_name(name):
        return False
    if "/" not in name:
        return name in _STANDARD or name.startswith(amounts.HUGE)
    if _NATIVE_DOMAIN in name:
        return True
    # Quotas prepend this word. The name must not begin with it, nor become too long by it.
    quota = "requests."
    return not name.startswith(quota) and selectors.is_qualified_name(quota + name)


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
