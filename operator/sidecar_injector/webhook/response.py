"""The response to the review of a pod, and what the log, the metrics and Events need of it."""

from __future__ import annotations

import base64
import dataclasses
import logging
import sys
from typing import Any, Final

import orjson

from sidecar_injector import names
from sidecar_injector.core import decide, near_misses, remedies
from sidecar_injector.core.decision import LEFT_OUT, Decision, Line
from sidecar_injector.core.injections import namespace_view
from sidecar_injector.core.merging import budget
from sidecar_injector.core.pods import lenient
from sidecar_injector.core.reasons import PodVerdict, Reason, Verdict
from sidecar_injector.observability import logs
from sidecar_injector.webhook import admission_review, cluster_state, decision_log

Json = dict[str, Any]

EACH_POD: Final = "each pod"
"""What a sentence about the pods of an owner names."""
MAX_WARNINGS: Final = 3
MAX_WARNING_LENGTH: Final = 250
"""Characters. The API server cuts one of more than 256 when all of them are long. What to do stands
in the first 120.
https://github.com/kubernetes/apiserver/blob/master/pkg/endpoints/filters/warning.go"""
MAX_CORRECTION_LENGTH: Final = 120
"""Characters of a warning about a mistake, at whose end stands what to write."""
_PREFIX: Final = f"{names.PRODUCT}: "
UNCHANGED: Final = b'"allowed":true}'
"""Admits a pod as it is; the same part of a response as `PodResponse.members`."""

_FIXED_BYTES: Final = 256
"""Of a response in memory, without its texts."""
_SKIPPED_BYTES: Final = 104
"""Of a skipped injection in memory, without its texts."""

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """The controller that created the pod."""

    api_version: str
    kind: str
    name: str
    uid: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SkippedInjection:
    """An injection that applied and could not be done."""

    kind: str
    namespace: str
    """Empty for the cluster kind."""
    name: str
    uid: str
    reason: Reason
    message: str
    """What becomes of the pod, and what to do."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PodResponse:
    """What follows from the review of a pod, and of every pod whose review is like it.

    `uid`, duration and trace belong to one request; they are added when the response is sent.
    A response may be kept for long. So it has only texts: a reference to the decision would keep
    injections in memory that were changed or deleted since.
    """

    version: bytes
    """The `apiVersion` of the review."""
    members: bytes
    """The members of the response after `uid`, and its closing brace."""
    log_line: bytes
    """See `decision_log.line_of`."""
    verdict: str
    reasons: tuple[str, ...]
    would: tuple[str, ...]
    """The reasons that injections with `spec.dryRun` would have otherwise."""
    patch_bytes: int
    """0 without a patch."""
    namespace: str
    owner: Owner | None
    dry_run: bool
    pod: str
    """The pod's namespace and name; empty if it has an owner."""
    skipped: tuple[SkippedInjection, ...]
    corrections: tuple[tuple[Reason, str], ...]
    """What the author of the owner's template should correct; a bare pod draws the warning."""
    serial: int
    """`NamespaceState.serial` at the time of the decision."""
    is_cacheable: bool
    """Whether it does not depend on the name of the token volume."""

    @property
    def size(self) -> int:
        """About how many bytes it takes in memory."""
        texts: list[str | bytes] = [self.version, self.members, self.log_line, self.namespace]
        if owner := self.owner:
            texts += owner.api_version, owner.kind, owner.name, owner.uid
        texts.append(self.pod)
        for skipped in self.skipped:
            texts += skipped.name, skipped.uid, skipped.message
        texts += (sentence for _, sentence in self.corrections)
        return (
            _FIXED_BYTES
            + 8 * (len(self.reasons) + len(self.would))
            + _SKIPPED_BYTES * (len(self.skipped) + len(self.corrections))
            + sum(map(sys.getsizeof, texts))
        )


def respond(
    review: admission_review.Review,
    state: cluster_state.NamespaceState,
    *,
    token_volume: str = "",
    is_waited_for: bool = False,
) -> PodResponse | None:
    """Decide about the pod of a review; None, and a line in the log, if that fails.

    Raises `budget.LongWorkError` if `is_waited_for` and it takes long. `token_volume` is the name
    of the pod's token volume; it counts for `is_cacheable` alone.
    """
    try:
        return _respond(review, state, token_volume, is_waited_for=is_waited_for)
    except budget.LongWorkError:
        raise
    except Exception as error:  # noqa: BLE001 - our own bug must not cost a pod
        message = "cannot decide, the pod is admitted as it is"
        if problem := admission_review.shape_problem(review.request):
            _log.warning("%s: no API server sends this: %s", message, problem)
        else:
            name = admission_review.pod_name(review.request)
            _log.exception("%s: %s", message, name, exc_info=logs.unquoted(error))
        return None


