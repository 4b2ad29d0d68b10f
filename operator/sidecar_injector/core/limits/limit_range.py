"""LimitRanges: what the API server fills in, and what it then accepts.

The compiled-in plugin LimitRanger fills in defaults before the mutating webhooks are called. When a
webhook has changed a pod, all compiled-in plugins are called once more, so containers that webhooks
add get the defaults too. Then it validates the pod, after all webhooks.
https://github.com/kubernetes/kubernetes/blob/master/plugin/pkg/admission/limitranger/admission.go
https://github.com/kubernetes/apiserver/blob/master/pkg/admission/reinvocation.go
https://github.com/kubernetes/kubernetes/blob/master/pkg/kubeapiserver/options/plugins.go
"""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from sidecar_injector.core.limits.charged_pod import ChargedPod
from sidecar_injector.core.pods import amounts, lenient, quantity
from sidecar_injector.core.pods.amounts import Amounts, Needs
from sidecar_injector.core.reasons import Conflict, Reason

Json = Mapping[str, Any]

CONTAINER, POD = "Container", "Pod"
MIN, MAX, RATIO = "min", "max", "maxLimitRequestRatio"
DEFAULT, DEFAULT_REQUEST = "default", "defaultRequest"
_CHECKED: Final = (MIN, MAX, RATIO)
_FIELDS: Final = ("type", *_CHECKED, DEFAULT, DEFAULT_REQUEST)
_OF_OTHERS: Final = ("PersistentVolumeClaim",)


@dataclasses.dataclass(frozen=True, slots=True)
class Rule:
    """One amount of a LimitRange."""

    source: str
    kind: str
    resource: str
    amount: Any

    def problem(self, requests: Amounts, limits: Amounts) -> str | None:
        """What is wrong with a container's or a pod's amounts; None if nothing is."""
        request, limit = requests.get(self.resource), limits.get(self.resource)
        if self.kind == RATIO:
            return self._ratio(request, limit)
        if self.kind == MIN:
            if request is None:
                return "has no request"
            outside = operator.lt
        else:
            if limit is None:
                return "has no limit"
            outside = operator.gt
        for field, amount in (("request", request), ("limit", limit)):
            if amount is not None and outside(amount, self.amount):
                return f"has a {field} of {quantity.text(amount)}"
        return None

    def _ratio(self, request: Any, limit: Any) -> str | None:
        if not request:
            return "has no request"
        if not limit:
            return "has no limit"
        # Floating point, as the API server has it (limitRequestRatioConstraint).
        ratio = float(limit * 1000) / float(request * 1000) * 1000
        return f"has a ratio of {ratio / 1000:g}" if ratio > float(self.amount * 1000) else None

    def __str__(self) -> str:
        return f"{self.kind} {self.resource} {quantity.text(self.amount)}"


@dataclasses.dataclass(frozen=True, slots=True)
class LimitRanges:
    """All LimitRanges of a namespace, compiled."""

    of_containers: tuple[Rule, ...] = ()
    of_pods: tuple[Rule, ...] = ()
    default_limits: Amounts = dataclasses.field(default_factory=dict)
    default_requests: Amounts = dataclasses.field(default_factory=dict)
    source_of_defaults: str = ""

    def charged(self, pod: Json) -> ChargedPod:
        """The pod with the defaults."""
        spec = pod.get("spec") or {}
        containers = amounts.containers(spec)
        if self.source_of_defaults:
            containers = (
                needs._replace(
                    requests=self.default_requests | needs.requests,
                    limits=self.default_limits | needs.limits,
                )
                for needs in containers
            )
        return ChargedPod(spec, tuple(containers))

    def conflicts(self, before: ChargedPod, after: ChargedPod) -> Iterator[Conflict]:
        """What the API server refuses of `after` and not of `before`, both valid without defaults.

        Only containers that differ are looked at.
        """
        old = {needs.name: needs for needs in before.containers}
        pairs = [(old.get(needs.name), needs) for needs in after.containers]
        pairs = [(was, needs) for was, needs in pairs if needs != was]
        for was, needs in pairs:
            subject = f"container {needs.name!r}"
            amounts_before = (was.requests, was.limits) if was else None
            amounts_after = needs.requests, needs.limits
            yield from _broken(self.of_containers, subject, amounts_before, amounts_after)
        yield from _broken(self.of_pods, "the pod", before.limited, after.limited)
        if self.source_of_defaults:
            yield from map(self._contradiction, _contradictions(pairs))
            sentences = [*_over_pod(after)]
            present = set(_over_pod(before)) if sentences else set()
            yield from (self._contradiction(text) for text in sentences if text not in present)

    def _contradiction(self, text: str) -> Conflict:
        """A default makes a pod invalid, for example with a limit below the author's request."""
        detail = f"{self.source_of_defaults!r}: with its defaults, {text}"
        return Conflict(Reason.LIMIT_RANGE, detail)


