"""Kopf's settings, and a filter for the lines that it repeats in the log."""

from __future__ import annotations

import itertools
import logging
import re
from collections.abc import Iterator
from typing import Any

import kopf

from sidecar_injector.runtime import kopf_login
from sidecar_injector.webhook.server import AdmissionServer

REPEAT_SECONDS = 600.0
ATTEMPT = re.compile(r"Request attempt #\d+ failed; ")


class EndlessBackoffs:
    """Pauses between attempts in seconds, without end: when they run out, Kopf exits.

    https://github.com/nolar/kopf/blob/main/kopf/_cogs/clients/api.py
    """

    def __iter__(self) -> Iterator[float]:
        return itertools.chain((1, 1, 2, 3, 5, 8), itertools.repeat(10))


class RepetitionFilter(logging.Filter):
    """Drops the ERROR lines that Kopf writes for further attempts at the same request.

    One line in `REPEAT_SECONDS` passes. Kopf logs the attempts as text, without a class or number:
    https://github.com/nolar/kopf/blob/main/kopf/_cogs/clients/api.py
    """

    def __init__(self) -> None:
        super().__init__()
        self._logged_at: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is not a repetition."""
        attempt = ATTEMPT.match(text := record.getMessage())
        if attempt is None:
            return True
        problem, now = text[attempt.end() :], record.created
        if now - self._logged_at.get(problem, float("-inf")) < REPEAT_SECONDS:
            return False
        recent = {key: at for key, at in self._logged_at.items() if now - at < REPEAT_SECONDS}
        self._logged_at = {**recent, problem: now}
        return True


def register(
    handlers: kopf.OperatorRegistry, *, login_handler: kopf_login.Login, server: AdmissionServer
) -> None:
    """Make Kopf use our credentials and host our admission server."""

    # Kopf runs a handler in a thread unless it is a coroutine function, as this bound method is.
    kopf.on.login(registry=handlers, id="login")(login_handler.renew)

    @kopf.on.startup(registry=handlers, id="settings")
    async def configure(settings: kopf.OperatorSettings, **_: Any) -> None:
        settings.admission.server = server
        # Kopf does not manage the webhook configurations: it removes the webhooks when it ends,
        # and other replicas still need them. https://docs.kopf.dev/en/stable/admission/
        settings.admission.managed = None
        settings.posting.enabled = False
        settings.networking.error_backoffs = EndlessBackoffs()
        settings.networking.request_timeout = 30
        settings.networking.connect_timeout = 10
        settings.watching.server_timeout = 300
        settings.watching.client_timeout = 330
        settings.watching.connect_timeout = 10
