"""What comes of a review: the decision, and all that is said about it to whomever."""

from __future__ import annotations

import dataclasses
import logging
from typing import Any

from sidecar_injector.core import decide
from sidecar_injector.core.decision import Decision
from sidecar_injector.core.injections import namespace_view
from sidecar_injector.webhook import admission_review, cluster_state, decision_log, response

Json = dict[str, Any]

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """A decision that was given to the API server, for whoever tells people about it."""

    namespace: str
    owner: Json | None
    """The reference to the controller that made the pod, if one did."""
    decision: Decision
    """Without the pod that it makes and the operations that make it."""
    dry_run: bool


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """All that is said about a pod, and about every other one whose review is like its own."""

    version: bytes
    """Of the review."""
    answer: response.Answer
    line: decision_log.LogLine
    admitted: Admitted
    serial: int
    """Of what was known when it was decided: `registry.Known` has another one for all else."""
    minds_token_volumes: bool
    """Whether an injection that was known looks at the names of token volumes."""

    @property
    def size(self) -> int:
        """About how many bytes it takes: the patch is there twice, the lines are in two forms."""
        texts = len(self.answer.response) + len(self.answer.patch) + 2 * len(self.line.members)
        return 4096 + texts


def of(review: admission_review.Review, known: cluster_state.NamespaceState) -> Outcome | None:
    """What comes of a review of a pod; None, and a line in the log, where that cannot be said."""
    try:
        return _decided(review, known)
    except Exception:  # noqa: BLE001 - our own bug must not cost a pod
        what = "cannot decide, the pod is admitted as it is"
        if said := admission_review.complaint(review.request):
            _log.warning("%s: no API server sends this: %s", what, said)
        else:
            _log.exception("%s: %s", what, decision_log.subject(review.request))
        return None


def _decided(review: admission_review.Review, known: cluster_state.NamespaceState) -> Outcome:
    asked = review.request
    question = namespace_view.PodRequest(
        namespace=known.world.namespace.name,
        pod=asked["object"],
        operation=asked.get("operation") or "",
        subresource=asked.get("subResource") or "",
    )
    answer = response.of(decide.decide(question, known.world))
    admitted = Admitted(
        namespace=asked.get("namespace") or "",
        owner=decision_log.controller(question.pod.get("metadata") or {}),
        decision=answer.decision,
        dry_run=asked.get("dryRun") is True,
    )
    return Outcome(
        version=review.version.encode(),
        answer=answer,
        line=decision_log.line_of(asked, answer, behind=known.behind),
        admitted=admitted,
        serial=known.serial,
        minds_token_volumes=known.world.minds_token_volumes,
    )


def minds(made: Outcome, token_volume: str) -> bool:
    """Whether another outcome may come of a pod whose token volume has another name than this."""
    said = (made.answer.message, *(line.message for line in made.admitted.decision.skipped))
    return bool(token_volume) and (
        made.minds_token_volumes
        or any(token_volume in text for text in said)
        or token_volume.encode() in made.answer.patch
    )
