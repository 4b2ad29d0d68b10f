"""Kopf's handlers for the validating webhook; `webhook.validate` decides."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import kopf

from sidecar_injector import names
from sidecar_injector.kube import api
from sidecar_injector.webhook import admission_review, validate


def register(handlers: kopf.OperatorRegistry, *, competing: validate.CompetingInjections) -> None:
    """Make Kopf answer `/validate` for both kinds."""
    for kind, resource in api.OWN_KINDS.items():

        @kopf.on.validate(
            names.GROUP,
            names.VERSION,
            resource.plural,
            id=names.VALIDATE_HANDLER,
            operations=["CREATE", "UPDATE"],
            registry=handlers,
        )
        async def validate_injection(
            body: kopf.Body, warnings: list[str], *, kind: str = kind, **_: Any
        ) -> None:
            # Kopf has held the event loop for some milliseconds, and the validation takes as long:
            # requests about pods are answered in between.
            await asyncio.sleep(0)
            try:
                warnings += validate.warnings_about(dict(body), kind=kind, competing=competing)
            except validate.Refused as error:
                raise kopf.AdmissionError(
                    str(error), code=admission_review.UNPROCESSABLE
                ) from error


class RefusalFilter(logging.Filter):
    """Drops the ERROR line that Kopf writes for each refusal: the user has the answer.

    Kopf logs it as text, without the exception:
    https://github.com/nolar/kopf/blob/main/kopf/_core/actions/execution.py
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is not about a refusal."""
        return not record.getMessage().startswith(
            f"Handler {names.VALIDATE_HANDLER!r} failed permanently"
        )
