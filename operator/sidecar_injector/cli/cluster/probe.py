"""Whether new pods of a namespace are injected: a pod is created there as a dry run."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from sidecar_injector import names
from sidecar_injector.cli.cluster import errors
from sidecar_injector.core.linting import trial
from sidecar_injector.core.reasons import Reason
from sidecar_injector.kube import api

if TYPE_CHECKING:
    from sidecar_injector.cli.cluster import http_client

PROBE = f"{names.PRODUCT}-check"
"""The name of an injection that does not exist: the webhook answers with a warning about it."""
FAILED_CALL = f'failed calling webhook "{names.MUTATE_WEBHOOK}"'
"""What the API server says if it cannot reach us and must not go on without us."""


class Answer(enum.Enum):
    """What became of the pod; the values are promised."""

    ANSWERED = "Answered"
    """The webhook was called. The pod may be refused for other reasons."""
    NOT_CALLED = "NotCalled"
    """The pod was created without the webhook."""
    REFUSED = "Refused"
    """The webhook could not be called, and the pod was refused for that."""
    UNKNOWN = "Unknown"
    """The pod was refused before or without a call."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """What one pod has shown."""

    namespace: str
    answer: Answer
    refusal: str = ""
    """Why the API server refused the pod; empty if it did not."""

    def __str__(self) -> str:
        """A sentence about the namespace."""
        place = self.namespace
        return {
            Answer.ANSWERED: f"the injector answers for new pods in {place}",
            Answer.NOT_CALLED: f"new pods in {place} start without sidecars: nobody calls the"
            " injector, or it does not answer",
            Answer.REFUSED: f"new pods in {place} are refused, since the injector does not answer:"
            f" {self.refusal}",
            Answer.UNKNOWN: f"it is not known whether the injector answers for new pods in {place}:"
            f" {self.refusal}",
        }[self.answer]


MOST_PROBES: Final = 5
"""Namespaces of one call that are tried; the others are named by their number."""
WORST: Final = (Answer.REFUSED, Answer.NOT_CALLED, Answer.UNKNOWN, Answer.ANSWERED)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Probes:
    """What pods in several namespaces have shown."""

    probes: Sequence[Probe]
    untried: int = 0
    """How many namespaces were not tried."""

    @property
    def silent(self) -> list[Probe]:
        """The namespaces in which the injector was seen not to answer."""
        return [each for each in self.probes if each.answer in (Answer.NOT_CALLED, Answer.REFUSED)]

    def others(self) -> list[str]:
        """Sentences about all other namespaces."""
        answering = [each.namespace for each in self.probes if each.answer is Answer.ANSWERED]
        lines = [f"the injector answers for new pods in {', '.join(answering)}"] * bool(answering)
        lines += [f"{each}" for each in self.probes if each.answer is Answer.UNKNOWN]
        if self.untried:
            names_of = "namespace" if self.untried == 1 else "namespaces"
            lines.append(f"not tried in {self.untried} more {names_of}: name one with -n")
        return lines

    def as_json(self) -> dict[str, Any]:
        """The worst answer for programs, and that of each namespace which was tried."""
        worst = min((each.answer for each in self.probes), key=WORST.index)
        return {
            "answer": worst.value,
            "message": "; ".join([*map(str, self.silent), *self.others()]),
            "namespaces": {each.namespace: each.answer.value for each in self.probes},
            "untried": self.untried,
        }


async def several(client: http_client.InteractiveClient, namespaces: Sequence[str]) -> Probes:
    """Probe the first of these namespaces."""
    probes = [await probe(client, name) for name in namespaces[:MOST_PROBES]]
    return Probes(probes=probes, untried=len(namespaces) - len(probes))


async def probe(client: http_client.InteractiveClient, namespace: str) -> Probe:
    """Create a pod as a dry run, and see whether the webhook was called."""
    refusal = ""
    try:
        await client.create(api.PODS, _pod(namespace), namespace=namespace, dry_run=True)
    except api.ApiError as error:
        refusal = errors.denied(error).sentence
    # Mutating webhooks come before quotas and Pod Security, so a refusal may have it as well.
    if any(Reason.UNKNOWN_INJECTION.value in warning for warning in client.warnings):
        answer = Answer.ANSWERED
    elif FAILED_CALL in refusal:
        answer = Answer.REFUSED
    else:
        answer = Answer.UNKNOWN if refusal else Answer.NOT_CALLED
    return Probe(namespace=namespace, answer=answer, refusal=refusal)


def _pod(namespace: str) -> api.Json:
    """A pod that the restricted Pod Security level admits: nothing but the webhook is tried."""
    resources = {"cpu": "1m", "memory": "1Mi"}
    container = {
        "name": "check",
        "image": PROBE,
        "securityContext": trial.SECURITY_CONTEXT,
        "resources": {"requests": resources, "limits": resources},
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": f"{PROBE}-",
            "namespace": namespace,
            "annotations": {names.INJECT_ANNOTATION: PROBE},
        },
        "spec": {"containers": [container], "automountServiceAccountToken": False},
    }