def _respond(
    review: admission_review.Review,
    state: cluster_state.NamespaceState,
    token_volume: str,
    *,
    is_waited_for: bool,
) -> PodResponse:
    admission_request = review.request
    pod_request = namespace_view.PodRequest(
        namespace=state.view.namespace.name,
        pod=admission_request["object"],
        operation=admission_request.get("operation") or "",
        subresource=admission_request.get("subResource") or "",
        is_waited_for=is_waited_for,
    )
    decision = decide.decide(pod_request, state.view)
    patch = orjson.dumps(decision.operations) if decision.operations else b""
    skipped, owner = tuple(decision.skipped), _owner(admission_request)
    pod_name = admission_review.pod_name(admission_request)
    texts = decision.message, *(line.message for line in skipped), patch.decode()
    return PodResponse(
        version=review.version.encode(),
        # A slice is a copy: orjson leaves its result in a buffer of up to six times its length.
        # https://github.com/ijl/orjson/tree/master/src/serialize/writer
        members=orjson.dumps(_members(decision, patch, _name(pod_name)))[1:],
        log_line=decision_log.line_of(
            admission_request, decision, cache_is_behind=state.cache_is_behind
        ),
        verdict=decision.verdict.value,
        reasons=tuple(reason.value for reason in decision.reasons),
        would=tuple(line.would.value for line in decision.evaluated if line.would),
        patch_bytes=len(patch),
        namespace=state.view.namespace.name,
        owner=owner,
        pod="" if owner else pod_name,
        dry_run=admission_request.get("dryRun") is True,
        skipped=tuple(
            _skipped(line, _name(pod_name) if not owner else EACH_POD) for line in skipped
        ),
        corrections=tuple(
            (finding.reason, finding.message) for finding in decision.annotation_findings if owner
        ),
        serial=state.serial,
        is_cacheable=not token_volume
        or not (
            state.view.depends_on_token_volume_name or any(token_volume in text for text in texts)
        ),
    )


def _owner(admission_request: Json) -> Owner | None:
    """The owner, if its reference has all that an Event needs."""
    reference = admission_review.owner(admission_request) or {}
    texts = (lenient.text(reference, field) for field in ("apiVersion", "kind", "name", "uid"))
    api_version, kind, name, uid = texts
    if not (api_version and kind and name):
        return None
    return Owner(api_version=api_version, kind=kind, name=name, uid=uid)


def _skipped(line: Line, pod_name: str) -> SkippedInjection:
    injection = line.injection
    return SkippedInjection(
        kind=injection.kind,
        namespace=injection.namespace or "",
        name=injection.name,
        uid=injection.uid,
        reason=line.reason,
        message=remedies.sentence(line, pod_name),
    )


def _name(pod_name: str) -> str:
    return f"pod {pod_name.rpartition('/')[2]}"


def _members(decision: Decision, patch: bytes, pod_name: str) -> Json:
    members: Json = {"allowed": decision.verdict is not PodVerdict.REFUSED}
    if decision.verdict is PodVerdict.REFUSED:
        members["status"] = {"code": admission_review.UNPROCESSABLE, "message": decision.message}
    elif patch:
        members["patchType"] = "JSONPatch"
        members["patch"] = base64.b64encode(patch).decode()
    if found := warnings(decision, pod_name):
        members["warnings"] = found
    if audit_annotations := _audit_annotations(decision):
        members["auditAnnotations"] = audit_annotations
    return members


def warnings(decision: Decision, pod_name: str) -> list[str]:
    """What the author should act on: few and short, as the API server cuts long ones.

    The name is that of the pod, or of the workload that makes it.
    """
    lines = decision.skipped
    if decision.verdict is PodVerdict.REFUSED:
        lines = [line for line in decision.evaluated if line.verdict is Verdict.REFUSED][:1]
    left_out = [
        f"{line.injection.reference}: left out: {', '.join(paths)}"
        for line in decision.evaluated
        if line.would is None and (paths := line.details.get(LEFT_OUT))
    ]
    room = MAX_WARNING_LENGTH - len(_PREFIX)
    sentences = [remedies.sentence(line, pod_name, characters=room) for line in lines]
    corrections = [correction(finding) for finding in decision.annotation_findings]
    others = [shortened(_PREFIX + sentence) for sentence in (*sentences, *left_out)[:MAX_WARNINGS]]
    return [*corrections, *others][:MAX_WARNINGS]


def correction(finding: near_misses.NearMiss) -> str:
    """The warning about a mistake, in which nothing but the mistake itself is cut."""
    prefix = f"{_PREFIX}{finding.reason.value}: "
    return shortened(prefix + finding.fitting(MAX_CORRECTION_LENGTH - len(prefix)))


def shortened(text: str) -> str:
    """A warning that is not too long."""
    return text if len(text) <= MAX_WARNING_LENGTH else f"{text[: MAX_WARNING_LENGTH - 1]}…"


def _audit_annotations(decision: Decision) -> dict[str, str]:
    """What the API server's audit log keeps of a decision."""
    skipped = [f"{line.injection.reference}={line.reason.value}" for line in decision.skipped]
    injected = [line.injection.reference for line in decision.injected]
    annotations = {
        "injected": ",".join(injected),
        "skipped": ",".join(skipped),
        "dryRun": ",".join(decision.dry_runs),
    }
    return {key: value for key, value in annotations.items() if value}
