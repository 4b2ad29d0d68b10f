"""The cluster itself: its version, and the fields that it keeps."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence

from sidecar_injector.cli.checks.finding import FAILED, OK, WARNING, CheckContext, CheckResult
from sidecar_injector.core.validity import releases

OLDEST = (1, releases.OLDEST)
"""From this version native sidecars, matchConditions and CRD validation rules are enabled."""
MAX_NAMED = 5
SUPPORTED = f"upgrade the cluster: {OLDEST[0]}.{OLDEST[1]} is the oldest supported version"


async def version(context: CheckContext) -> AsyncIterator[CheckResult]:
    """Whether this Kubernetes is new enough."""
    text = str((await context.client.document("/version")).get("gitVersion"))
    number = re.match(r"v(\d+)\.(\d+)", text)
    if number is None:
        yield CheckResult("cluster", WARNING, f"cannot read its version {text!r}", SUPPORTED)
    elif tuple(map(int, number.groups())) < OLDEST:
        yield CheckResult("cluster", FAILED, f"Kubernetes {text} is too old", SUPPORTED)
    else:
        yield CheckResult("cluster", OK, f"Kubernetes {text}")


async def acceptable_fields(context: CheckContext) -> AsyncIterator[CheckResult]:
    """What the newest release takes from a template and this one does not."""
    minor = await _minor(context)
    dropped, refused = releases.lacking(minor)
    for verb, parts in (("drops", dropped), ("refuses", refused)):
        if parts:
            yield CheckResult(
                "fields", WARNING, f"Kubernetes 1.{minor} {verb} {_some(parts)}",
                "leave them out of templates, or upgrade the cluster",
            )  # fmt: skip
    if not dropped and not refused:
        yield CheckResult("fields", OK, f"Kubernetes 1.{minor} lacks nothing that a template has")


async def used_fields(context: CheckContext) -> AsyncIterator[CheckResult]:
    """Whether the cluster keeps every field that the injections use."""
    if context.injections is None or not context.injections.injections:
        return
    minor = await _minor(context)
    count = 0
    for live in context.injections.injections:
        if paths := list(releases.dropped(live.injection.spec, minor=minor)):
            count += 1
            yield CheckResult(
                "fields", WARNING,
                f"{live.injection.reference}: Kubernetes 1.{minor} drops {_some(paths)}, unless a"
                " feature gate is on",
                "leave them out: pods come without them",
            )  # fmt: skip
    if not count:
        yield CheckResult("fields", OK, f"Kubernetes 1.{minor} keeps every field that they use")


async def _minor(context: CheckContext) -> int:
    version = str((await context.client.document("/version")).get("gitVersion"))
    return releases.in_table(releases.minor_of(version))


def _some(paths: Sequence[str]) -> str:
    more = f" and {len(paths) - MAX_NAMED} more" if len(paths) > MAX_NAMED else ""
    return ", ".join(paths[:MAX_NAMED]) + more
