"""What is tried in Python when an injection is compiled, instead of being said again in CEL.

The values that parameters accept are finite where they matter, and so are the facts of a pod on
which Pod Security depends: so everything is tried, by the code that decides about pods.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any, Final

from sidecar_injector.core.injections import model
from sidecar_injector.core.injections.schema import Problem
from sidecar_injector.core.linting import trial
from sidecar_injector.core.merging import container_additions, merge
from sidecar_injector.core.pods import lenient
from sidecar_injector.core.policies import filling, pod_facts
from sidecar_injector.core.reasons import Reason
from sidecar_injector.core.validity import pod_security

LEVELS: Final = (pod_security.BASELINE, pod_security.RESTRICTED)


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
        if _misses_all(injection, result):
            why = "leaves out the containers on which it is tried"
            yield Problem("spec.applicationContainers.names", why)
        for need in result.needs:
            yield Problem("spec", f"fits only pods with {need}")
    most = _most_bytes(injection, results)
    if most > merge.SMALL_BYTES:
        sentence = f"may add {most} bytes to a pod, at most {merge.SMALL_BYTES} are compiled"
        yield Problem("spec", sentence)


def _misses_all(injection: model.Injection, result: trial.TrialResult) -> bool:
    """Whether no container of the pod received what applicationContainers give."""
    spec = pod_facts.applied(injection)
    selection = spec.get("names") or {}
    return bool(spec) and not any(
        container_additions.is_selected(container["name"], selection)
        for container in result.before["spec"]["containers"]
    )


def _most_bytes(injection: model.Injection, results: Sequence[trial.TrialResult]) -> int:
    """At least what is added to a pod: an injection that adds little is never too large for it."""
    added = max(lenient.size(result.after) - lenient.size(result.before) for result in results)
    filled = sum(injection.token_uses.values()) * 2 * pod_facts.LONGEST_VALUE
    return added + filled + pod_facts.MOST_CONTAINERS * lenient.size(pod_facts.applied(injection))


def forbidden(results: Sequence[trial.TrialResult], *, minor: int | None) -> dict[str, bool]:
    """The values of the variable `secure` for which Pod Security forbids the parts.

    True if it does so for all choices of values and all restart policies, False if only for some.
    """
    facts_forbidden = {}
    for level in LEVELS:
        policy = pod_security.Policy(level, min(minor or pod_security.NEWEST, pod_security.NEWEST))
        # The digits of the variable `secure`, in the order of its values in a policy.
        for digits in itertools.product((0, 1), (0, 1), (1, 0)):
            broken = [_breaks(policy, result, digits) for result in results]
            if any(broken):
                facts_forbidden[f"{level} {''.join(map(str, digits))}"] = all(broken)
    return facts_forbidden


def _breaks(policy: pod_security.Policy, result: trial.TrialResult, facts: Sequence[int]) -> bool:
    """Whether what is added breaks the level in a pod with these facts."""
    is_no_root, has_profile, has_host_users = facts
    context: dict[str, Any] = {"runAsNonRoot": True} if is_no_root else {}
    if has_profile:
        context["seccompProfile"] = {"type": "RuntimeDefault"}
    fields = {"securityContext": context} | ({} if has_host_users else {"hostUsers": False})
    old, new = (
        set(pod_security.violations(policy, {**pod, "spec": {**pod["spec"], **fields}}))
        for pod in (result.before, result.after)
    )
    return bool(new - old)
