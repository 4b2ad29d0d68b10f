"""Kopf's handlers for the validating webhook; `webhook.validate` has judged before.

They run on the event loop, in the context of the review that is dispatched.
"""

from __future__ import annotations

import logging
from typing import Any

import kopf

from sidecar_injector import names
from sidecar_injector.kube import api
from sidecar_injector.webhook import admission_review, validate


def register(handlers: kopf.OperatorRegistry) -> None:
    """Make Kopf answer `/validate` for both kinds."""
    for resource in api.OWN_KINDS.values():

        @kopf.on.validate(
            names.GROUP,
            names.VERSION,
            resource.plural,
            id=names.VALIDATE_HANDLER,
            operations=["CREATE", "UPDATE"],
            registry=handlers,
        )
        async def validate_injection(warnings: list[str], **_: Any) -> None:
            verdict = validate.current_verdict.get()
            if verdict.refusal:
                raise kopf.AdmissionError(verdict.refusal, code=admission_review.UNPROCESSABLE)
            warnings += verdict.warnings


class RefusalFilter(logging.Filter):
    """Drops the ERROR line that Kopf writes for each refusal: `webhook.validate` logs it.

    Kopf logs it as text, without the exception:
    https://github.com/nolar/kopf/blob/main/kopf/_core/actions/execution.py
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is not about a refusal."""
        return not record.getMessage().startswith(
            f"Webhook {names.VALIDATE_HANDLER!r} failed permanently"
        )
