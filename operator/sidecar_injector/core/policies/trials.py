"""What is tried in Python when an injection is compiled, instead of being said again in CEL.

The values that parameters accept are finite where they matter, and so are the facts of a pod on
which Pod Security depends: so everything is tried, by the code that decides about pods.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from sidecar_injector.core.injections import model
from sidecar_injector.core.injections.schema import Problem
from sidecar_injector.core.linting import trial
from sidecar_injector.core.merging import merge
from sidecar_injector.core.pods import lenient
from sidecar_injector.core.policies import filling, pod_facts
from sidecar_injector.core.reasons import Reason
from sidecar_injector.core.validity import pod_security

LEVELS: Final = (pod_security.BASELINE, pod_security.RESTRICTED)
_FACTS: Final[Sequence[Mapping[str, Any]]] = (
    {"securityContext": {"runAsNonRoot": True}},
    {"securityContext": {"seccompProfile": {"type": "RuntimeDefault"}}},
    {"hostUsers": False},
)
"""In the order of their digits in the variable `secure`; the last one's digit is the opposite."""


def of(injection: model.Injection, *, minor: int | None) -> list[trial.TrialResult]:
    """The injection on a pod that runs for ever and one that ends, with all choices of values."""
    return [
        trial.tried(injection, trial.pod_for(injection, policy), (values, ()), minor=minor)
        for values in filling.choices(injection)
        for policy in ("Always", "Never")
    ]


def problems(injection: model.Injection, results: Sequence[trial.TrialResult]) -> Iterator[Problem]:
    """Why an injection that fits no pod, or not every pod, is not compiled."""
    for result in results:
        if result.line.reason not in (Reason.INJECTED, Reason.ALREADY_INJECTED):
            yield Problem("spec", f"cannot be injected into every pod: {result.line.message}")
        for need in result.needs:
            yield Problem("spec", f"fits only pods with {need}")
    most = _most_bytes(injection, results)
    if most > merge.SMALL_BYTES:
        sentence = f"may add {most} bytes to a pod, at most {merge.SMALL_BYTES} are compiled"
        yield Problem("spec", sentence)


def _most_bytes(injection: model.Injection, results: Sequence[trial.TrialResult]) -> int:
    """At least what is added to a pod: an injection that adds little is never too large for it."""
    added = max(
        (lenient.size(result.after) - lenient.size(result.before) for result in results), default=0
    )
    applied = injection.spec.get("applicationContainers") or {}
    filled = sum(injection.token_uses.values()) * 2 * pod_facts.LONGEST_VALUE
    return added + filled + pod_facts.MOST_CONTAINERS * lenient.size(applied)


def forbidden(results: Sequence[trial.TrialResult], *, minor: int | None) -> dict[str, bool]:
    """The values of the variable `secure` for which Pod Security forbids the parts.

    True if it does so for all choices of values and all restart policies, False if only for some.
    """
    facts_forbidden = {}
    for level in LEVELS:
        policy = pod_security.Policy(level, min(minor or pod_security.NEWEST, pod_security.NEWEST))
        for facts in itertools.product((False, True), repeat=len(_FACTS)):
            broken = [_breaks(policy, result, facts) for result in results]
            if any(broken):
                *digits, host_users = facts
                text = "".join(str(int(fact)) for fact in (*digits, not host_users))
                facts_forbidden[f"{level} {text}"] = all(broken)
    return facts_forbidden


def _breaks(policy: pod_security.Policy, result: trial.TrialResult, facts: Iterable[bool]) -> bool:
    """Whether what is added breaks the level in a pod with these facts."""
    old, new = (
        set(pod_security.violations(policy, _with(pod, facts)))
        for pod in (result.before, result.after)
    )
    return bool(new - old)


def _with(pod: Mapping[str, Any], facts: Iterable[bool]) -> dict[str, Any]:
    spec: dict[str, Any] = {**pod["spec"], "securityContext": {}}
    for fact, is_true in zip(_FACTS, facts, strict=True):
        for field, value in fact.items() if is_true else ():
            spec[field] = {**spec[field], **value} if isinstance(value, dict) else value
    return {**pod, "spec": spec}
