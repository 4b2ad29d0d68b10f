"""The validating webhook for our own kinds: refuses an injection that could never be applied.

The refusal is the sentence that the status of the injection would have. An injection that can be
applied is admitted, with warnings about what its author should look at.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import orjson

from sidecar_injector import crds, names
from sidecar_injector.core.injections import model
from sidecar_injector.core.linting import validate
from sidecar_injector.httpserver import messages
from sidecar_injector.observability import logs
from sidecar_injector.webhook import admission_review

Json = dict[str, Any]
Respond = Callable[[Json], Json]
"""From an admission request to its response."""
CompetingInjections = Callable[[str | None], Sequence[model.Injection]]
"""The injections that may meet one of this namespace (None: of the cluster) on a pod."""

UNCHECKED: Final = f"{names.PRODUCT}: this injection could not be checked; see its status"
KOPF_SECONDS = 2.0
"""How long to wait for Kopf. The rest of the API server's five seconds is enough without it."""

_log = logging.getLogger(__name__)


class Refused(Exception):
    """The injection has errors; the text names every field."""


def warnings_about(resource: Json, *, kind: str, competing: CompetingInjections) -> list[str]:
    """The warnings about an injection. Raises Refused if it has errors.

    An injection that is being deleted is admitted: its last update must not be held up. One that
    we fail to check is admitted too, with a warning.
    """
    if (resource.get("metadata") or {}).get("deletionTimestamp"):
        return []
    try:
        injection = model.read({**resource, "kind": kind}, spec_schema=crds.spec_schema(kind))
        findings = validate.validate(injection, others=competing(injection.namespace))
        errors, warnings = "; ".join(map(str, findings.errors)), findings.short_warnings()
    except Exception as error:  # noqa: BLE001 - our own bug must not refuse an injection
        message = "cannot judge an injection, it is admitted unjudged"
        _log.exception("%s", message, exc_info=logs.unquoted(error))
        return [UNCHECKED]
    if errors:
        raise Refused(errors)
    return warnings


def response_without_kopf(admission_request: Json, *, competing: CompetingInjections) -> Json:
    """The response to a request that Kopf does not dispatch.

    Kopf looks up which resources the API server serves when a CRD changes, which is before the
    resource is served. After a CRD was recreated Kopf may not know it until the next change.
    https://github.com/nolar/kopf/blob/main/kopf/_core/reactor/observation.py
    """
    response: Json = {"uid": admission_request["uid"], "allowed": True}
    kind = admission_request["kind"]["kind"]
    try:
        response["warnings"] = warnings_about(
            admission_request["object"], kind=kind, competing=competing
        )
    except Refused as error:
        response |= {
            "allowed": False,
            "status": {"code": admission_review.UNPROCESSABLE, "message": str(error)},
        }
    return response


def handler(dispatch: Callable[..., Awaitable[Any]], without_kopf: Respond) -> messages.Handler:
    """The handler of `/validate`: Kopf's handlers decide, or `without_kopf` if Kopf cannot.

    If both fail, the injection is admitted; its status says `Accepted=False` if it has errors.
    """
    # To validate an injection takes some milliseconds. When many are applied at once, pods are
    # answered after each of them, also when Kopf's time is over for all of them at the same moment.
    kopf_turn, direct_turn = asyncio.Lock(), asyncio.Lock()

    async def validate_injection(request: messages.Request) -> messages.Response:
        try:
            version, admission_request = await _read(request.body)
        except admission_review.InvalidReview as error:
            return messages.text(400, f"no AdmissionReview: {error}")
        if not admission_review.is_injection(admission_request):
            return messages.text(400, "no AdmissionReview of an injection")
        review = {"apiVersion": version, "kind": "AdmissionReview", "request": admission_request}
        try:
            async with asyncio.timeout(KOPF_SECONDS), kopf_turn:
                answer = await dispatch(review, webhook=names.VALIDATE_HANDLER)
                await asyncio.sleep(0)  # Nothing in `dispatch` waits: let others run.
        except Exception as error:  # noqa: BLE001 - the boundary of Kopf
            _log_without_kopf(error)
            async with direct_turn:
                response = without_kopf(admission_request)
                await asyncio.sleep(0)
            answer = {"apiVersion": version, "kind": "AdmissionReview", "response": response}
        return messages.Response(200, orjson.dumps(answer))

    return validate_injection


def _log_without_kopf(error: Exception) -> None:
    if isinstance(error, TimeoutError):
        why = f"not within {KOPF_SECONDS:g} s (TimeoutError); many may have been applied at once"
    else:
        why = type(error).__name__  # Its text may repeat a value of the injection.
    _log.warning("Kopf cannot dispatch an injection, it is judged directly: %s", why)


async def _read(body: bytes) -> admission_review.Review:
    if len(body) <= admission_review.MAX_BLOCKING_BYTES:
        return admission_review.read(body)
    return await asyncio.to_thread(admission_review.read, body)
