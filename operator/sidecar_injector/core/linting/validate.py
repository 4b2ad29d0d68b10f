"""One judgement of an injection, for `/validate`, for `lint` and for the condition Accepted.

Errors keep it from ever being applied. Warnings are what its author should look at: it works, or
works on some pods only.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence

from sidecar_injector.core.injections import model
from sidecar_injector.core.injections.schema import Problem
from sidecar_injector.core.linting import advice, overlap, trial
from sidecar_injector.core.reasons import Level
from sidecar_injector.core.validity import pod_security

MAX_WARNINGS = 10
MAX_CHARACTERS = 120
"""Of one warning; the API server cuts there once all of them together are too long:
https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/"""


@dataclasses.dataclass(frozen=True, slots=True)
class Findings:
    """What there is to say about one injection, as (field path, sentence)."""

    errors: tuple[Problem, ...]
    warnings: tuple[Problem, ...] = ()

    def told(self) -> list[str]:
        """The warnings as the API server passes them on: few and short."""
        sentences = [shortened(sentence(one)) for one in self.warnings]
        if len(sentences) <= MAX_WARNINGS:
            return sentences
        shown = MAX_WARNINGS - 1
        return [*sentences[:shown], f"and {len(sentences) - shown} warnings more: see lint"]


def validate(injection: model.Injection, *, others: Sequence[model.Injection] = ()) -> Findings:
    """Judge an injection; `others` are those that may meet it on a pod (it may be among them).

    Pure and bounded: what it costs grows with the injection and with the number of others.
    """
    if injection.errors:
        return Findings(injection.errors)
    tried = list(trial.outcomes(injection))
    warnings = [
        *advice.warnings(injection),
        *_of_some_pods(tried),
        *_of_restricted(tried),
        *overlap.warnings(injection, others),
    ]
    return Findings(tuple(dict.fromkeys(_errors(tried))), tuple(dict.fromkeys(warnings)))


def sentence(problem: Problem) -> str:
    """Field path and sentence as one."""
    return " ".join(problem)


def shortened(text: str) -> str:
    """At most as long as a warning may be."""
    return text if len(text) <= MAX_CHARACTERS else f"{text[: MAX_CHARACTERS - 1]}…"


def _errors(tried: Sequence[trial.TrialResult]) -> Iterator[Problem]:
    failed = [one for one in tried if _has_failed(one) and not one.guessed]
    if len(failed) == len(tried):
        yield from (("spec", f"cannot be injected into a pod: {_told(one)}") for one in failed)


def _of_some_pods(tried: Sequence[trial.TrialResult]) -> Iterator[Problem]:
    """What fails on pods of one kind only, or with a value that is made up, is no error."""
    failed = [one for one in tried if _has_failed(one)]
    for one in failed:
        if one.guessed:
            names = ", ".join(one.guessed)
            yield (
                "spec.parameters",
                f"not every value of {names} fits (give an enum?): {_told(one)}",
            )
        elif len(failed) < len(tried):
            policy = one.before["spec"]["restartPolicy"]
            yield "spec", f"cannot be injected where restartPolicy is {policy}: {_told(one)}"


def _has_failed(one: trial.TrialResult) -> bool:
    return one.line.reason.level is Level.FIT


def _of_restricted(tried: Iterable[trial.TrialResult]) -> Iterator[Problem]:
    found: dict[str, None] = {}
    for one in tried:
        before = pod_security.violations("restricted", one.before)
        after = pod_security.violations("restricted", one.after)
        found.update(dict.fromkeys(text for text in after if text not in before))
    if found:
        sentences = "; ".join(found)
        yield "spec.template", f"the Pod Security level restricted would refuse it: {sentences}"


def _told(one: trial.TrialResult) -> str:
    return f"{one.line.reason.value}: {one.line.message}"
