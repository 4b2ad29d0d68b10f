"""Refuses injections that could never be applied, with the sentence that the status would carry."""

from __future__ import annotations

import logging
from typing import Any

import kopf

from sidecar_injector import crds, names
from sidecar_injector.core import model
from sidecar_injector.handlers import status

UNPROCESSABLE = 422


def register(handlers: kopf.OperatorRegistry) -> None:
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
        async def validate(body: kopf.Body, *, kind: str = kind, **_: Any) -> None:
            refuse_invalid(dict(body), kind=kind)


def refuse_invalid(resource: dict[str, Any], *, kind: str) -> None:
    """Raises AdmissionError, naming every field, for an injection that has errors.

    One that is being deleted is let through: its last update must not be held up.
    """
    if (resource.get("metadata") or {}).get("deletionTimestamp"):
        return
    injection = model.read({**resource, "kind": kind}, spec_schema=crds.spec_schema(kind))
    if injection.errors:
        sentences = "; ".join(f"{path} {sentence}" for path, sentence in injection.errors)
        raise kopf.AdmissionError(sentences, code=UNPROCESSABLE)


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
