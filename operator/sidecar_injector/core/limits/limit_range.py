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
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from sidecar_injector.core.limits.charged_pod import ChargedPod
from sidecar_injector.core.limits.violation import Violation
from sidecar_injector.core.pods import amounts, lenient, quantity
from sidecar_injector.core.pods.amounts import Amounts, Needs
from sidecar_injector.core.reasons import Reason

Json = Mapping[str, Any]

CONTAINER, POD = "Container", "Pod"
MIN, MAX, RATIO = "min", "max", "maxLimitRequestRatio"
DEFAULT, DEFAULT_REQUEST = "default", "defaultRequest"
_CHECKED: Final = (MIN, MAX, RATIO)
FIELDS: Final = ("type", *_CHECKED, DEFAULT, DEFAULT_REQUEST)


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

    def charged(self, pod: Json) -> tuple[ChargedPod, tuple[Needs, ...]]:
        """The pod with the defaults, and its containers without them."""
        spec = pod.get("spec") or {}
        plain = tuple(amounts.containers(spec))
        if not (self.default_limits or self.default_requests):
            return ChargedPod(spec, plain), plain
        filled = tuple(
            needs._replace(
                requests=self.default_requests | needs.requests,
                limits=self.default_limits | needs.limits,
            )
            for needs in plain
        )
        return ChargedPod(spec, filled), plain

    def violations(self, pod: ChargedPod, plain: Sequence[Needs]) -> Iterator[Violation]:
        """What the API server refuses; `plain` are the containers without defaults."""
        for needs in pod.containers:
            for rule in self.of_containers:
                if problem := rule.problem(needs.requests, needs.limits):
                    yield _broken(rule, f"container {needs.name!r}", problem)
        for rule in self.of_pods:
            if problem := rule.problem(*pod.limited):
                yield _broken(rule, "the pod", problem)
        if pod.containers is not plain:
            yield from self._contradicting_defaults(pod, plain)

    def _contradicting_defaults(
        self, pod: ChargedPod, plain: Sequence[Needs]
    ) -> Iterator[Violation]:
        """Where a default makes a pod invalid, for example a limit below the author's request."""
        for needs, before in zip(pod.containers, plain, strict=True):
            sentences = amounts.contradictions(needs.requests, needs.limits)
            if new := _new(sentences, amounts.contradictions(before.requests, before.limits)):
                yield self._contradiction(f"container {needs.name!r}: {new}")
        resources = lenient.child(pod.spec, "resources")
        if resources:
            own = [amounts.amounts(resources, field) for field in ("requests", "limits")]
            sentences = amounts.over_pod(own[0], own[1], pod.containers)
            if new := _new(sentences, amounts.over_pod(own[0], own[1], plain)):
                yield self._contradiction(new)

    def _contradiction(self, sentence: str) -> Violation:
        text = f"with its defaults, {sentence}"
        return Violation(Reason.LIMIT_RANGE, self.source_of_defaults, text, text)


def _new(sentences: Iterable[str], before: Iterable[str]) -> str | None:
    """The first sentence that is not among those of before."""
    if not (texts := list(sentences)):
        return None
    old = set(before)
    return next((text for text in texts if text not in old), None)


def _broken(rule: Rule, subject: str, problem: str) -> Violation:
    detail = f"{rule}: {subject} {problem}"
    return Violation(Reason.LIMIT_RANGE, rule.source, f"{rule} of {subject}", detail)


def compiled(limit_ranges: Iterable[Json]) -> LimitRanges:
    """The LimitRanges of a namespace, of which the first one's defaults win.

    The API server takes them in no particular order, so two of them with different defaults for one
    resource are a mistake of their author.
    """
    rules: dict[str, list[Rule]] = {CONTAINER: [], POD: []}
    default_limits: Amounts = {}
    default_requests: Amounts = {}
    sources = []
    for limit_range in limit_ranges:
        source = str(lenient.child(limit_range, "metadata").get("name") or "")
        limits: Amounts = {}
        requests: Amounts = {}
        for item in lenient.objects(lenient.child(limit_range, "spec"), "limits"):
            if item.get("type") not in rules:
                continue
            rules[item["type"]] += (
                Rule(source, kind, resource, amount)
                for kind in _CHECKED
                for resource, amount in amounts.amounts(item, kind).items()
            )
            if item["type"] == CONTAINER:
                own_limits, own_requests = _defaults(item)
                limits |= own_limits
                requests |= own_requests
        if limits or requests:
            sources.append(source)
        default_limits = limits | default_limits
        default_requests = requests | default_requests
    return LimitRanges(
        tuple(rules[CONTAINER]),
        tuple(rules[POD]),
        default_limits,
        default_requests,
        ", ".join(sources),
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
        {field: item[field] for field in FIELDS if item.get(field)}
        for item in lenient.objects(lenient.child(limit_range, "spec"), "limits")
        if item.get("type") in (CONTAINER, POD)
    ]
    return {"spec": {"limits": items}} if items else {}
