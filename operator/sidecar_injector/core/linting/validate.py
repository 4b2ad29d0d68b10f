"""The errors and warnings of an injection, for `/validate`, `lint` and the condition Accepted.

An injection with errors is never applied. One with warnings works, or works on some pods only.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sidecar_injector.core.injections import model, namespace_view, parameters
from sidecar_injector.core.injections.schema import Problem
from sidecar_injector.core.linting import overlap, trial
from sidecar_injector.core.merging import order
from sidecar_injector.core.pods import fields
from sidecar_injector.core.reasons import Level
from sidecar_injector.core.validity import pod_security, releases

WITHOUT_VOLUME = "pods without that volume are skipped"
RESOURCES = ("cpu", "memory")
LEVELS = (pod_security.BASELINE, pod_security.RESTRICTED)
NOTHING: Mapping[str, str] = types.MappingProxyType({})
MAX_WARNINGS = 10
MAX_CHARACTERS = 120
"""Of one warning; the API server cuts it here if all warnings together are too long:
https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/"""


@dataclasses.dataclass(frozen=True, slots=True)
class Findings:
    """The errors and warnings of one injection."""

    errors: tuple[Problem, ...]
    warnings: tuple[Problem, ...] = ()
    violations: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    """What of it each Pod Security level forbids."""

    def short_warnings(self) -> list[str]:
        """The warnings for a client of the API server: few and short."""
        sentences = [shortened(str(problem)) for problem in self.warnings]
        if len(sentences) <= MAX_WARNINGS:
            return sentences
        count = MAX_WARNINGS - 1
        return [*sentences[:count], f"and {len(sentences) - count} warnings more: see lint"]


def validate(
    injection: model.Injection,
    *,
    others: Sequence[model.Injection] = (),
    enforcing: Mapping[str, str] = NOTHING,
    namespaces: Sequence[namespace_view.Namespace] = (),
    minor: int | None = None,
) -> Findings:
    """Check an injection; `others` are all that may select the same pod (it may be among them).

    `enforcing` has the Pod Security levels of its namespaces, each with who enforces it.
    `namespaces` are those of the cluster; without any, those that match both selectors may exist.
    `minor` is the release of the cluster, 32 for 1.32; without it, the newest that is supported.
    A pure function. Its cost is proportional to the injection and to the number of others.
    """
    if injection.errors:
        return Findings(injection.errors)
    results = list(trial.outcomes(injection, minor=minor))
    warnings = [
        *_requests(injection),
        *_volumes(injection),
        *_account(injection),
        *_ports(injection),
        *_tokens(injection),
        *_dropped(injection, minor),
        *_needs(results),
        *_of_some_pods(results),
    ]
    findings = Findings(
        errors=tuple(dict.fromkeys(_errors(results))),
        warnings=tuple(dict.fromkeys(warnings)),
        violations={level: _violations(results, level) for level in LEVELS},
    )
    return with_surroundings(
        injection, findings, others=others, namespaces=namespaces, enforcing=enforcing
    )


def with_surroundings(
    injection: model.Injection,
    findings: Findings,
    *,
    others: Sequence[model.Injection],
    namespaces: Sequence[namespace_view.Namespace],
    enforcing: Mapping[str, str],
) -> Findings:
    """The findings about an injection by itself, and the warnings about it in its cluster.

    What will certainly fail is the first warning.
    """
    if injection.errors:
        return findings
    warnings = (
        *_forbidden(findings, enforcing), *findings.warnings,
        *overlap.warnings(injection, others, namespaces),
    )  # fmt: skip
    return dataclasses.replace(findings, warnings=tuple(dict.fromkeys(warnings)))


def shortened(text: str) -> str:
    """At most as long as a warning may be."""
    return text if len(text) <= MAX_CHARACTERS else f"{text[: MAX_CHARACTERS - 1]}…"


def _errors(results: Sequence[trial.TrialResult]) -> Iterator[Problem]:
    failed = [result for result in results if _has_failed(result) and not result.guessed]
    if len(failed) == len(results):
        for result in failed:
            yield Problem("spec", f"cannot be injected into a pod: {_why(result)}")


def _needs(results: Sequence[trial.TrialResult]) -> Iterator[Problem]:
    """What most pods do not have; the example pod has it."""
    for text in dict.fromkeys(text for result in results for text in result.needs):
        yield Problem("spec", f"fits only pods with {text}")


def _of_some_pods(results: Sequence[trial.TrialResult]) -> Iterator[Problem]:
    """Failures on one kind of pods only, or with a guessed value, which are not errors."""
    failed = [result for result in results if _has_failed(result)]
    for result in failed:
        if result.guessed:
            names = ", ".join(result.guessed)
            yield Problem(
                "spec.parameters",
                f"not every value of {names} fits (give an enum?): {_why(result)}",
            )
        elif len(failed) < len(results):
            policy = result.before["spec"]["restartPolicy"]
            yield Problem(
                "spec", f"cannot be injected where restartPolicy is {policy}: {_why(result)}"
            )


def _has_failed(result: trial.TrialResult) -> bool:
    return result.line.reason.level is Level.FIT


def _violations(results: Iterable[trial.TrialResult], level: str) -> tuple[str, ...]:
    """What the injection adds that the level forbids."""
    policy = pod_security.Policy(level)
    return tuple(dict.fromkeys(text for result in results for text in _broken(policy, result)))


def _forbidden(findings: Findings, enforcing: Mapping[str, str]) -> Iterator[Problem]:
    for level, who in enforcing.items():
        if violations := findings.violations.get(level):
            yield Problem(
                "spec.template",
                f"{who} enforces Pod Security {level}, so pods start without it:"
                f" {'; '.join(violations)}",
            )


def forbidden(
    injection: model.Injection, policy: pod_security.Policy, *, minor: int | None = None
) -> str:
    """Why a Pod Security level forbids the template in any pod; empty if it does not."""
    by_result = [_broken(policy, result) for result in trial.outcomes(injection, minor=minor)]
    if not by_result or not all(by_result):
        return ""
    sentences = dict.fromkeys(text for violations in by_result for text in violations)
    return f"the namespace enforces {policy.level!r}: {'; '.join(sentences)}"


def _broken(policy: pod_security.Policy, result: trial.TrialResult) -> list[str]:
    before = pod_security.violations(policy, result.before)
    return [text for text in pod_security.violations(policy, result.after) if text not in before]


def _why(result: trial.TrialResult) -> str:
    return f"{result.line.reason.value}: {result.line.message}"


def _requests(injection: model.Injection) -> Iterator[Problem]:
    """Containers without requests; a limit without a request counts as one.

    https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/
    """
    for path, container in trial.containers(injection):
        resources: dict[str, Any] = container.get("resources") or {}
        set_names = (resources.get("requests") or {}).keys() | (
            resources.get("limits") or {}
        ).keys()
        if missing := [name for name in RESOURCES if name not in set_names]:
            yield Problem(
                f"{path}.resources",
                f"set requests of {' and '.join(missing)}, which autoscaling and quotas need",
            )


def _volumes(injection: model.Injection) -> Iterator[Problem]:
    for path, name in trial.unresolved(injection):
        yield Problem(
            path, f"mounts volume {name!r}, which is not in the template: {WITHOUT_VOLUME}"
        )
    mounted = {name for _, name in trial.mounts(injection)}
    for index, volume in enumerate(injection.template_spec.get("volumes") or ()):
        if volume["name"] not in mounted:
            yield Problem(
                f"spec.template.spec.volumes[{index}]",
                f"{volume['name']!r} is only added to pods that mount it: nothing here does",
            )


def _account(injection: model.Injection) -> Iterator[Problem]:
    """The API server has used the account of the pod's author before it calls the webhook."""
    if injection.template_spec.get("serviceAccountName"):
        yield Problem(
            "spec.template.spec.serviceAccountName",
            "may not bring its pull secrets to a pod, nor automountServiceAccountToken",
        )


