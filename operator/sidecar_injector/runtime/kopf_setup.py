"""Kopf's settings, and the filter for what it repeats in the log."""

from __future__ import annotations

import itertools
import logging
import re
from collections.abc import Iterator
from typing import Any

import kopf

from sidecar_injector.runtime import kopf_login
from sidecar_injector.webhook.server import AdmissionServer

SAID_SECONDS = 600.0
ATTEMPT = re.compile(r"Request attempt #\d+ failed; ")


class EndlessBackoffs:
    """Seconds between attempts, without end: Kopf gives up, and exits, when they run out."""

    def __iter__(self) -> Iterator[float]:
        return itertools.chain((1, 1, 2, 3, 5, 8), itertools.repeat(10))


class RepetitionFilter(logging.Filter):
    """Drops Kopf's ERROR line for a further attempt at the same request: the first has said it.

    After `SAID_SECONDS` it is said again. Kopf logs these as text only:
    https://github.com/nolar/kopf/blob/main/kopf/_cogs/clients/api.py
    """

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is about something else, or news."""
        found = ATTEMPT.match(text := record.getMessage())
        if found is None:
            return True
        problem, now = text[found.end() :], record.created
        if now - self._said.get(problem, float("-inf")) < SAID_SECONDS:
            return False
        fresh = {key: said for key, said in self._said.items() if now - said < SAID_SECONDS}
        self._said = {**fresh, problem: now}
        return True


def register(
    handlers: kopf.OperatorRegistry, *, login_handler: kopf_login.Login, server: AdmissionServer
) -> None:
    """Have Kopf log in as we do, and host our admission server."""

    # The bound method: Kopf would run an object that is merely callable in a thread.
    kopf.on.login(registry=handlers, id="login")(login_handler.renew)

    @kopf.on.startup(registry=handlers, id="settings")
    async def configure(settings: kopf.OperatorSettings, **_: Any) -> None:
        settings.admission.server = server
        # Kopf's own management of the configurations is not used: any replica's exit would strip
        # the webhooks of all. https://docs.kopf.dev/en/stable/admission/
        settings.admission.managed = None
        settings.posting.enabled = False
        settings.networking.error_backoffs = EndlessBackoffs()
        settings.networking.request_timeout = 30
        settings.networking.connect_timeout = 10
        settings.watching.server_timeout = 300
        settings.watching.client_timeout = 330
        settings.watching.connect_timeout = 10
