"""What a check found."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import AsyncIterator, Callable

from sidecar_injector.cli.cluster import client, release
from sidecar_injector.cli.cluster import injections as cluster_injections

OK, WARNING, FAILED = "ok", "warning", "failed"


@dataclasses.dataclass(frozen=True, slots=True)
class CheckResult:
    """One line of the answer."""

    check: str
    """What was looked at, in a word or two."""
    level: str
    message: str
    remedy: str = ""
    """What to do about it; empty where all is well."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What checks look at. What is None could not be found, which was told already."""

    asked: client.Cluster
    now: datetime.datetime
    namespace: str | None
    """Where the dry-run pod goes; None: into the first enabled one."""
    release: release.Release | None = None
    known: cluster_injections.ReadInjections | None = None


Check = Callable[[Scene], AsyncIterator[CheckResult]]
