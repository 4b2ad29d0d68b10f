"""What LimitRanges and ResourceQuotas forbid in a pod."""

from __future__ import annotations

from typing import NamedTuple

from sidecar_injector.core.reasons import Reason


class Violation(NamedTuple):
    """One rule of one object that a pod does not keep."""

    reason: Reason
    source: str
    """The name of the object."""
    rule: str
    """What is limited, and of which container: equal for two pods that break the same rule."""
    detail: str
    resource: str = ""
    """The name in the quota whose amount is exceeded; empty for other rules."""
