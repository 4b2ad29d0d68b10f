"""What checks work on, and what they return."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING

from sidecar_injector.cli.cluster import injections as cluster_injections
from sidecar_injector.cli.cluster import release

if TYPE_CHECKING:
    from sidecar_injector.cli.cluster import http_client

OK, WARNING, FAILED = "ok", "warning", "failed"
UNKNOWN = "unknown"
"""The user may not look."""


@dataclasses.dataclass(frozen=True, slots=True)
class CheckResult:
    """One line of the result."""

    check: str
    """What was checked, in a word or two."""
    level: str
    message: str
    remedy: str = ""
    """What to do about it; empty for OK."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CheckContext:
    """What checks work on."""

    client: http_client.InteractiveClient
    now: datetime.datetime
    namespace: str | None
    """Where the dry-run pod is created; None: in the first enabled one."""
    release: release.Release | None = None
    """None where it could not be found, which is a result of its own; so for `injections`."""
    injections: cluster_injections.ReadInjections | None = None


Check = Callable[[CheckContext], AsyncIterator[CheckResult]]
