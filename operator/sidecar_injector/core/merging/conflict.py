"""The one way in which fitting an injection fails."""

from __future__ import annotations

from sidecar_injector.core.reasons import Reason


class Conflict(Exception):
    """Why an injection's parts cannot be added: nothing of it is, then."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason.value}: {detail}")
        self.reason = reason
        self.detail = detail
