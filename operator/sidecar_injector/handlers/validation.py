"""Refuses injections that could never be applied, with the sentence that the status would carry.

One that can be applied is let in, with warnings about what its author should look at.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any

import kopf

from sidecar_injector import crds, names
from sidecar_injector.core import model, validate
from sidecar_injector.handlers import status

UNPROCESSABLE = 422
UNJUDGED = f"{names.PRODUCT}: this injection could not be checked; see its status"

_log = logging.getLogger(__name__)

Rivals = Callable[[str | None], Sequence[model.Injection]]
"""The injections that may meet one of this namespace (None: of the cluster) on a pod."""


def register(handlers: kopf.OperatorRegistry, *, rivals: Rivals) -> None:
    """Have Kopf answer `/validate` for both kinds."""
    for kind, resource in status.RESOURCES.items():

        @kopf.on.validate(
            names.GROUP,
            names.VERSION,
            resource.plural,
            id=names.VALIDATE_HANDLER,
            operations=["CREATE", "UPDATE"],
            registry=handlers,
        )
        async def judge(
            body: kopf.Body, warnings: list[str], *, kind: str = kind, **_: Any
        ) -> None:
            # Kopf has taken some milliseconds by now, and the judgement will: pods go between them.
            await asyncio.sleep(0)
            warnings += judged(dict(body), kind=kind, rivals=rivals)


def judged(resource: dict[str, Any], *, kind: str, rivals: Rivals) -> list[str]:
    """The warnings about an injection; AdmissionError, naming every field, if it has errors.

    One that is being deleted is let through: its last update must not be held up. So is one that we
    fail to judge, with a warning.
    """
    if (resource.get("metadata") or {}).get("deletionTimestamp"):
        return []
    try:
        injection = model.read({**resource, "kind": kind}, spec_schema=crds.spec_schema(kind))
        findings = validate.validate(injection, others=rivals(injection.namespace))
    except Exception:  # noqa: BLE001 - the boundary to Kopf, which refuses for whatever is raised
        _log.exception("cannot judge an injection, it is admitted unjudged")
        return [UNJUDGED]
    if findings.errors:
        sentences = "; ".join(validate.sentence(one) for one in findings.errors)
        raise kopf.AdmissionError(sentences, code=UNPROCESSABLE)
    return findings.told()


def directly(asked: dict[str, Any], *, rivals: Rivals) -> dict[str, Any]:
    """The response to an admission request that Kopf cannot dispatch.

    Kopf looks up what the API server serves when a CRD changes, which is before it is served: of a
    CRD that was made anew it may go on knowing nothing.
    https://github.com/nolar/kopf/blob/main/kopf/_core/reactor/observation.py
    """
    response: dict[str, Any] = {"uid": asked["uid"], "allowed": True}
    try:
        response["warnings"] = judged(asked["object"], kind=asked["kind"]["kind"], rivals=rivals)
    except kopf.AdmissionError as error:
        response |= {"allowed": False, "status": {"code": error.code, "message": str(error)}}
    return response


class RefusalFilter(logging.Filter):
    """Drops Kopf's ERROR line for each refusal: it is the user's error and the user was told.

    Kopf logs it as text only, without the exception:
    https://github.com/nolar/kopf/blob/main/kopf/_core/actions/execution.py
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is about something else."""
        return not record.getMessage().startswith(
            f"Handler {names.VALIDATE_HANDLER!r} failed permanently"
        )
