"""Why an injection cannot be added to a pod."""

from __future__ import annotations

from sidecar_injector.core.reasons import Reason


class Conflict(Exception):
    """An injection's parts cannot be added, so none of them is."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason.value}: {detail}")
        self.reason = reason
        self.detail = detail
