"""The resources of containers as exact numbers, and what a pod needs of them in all.

https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/
"""

from __future__ import annotations

import decimal
import functools
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from sidecar_injector import names
from sidecar_injector.core.pods import fields, lenient, quantity

Amounts = dict[str, decimal.Decimal]

HUGE: Final = "hugepages-"
CPU_AND_MEMORY: Final = frozenset({"cpu", "memory"})
NOTHING: Final = decimal.Decimal()
_NATIVE_DOMAIN: Final = "kubernetes.io/"
_LONGEST_CACHED: Final = 16


class Needs(NamedTuple):
    """What a container needs: a request that is absent is the limit, as in the API server."""

    name: str
    requests: Amounts
    limits: Amounts
    is_init: bool = False
    is_sidecar: bool = False
    """An init container that goes on beside the main containers."""


@functools.lru_cache(maxsize=1024)
def _parse(text: str) -> decimal.Decimal | None:
    """A quantity of few characters; cached, because most pods use the same few quantities."""
    return quantity.stored(text, digits=quantity.MILLI)


def amount_of(value: object) -> decimal.Decimal | None:
    """The amount that the API server stores of a resource; None if it is not a quantity."""
    is_short = isinstance(value, str) and len(value) <= _LONGEST_CACHED
    return _parse(str(value)) if is_short else quantity.stored(value, digits=quantity.MILLI)


def amounts(parent: Any, field: str) -> Amounts:
    """The amounts of a member such as `limits`; what is not a quantity is left out."""
    parsed = ((name, amount_of(value)) for name, value in lenient.child(parent, field).items())
    return {name: amount for name, amount in parsed if amount is not None}


def is_extended(name: str) -> bool:
    """Whether a resource is not Kubernetes' own."""
    return "/" in name and _NATIVE_DOMAIN not in name


def of_resources(name: str, resources: Any, **place: bool) -> Needs:
    """What a container of this name with these resources needs."""
    limits = amounts(resources, "limits")
    requests = limits | amounts(resources, "requests")
    return Needs(name, requests, limits, **place)


def containers(spec: Mapping[str, Any]) -> Iterator[Needs]:
    """What each container of a pod needs, init containers first."""
    for field in fields.CONTAINER_LISTS:
        is_init = field == "initContainers"
        for container in lenient.objects(spec, field):
            always = container.get("restartPolicy") == names.CONTAINER_RESTART_ALWAYS
            yield of_resources(
                str(container.get("name")),
                container.get("resources"),
                is_init=is_init,
                is_sidecar=is_init and always,
            )


def total(all_needs: Iterable[Needs], field: str) -> Amounts:
    """The largest amounts that containers need together at any moment.

    https://github.com/kubernetes/enhancements/tree/master/keps/sig-node/753-sidecar-containers
    """
    together: Amounts = {}
    sidecars: Amounts = {}
    peak: Amounts = {}
    for needs in all_needs:
        own: Amounts = getattr(needs, field)
        if not needs.is_init:
            together = joined(together, own, operator.add)
            continue
        starting = joined(sidecars, own, operator.add)
        if needs.is_sidecar:
            together = joined(together, own, operator.add)
            sidecars = starting
        peak = joined(peak, starting, max)
    return joined(peak, together, max)


def joined(
    first: Amounts,
    second: Amounts,
    combine: Callable[[decimal.Decimal, decimal.Decimal], decimal.Decimal],
) -> Amounts:
    """The amounts of both; a resource that is in both is combined."""
    result = dict(first)
    for name, amount in second.items():
        result[name] = combine(result[name], amount) if name in result else amount
    return result


def contradictions(requests: Amounts, limits: Amounts) -> Iterator[str]:
    """Requests and limits of a container that do not go together, in sentences.

    https://github.com/kubernetes/kubernetes/blob/master/pkg/apis/core/validation/validation.go
    (validateResourceRequirements)
    """
    for name, amount in requests.items():
        limit = limits.get(name)
        if is_extended(name) or name.startswith(HUGE):
            if amount != limit:
                yield f"resources.requests[{name}] must equal resources.limits[{name}]"
        elif limit is not None and amount > limit:
            yield f"resources.requests[{name}] must not be more than resources.limits[{name}]"
    if not requests.keys() & CPU_AND_MEMORY and any(name.startswith(HUGE) for name in requests):
        yield "resources: hugepages need cpu or memory beside them"


def over_pod(requests: Amounts, limits: Amounts, all_needs: Sequence[Needs]) -> Iterator[str]:
    """What containers need beyond the resources of their pod as a whole, in sentences.

    https://github.com/kubernetes/kubernetes/blob/master/pkg/apis/core/validation/validation.go
    (validatePodResourceConsistency)
    """
    for name, amount in total(all_needs, "requests").items():
        if name in requests and amount > requests[name]:
            yield f"the pod's resources.requests[{name}] is less than its containers' sum"
        # If the pod has no request of its own, the sum of its containers is its request.
        elif name in limits and name not in requests and amount > limits[name]:
            yield f"the pod's resources.limits[{name}] is less than its containers' requests"
    for name, amount in total(all_needs, "limits").items():
        if name.startswith(HUGE) and name in limits and amount > limits[name]:
            yield f"the pod's resources.limits[{name}] is less than its containers' sum"
    for needs in all_needs:
        for name, amount in () if needs.is_init else needs.limits.items():
            if name in limits and amount > limits[name]:
                yield f"container {needs.name!r}: resources.limits[{name}] is more than the pod's"
