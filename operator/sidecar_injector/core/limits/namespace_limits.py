"""The LimitRanges and ResourceQuotas of one namespace, and what they refuse because of an addition.

| limit | value | reason |
|---|---:|---|
| LimitRanges of a namespace, and ResourceQuotas | 8 each | each is compared with each container |
| values in one object, for each 64 characters | 128 | the same, and memory |

| values in one object, those of other things too | 4,096 | they are looked through at once |

An object beyond that is not looked at: where it forbids a sidecar, the API server refuses the pod.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from sidecar_injector.core.limits import limit_range, resource_quota
from sidecar_injector.core.limits.charged_pod import ChargedPod
from sidecar_injector.core.pods import lenient
from sidecar_injector.core.reasons import Conflict

Json = Mapping[str, Any]

LIMIT_RANGE, RESOURCE_QUOTA = "LimitRange", "ResourceQuota"
KINDS: Final = (LIMIT_RANGE, RESOURCE_QUOTA)
MOST_OBJECTS: Final = 8
MOST_VALUES: Final = 128
MOST_READ: Final = 4096
_CHARACTERS: Final = 64
MOST_NAMED: Final = 5
"""Names in a sentence."""
_CHECKS_OF_A_PART: Final = 4
"""So many amounts are compared in the time in which one part of a pod is looked at."""


@dataclasses.dataclass(frozen=True, slots=True)
class NamespaceLimits:
    """What the API server checks of a pod after all webhooks."""

    limit_ranges: limit_range.LimitRanges
    quotas: tuple[resource_quota.ResourceQuota, ...]

    @property
    def parts(self) -> tuple[int, int]:
        """The work for each container and for the pod as a whole, in parts of a pod."""
        ranges = self.limit_ranges
        of_container = len(ranges.default_limits | ranges.default_requests)
        of_container += len(ranges.of_containers) + sum(len(each.needed) for each in self.quotas)
        of_pod = len(ranges.of_pods) + sum(len(quota.hard) for quota in self.quotas)
        return 1 + of_container // _CHECKS_OF_A_PART, of_pod // _CHECKS_OF_A_PART

    def unused(self) -> NamespaceLimits:
        """The same, as if no pod used anything of the quotas."""
        quotas = tuple(dataclasses.replace(quota, used={}) for quota in self.quotas)
        return dataclasses.replace(self, quotas=quotas)

    def conflict(self, *, before: Json, after: Json) -> Conflict | None:
        """Why the API server would refuse `after`, but not for the same reason `before`."""
        return next(self._conflicts(*map(self.limit_ranges.charged, (before, after))), None)

    def _conflicts(self, before: ChargedPod, after: ChargedPod) -> Iterator[Conflict]:
        yield from self.limit_ranges.conflicts(before, after)
        for quota in self.quotas:
            yield from quota.conflicts(before, after)


NONE: Final = NamespaceLimits(limit_range.LimitRanges(), ())


def of_objects(resources: Iterable[Json]) -> NamespaceLimits | None:
    """The limits of the objects of one namespace, whole or what was kept of them; None without any.

    Of two of one kind and name the first one counts.
    """
    by_kind: dict[str, dict[str, Json]] = {kind: {} for kind in KINDS}
    for resource in resources:
        if parts := kept(resource):
            by_kind[parts["kind"]].setdefault(parts["metadata"]["name"], parts)
    of_ranges, of_quotas = (
        [objects[name] for name in sorted(objects)[:MOST_OBJECTS]] for objects in by_kind.values()
    )
    if not of_ranges and not of_quotas:
        return None
    return NamespaceLimits(
        limit_range.compiled(of_ranges), tuple(map(resource_quota.compiled, of_quotas))
    )


def of_file(resource: Json) -> dict[str, Any]:
    """An object of a file as a cluster has it; what no status says is not used."""
    status = lenient.child(resource, "status")
    hard = lenient.child(status, "hard") or lenient.child(lenient.child(resource, "spec"), "hard")
    return {**resource, "status": {**status, "hard": hard}}


_KEEP: Final[Mapping[str, Callable[[Json], dict[str, Any]]]] = {
    LIMIT_RANGE: limit_range.kept,
    RESOURCE_QUOTA: resource_quota.kept,
}
_UNKNOWN: Final[Mapping[str, Callable[[Json], Iterator[str]]]] = {
    LIMIT_RANGE: limit_range.unknown,
    RESOURCE_QUOTA: resource_quota.unknown,
}


def kept(resource: Json) -> dict[str, Any]:
    """What is read of an object of one of the two kinds; empty if it does not matter."""
    kind = resource["kind"]
    parts = {} if _is_large(resource) else _KEEP[kind](resource)
    if not parts or _values(parts) > MOST_VALUES:
        return {}
    name = lenient.text(lenient.child(resource, "metadata"), "name")
    return {"kind": kind, "metadata": {"name": name}, **parts}


def remark(resource: Json) -> str | None:
    """What is not looked at of an object, although it may be meant to forbid something."""
    kind = resource["kind"]
    if _is_large(resource) or _values(_KEEP[kind](resource)) > MOST_VALUES:
        return f"is not checked: it has more than {MOST_VALUES} values"
    if kind == RESOURCE_QUOTA and (scope := next(resource_quota.unknown_scopes(resource), None)):
        return f"is not checked: its scope {scope!r} is not known"
    if words := sorted(set(_UNKNOWN[kind](resource))):
        more = f" and {len(words) - MOST_NAMED} more" if len(words) > MOST_NAMED else ""
        return f"is checked without what is not known: {', '.join(words[:MOST_NAMED])}{more}"
    return None


def _is_large(resource: Json) -> bool:
    return _values([resource.get("spec"), resource.get("status")]) > MOST_READ


def _values(value: Any) -> int:
    if isinstance(value, Mapping):
        return sum(map(_values, value.values()))
    if isinstance(value, list):
        return sum(map(_values, value))
    # The values of a scope may be of any length.
    return 1 + len(value) // _CHARACTERS if isinstance(value, str) else 1
