"""ResourceQuotas: what is left of them, and for which pods they count.

The plugin ResourceQuota is the last one of all and looks at the pod as it will be stored.
https://github.com/kubernetes/apiserver/blob/master/pkg/admission/plugin/resourcequota/controller.go
(CheckRequest)
https://github.com/kubernetes/kubernetes/blob/master/pkg/quota/v1/evaluator/core/pods.go
"""

from __future__ import annotations

import dataclasses
import decimal
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from sidecar_injector.core.limits import charged_pod
from sidecar_injector.core.limits.charged_pod import ChargedPod
from sidecar_injector.core.pods import amounts, lenient, quantity
from sidecar_injector.core.pods.amounts import Amounts
from sidecar_injector.core.reasons import Conflict, Reason

Json = Mapping[str, Any]

_COUNTS: Final = ("pods", "count/pods")
REQUESTS, LIMITS = "requests", "limits"
_NEEDED: Final = {
    f"{prefix}{resource}": (field, resource)
    for resource in ("cpu", "memory")
    for prefix, field in (("", REQUESTS), ("requests.", REQUESTS), ("limits.", LIMITS))
}
"""Each container must set these where a quota has them; ephemeral storage and others need not be
set (validationSet)."""
_BY_CLASS: Final = ("BestEffort", "NotBestEffort")
"""The scopes that more containers can change."""
_PRIORITY: Final = "PriorityClass"
_OF_OTHERS: Final = re.compile(
    r"count/.*|.*\.(storageclass\.storage|deviceclass\.resource)\.k8s\.io/.*|requests\.storage"
    r"|configmaps|persistentvolumeclaims|replicationcontrollers|resourcequotas|secrets"
    r"|services(\.loadbalancers|\.nodeports)?"
)
"""The names for what is not of pods.
https://github.com/kubernetes/kubernetes/blob/master/pkg/apis/core/helper/helpers.go
(standardQuotaResources)"""
Selector = tuple[str, str, frozenset[str]]
"""Scope, operator and values."""


@dataclasses.dataclass(frozen=True, slots=True)
class ResourceQuota:
    """One ResourceQuota, compiled."""

    name: str
    hard: Amounts
    used: Amounts
    needed: tuple[tuple[str, str, str], ...]
    """What each container must set: its name in the quota, `requests` or `limits`, resource."""
    selectors: tuple[Selector, ...]

    def conflicts(self, before: ChargedPod, after: ChargedPod) -> Iterator[Conflict]:
        """What the API server refuses of `after` and not of `before`."""
        if not self._is_for(after):
            return
        is_for_before = self._is_for(before)
        if self.needed:
            present = set(self._missing(before)) if is_for_before else set()
            for name, container in self._missing(after):
                if (name, container) not in present:
                    yield self._conflict(f"{name}: container {container!r} must set it")
        usage_before = before.usage if is_for_before else {}
        for name, amount in after.usage.items():
            if self._exceeds(name, amount) and not self._exceeds(name, usage_before.get(name)):
                used, hard = self.used.get(name, amounts.NOTHING), self.hard[name]
                left = f"{name}: {quantity.text(used)} of {quantity.text(hard)} used"
                added = amount - before.usage.get(name, amounts.NOTHING)
                yield self._conflict(left + _of_usage(amount, added))

    def counted(self, pod: ChargedPod) -> Amounts:
        """What it counts of a pod; nothing of one that is not in its scopes."""
        if not self._is_for(pod):
            return {}
        return {name: pod.usage[name] for name in self.hard.keys() & pod.usage.keys()}

    def _is_for(self, pod: ChargedPod) -> bool:
        return all(_is_in_scope(pod, *selector) for selector in self.selectors)

    def _exceeds(self, name: str, amount: decimal.Decimal | None) -> bool:
        hard = self.hard.get(name)
        if not amount or hard is None:
            return False
        return self.used.get(name, amounts.NOTHING) + amount > hard

    def _missing(self, pod: ChargedPod) -> Iterator[tuple[str, str]]:
        """What containers do not set: its name in the quota, and the container."""
        for needs in () if pod.has_own_resources else pod.containers:
            for name, field, resource in self.needed:
                if resource not in (needs.limits if field == LIMITS else needs.requests):
                    yield name, needs.name

    def _conflict(self, text: str) -> Conflict:
        return Conflict(Reason.RESOURCE_QUOTA, f"{self.name!r}: {text}")