def _ports(injection: model.Injection) -> Iterator[Problem]:
    """Ports that two containers of the template have, and names that a Service may mean."""
    holders: dict[fields.Port, str] = {}
    for path, port, name in trial.ports(injection):
        holder = holders.setdefault(port, name)
        if holder != name:
            yield Problem(path, f"{port[0]} {port[1]} is also of {holder!r}: only one can listen")
    for index, container in enumerate(injection.template_spec.get("containers") or ()):
        is_first = order.is_first(injection.spec.get("placement") or {}, "containers")
        for number, port in enumerate(container.get("ports") or () if is_first else ()):
            if port.get("name"):
                yield Problem(
                    f"spec.template.spec.containers[{index}].ports[{number}].name",
                    "placed First, it does not go into pods with another port of this name",
                )


def _dropped(injection: model.Injection, minor: int | None) -> Iterator[Problem]:
    """Fields that the API server leaves out when it stores a pod."""
    minor = releases.in_table(minor)
    for path in releases.dropped(injection.spec, minor=minor):
        yield Problem(path, f"Kubernetes 1.{minor} drops this field, unless a feature gate is on")


def _tokens(injection: model.Injection) -> Iterator[Problem]:
    """Tokens in parts where tokens are not replaced, and parameters without a token."""
    spec = injection.spec
    for part in spec.keys() - set(parameters.FILLED):
        for path, _, name in parameters.tokens(spec[part], path=f"spec.{part}"):
            yield Problem(
                path,
                f"$({name}) is not replaced: tokens are in {', '.join(parameters.FILLED)} only",
            )
    used = {
        name
        for part in parameters.FILLED
        for _, _, name in parameters.tokens(spec.get(part), path=f"spec.{part}")
    }
    for index, parameter in enumerate(spec.get("parameters") or ()):
        if f"params.{parameter['name']}" not in used:
            yield Problem(
                f"spec.parameters[{index}]",
                f"$(params.{parameter['name']}) is used nowhere: the parameter changes nothing",
            )