def _contradictions(pairs: Iterable[tuple[Needs | None, Needs]]) -> Iterator[str]:
    for was, needs in pairs:
        present = set(amounts.contradictions(was.requests, was.limits)) if was else set()
        for sentence in amounts.contradictions(needs.requests, needs.limits):
            if sentence not in present:
                yield f"container {needs.name!r}: {sentence}"


def _over_pod(pod: ChargedPod) -> Iterator[str]:
    resources = lenient.child(pod.spec, "resources")
    if resources:
        requests, limits = (amounts.amounts(resources, field) for field in ("requests", "limits"))
        yield from amounts.over_pod(requests, limits, pod.containers)


def _broken(
    rules: Iterable[Rule],
    subject: str,
    before: tuple[Amounts, Amounts] | None,
    after: tuple[Amounts, Amounts],
) -> Iterator[Conflict]:
    """The rules that requests and limits break, and did not break before, if there were any."""
    for rule in rules:
        if (problem := rule.problem(*after)) and not (before and rule.problem(*before)):
            yield Conflict(Reason.LIMIT_RANGE, f"{rule.source!r}: {rule}: {subject} {problem}")


def compiled(limit_ranges: Iterable[Json]) -> LimitRanges:
    """What was kept of the LimitRanges of a namespace, of which the first one's defaults win.

    The API server takes them in no particular order, so two of them with different defaults for one
    resource are a mistake of their author.
    """
    rules: dict[str, list[Rule]] = {CONTAINER: [], POD: []}
    default_limits: Amounts = {}
    default_requests: Amounts = {}
    sources: list[str] = []
    for limit_range in limit_ranges:
        source = str(limit_range["metadata"]["name"])
        for item in limit_range["spec"]["limits"]:
            rules[item["type"]] += (
                Rule(source, kind, resource, amount)
                for kind in _CHECKED
                for resource, amount in amounts.amounts(item, kind).items()
            )
            limits, requests = _defaults(item) if item["type"] == CONTAINER else ({}, {})
            sources += [source] * bool(limits or requests)
            default_limits = limits | default_limits
            default_requests = requests | default_requests
    return LimitRanges(
        of_containers=tuple(rules[CONTAINER]),
        of_pods=tuple(rules[POD]),
        default_limits=default_limits,
        default_requests=default_requests,
        source_of_defaults=", ".join(sources),
    )


def _defaults(item: Json) -> tuple[Amounts, Amounts]:
    """The default limits and requests; the API server completes them in a stored LimitRange.

    https://github.com/kubernetes/kubernetes/blob/master/pkg/apis/core/v1/defaults.go
    (SetDefaults_LimitRangeItem)
    """
    limits = amounts.amounts(item, MAX) | amounts.amounts(item, DEFAULT)
    requests = amounts.amounts(item, MIN) | limits | amounts.amounts(item, DEFAULT_REQUEST)
    return limits, requests


def kept(limit_range: Json) -> dict[str, Any]:
    """What is read of a LimitRange; empty if nothing of it concerns pods."""
    items = [
        {field: item[field] for field in _FIELDS if item.get(field)}
        for item in lenient.objects(lenient.child(limit_range, "spec"), "limits")
        if item.get("type") in (CONTAINER, POD)
    ]
    return {"spec": {"limits": items}} if items else {}


def unknown(limit_range: Json) -> Iterator[str]:
    """The types and fields that Kubernetes does not have, in words.

    It accepts any type with a slash, which concerns no pods.
    https://github.com/kubernetes/kubernetes/blob/master/pkg/apis/core/validation/validation.go
    (validateLimitRangeTypeName)
    """
    for item in lenient.objects(lenient.child(limit_range, "spec"), "limits"):
        kind = item.get("type")
        if kind not in (CONTAINER, POD, *_OF_OTHERS) and "/" not in str(kind):
            yield f"type {kind!r}"
        yield from (f"field {name!r}" for name in item if name not in _FIELDS)