def _of_usage(amount: decimal.Decimal, added: decimal.Decimal) -> str:
    # A pod that comes into the scope of a quota may need no more than before.
    if added:
        return f", the pod needs {quantity.text(amount)}, {quantity.text(added)} of it added"
    return ", and the quota counts the pod only with the injection"


def compiled(quota: Json) -> ResourceQuota:
    """The quota of an object. The API server looks at its status alone."""
    status = lenient.child(quota, "status")
    hard = amounts.amounts(status, "hard")
    return ResourceQuota(
        name=str(quota["metadata"]["name"]),
        hard=hard,
        used=amounts.amounts(status, "used"),
        needed=tuple((name, *_NEEDED[name]) for name in hard if name in _NEEDED),
        selectors=tuple(_selectors(quota)),
    )


def kept(quota: Json) -> dict[str, Any]:
    """What is read of a live ResourceQuota; empty if no injection can make it refuse a pod.

    A quota that only counts pods is such a one: an injection adds no pods. So most changes of
    `used` are no changes for us.
    """
    names_of_scopes = [name for name, *_ in _selectors(quota)]
    counts = _COUNTS if any(name in _BY_CLASS for name in names_of_scopes) else ()
    status = lenient.child(quota, "status")
    hard = {
        name: value
        for name, value in lenient.child(status, "hard").items()
        if name in counts or charged_pod.is_of_resources(name)
    }
    if not hard:
        return {}
    used = lenient.child(status, "used")
    spec = lenient.child(quota, "spec")
    scopes = {field: spec[field] for field in ("scopes", "scopeSelector") if spec.get(field)}
    used = {name: used[name] for name in hard if name in used}
    return {"spec": scopes, "status": {"hard": hard, "used": used}}


def unknown_scopes(quota: Json) -> Iterator[str]:
    """The scopes that are not known here: such a quota is never checked."""
    # VolumeAttributesClass is for PersistentVolumeClaims.
    others = (_PRIORITY, "VolumeAttributesClass")
    return (name for name, *_ in _selectors(quota) if name not in _SCOPES and name not in others)


def unknown(quota: Json) -> Iterator[str]:
    """The names by which Kubernetes limits nothing, in words: of an extended resource it limits
    `requests.` alone."""
    for name in lenient.child(lenient.child(quota, "status"), "hard"):
        is_of_pods = name in _COUNTS or charged_pod.is_of_resources(name)
        if not is_of_pods and not _OF_OTHERS.fullmatch(name):
            yield f"hard {name!r}"


def _selectors(quota: Json) -> Iterator[Selector]:
    spec = lenient.child(quota, "spec")
    for name in lenient.strings(spec, "scopes"):
        yield name, "Exists", frozenset()
    for each in lenient.objects(lenient.child(spec, "scopeSelector"), "matchExpressions"):
        values = frozenset(lenient.strings(each, "values"))
        yield lenient.text(each, "scopeName"), lenient.text(each, "operator"), values


def _is_in_scope(pod: ChargedPod, scope: str, operator: str, values: frozenset[str]) -> bool:
    """https://github.com/kubernetes/kubernetes/blob/master/pkg/apis/core/v1/helper/helpers.go
    (ScopedResourceSelectorRequirementsAsSelector)"""
    if scope != _PRIORITY:
        return scope in _SCOPES and _SCOPES[scope](pod)
    name = lenient.text(pod.spec, "priorityClassName")
    return {
        "Exists": bool(name),
        "DoesNotExist": not name,
        "In": name in values,
        "NotIn": name not in values,
    }.get(operator, False)


def _is_terminating(pod: ChargedPod) -> bool:
    return lenient.is_integer(pod.spec.get("activeDeadlineSeconds"), least=0, most=1 << 63)


_SCOPES: Final[Mapping[str, Callable[[ChargedPod], bool]]] = {
    "Terminating": _is_terminating,
    "NotTerminating": lambda pod: not _is_terminating(pod),
    "BestEffort": lambda pod: pod.is_best_effort,
    "NotBestEffort": lambda pod: not pod.is_best_effort,
    "CrossNamespacePodAffinity": lambda pod: pod.has_affinity_elsewhere,
}
