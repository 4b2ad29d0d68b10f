"""The LimitRanges and ResourceQuotas of one namespace, and what they refuse because of an addition.

| limit | value | reason |
|---|---:|---|
| LimitRanges of a namespace, and ResourceQuotas | 8 each | each is compared with each container |
| values in one object | 128 | the same, and memory |

An object beyond that is not looked at: where it forbids a sidecar, the API server refuses the pod.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from sidecar_injector.core.limits import limit_range, resource_quota
from sidecar_injector.core.limits.charged_pod import ChargedPod
from sidecar_injector.core.limits.violation import Violation
from sidecar_injector.core.pods import amounts, lenient, quantity
from sidecar_injector.core.reasons import Conflict

Json = Mapping[str, Any]

LIMIT_RANGE, RESOURCE_QUOTA = "LimitRange", "ResourceQuota"
KINDS: Final = (LIMIT_RANGE, RESOURCE_QUOTA)
MOST_OBJECTS: Final = 8
MOST_VALUES: Final = 128
_CHECKS_OF_A_PART: Final = 4
"""So many amounts are compared in the time in which one part of a pod is looked at."""


@dataclasses.dataclass(frozen=True, slots=True)
class NamespaceLimits:
    """What the API server checks of a pod after all webhooks."""

    limit_ranges: limit_range.LimitRanges
    quotas: tuple[resource_quota.ResourceQuota, ...]

    @property
    def parts(self) -> int:
        """The work for a container, in parts of a pod."""
        amounts_checked = len(self.limit_ranges.of_containers) + len(
            self.limit_ranges.default_limits | self.limit_ranges.default_requests
        )
        amounts_checked += sum(len(quota.needed) for quota in self.quotas)
        return 1 + amounts_checked // _CHECKS_OF_A_PART

    def unused(self) -> NamespaceLimits:
        """The same, as if no pod used anything of the quotas."""
        quotas = tuple(dataclasses.replace(quota, used={}) for quota in self.quotas)
        return dataclasses.replace(self, quotas=quotas)

    def conflict(self, *, before: Json, after: Json) -> Conflict | None:
        """Why the API server would refuse `after`, but not for the same reason `before`."""
        pod, violations = self._judged(after)
        if not violations:
            return None
        pod_before, present = self._judged(before)
        old = {(violation.reason, violation.source, violation.rule) for violation in present}
        for violation in violations:
            reason, source, rule, detail, resource = violation
            if (reason, source, rule) not in old:
                if resource:
                    detail += _of_usage(resource, before=pod_before, after=pod)
                return Conflict(reason, f"{source!r}: {detail}")
        return None

    def _judged(self, pod: Json) -> tuple[ChargedPod, list[Violation]]:
        charged, plain = self.limit_ranges.charged(pod)
        return charged, list(self._violations(charged, plain))

    def _violations(
        self, charged: ChargedPod, plain: tuple[amounts.Needs, ...]
    ) -> Iterator[Violation]:
        yield from self.limit_ranges.violations(charged, plain)
        for quota in self.quotas:
            yield from quota.violations(charged)


NONE: Final = NamespaceLimits(limit_range.LimitRanges(), ())


def _of_usage(resource: str, *, before: ChargedPod, after: ChargedPod) -> str:
    amount = after.usage[resource]
    added = amount - before.usage.get(resource, amounts.NOTHING)
    # A pod that comes into the scope of a quota may need no more than before.
    if added:
        return f", the pod needs {quantity.text(amount)}, {quantity.text(added)} of it added"
    return ", and the quota counts the pod only with the injection"


def compiled(by_kind: Mapping[str, Iterable[Json]]) -> NamespaceLimits | None:
    """The limits of what was kept of the objects of one namespace; None if there are none."""
    of_ranges, of_quotas = (_first(by_kind[kind]) for kind in KINDS)
    if not of_ranges and not of_quotas:
        return None
    return NamespaceLimits(
        limit_range.compiled(of_ranges), tuple(map(resource_quota.compiled, of_quotas))
    )


def of_file(resource: Json) -> dict[str, Any]:
    """An object of a file as a cluster has it."""
    if resource.get("kind") == RESOURCE_QUOTA:
        return resource_quota.of_file(resource)
    return dict(resource)


def of_objects(resources: Iterable[Json]) -> NamespaceLimits | None:
    """The limits of whole objects of one namespace; of two of one name the first one counts."""
    by_kind: dict[str, dict[str, Json]] = {kind: {} for kind in KINDS}
    for resource in resources:
        metadata, kind = lenient.child(resource, "metadata"), str(resource.get("kind"))
        if parts := kept(kind, resource):
            by_kind[kind].setdefault(str(metadata.get("name")), {"metadata": metadata, **parts})
    return compiled({kind: objects.values() for kind, objects in by_kind.items()})


def _first(objects: Iterable[Json]) -> list[Json]:
    return sorted(objects, key=lambda each: str(each["metadata"].get("name")))[:MOST_OBJECTS]


KEEP: Final[Mapping[str, Callable[[Json], dict[str, Any]]]] = {
    LIMIT_RANGE: limit_range.kept,
    RESOURCE_QUOTA: resource_quota.kept,
}


def kept(kind: str, resource: Json) -> dict[str, Any]:
    """What is read of an object of one of the two kinds; empty if it does not matter."""
    parts = KEEP[kind](resource)
    return parts if _values(parts) <= MOST_VALUES else {}


def remark(kind: str, resource: Json) -> str | None:
    """Why an object is not looked at, although it may forbid something; None if it is."""
    if _values(KEEP[kind](resource)) > MOST_VALUES:
        return f"is not checked: it has more than {MOST_VALUES} values"
    if kind == RESOURCE_QUOTA and (scopes := resource_quota.unknown_scopes(resource)):
        return f"is not checked: its scope {scopes[0]!r} is not known"
    return None


def _values(value: Any) -> int:
    if isinstance(value, Mapping):
        return sum(map(_values, value.values()))
    return sum(map(_values, value)) if isinstance(value, list) else 1
