"""What became of injections that are compiled, for people and for programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from sidecar_injector.cli.cluster import policies
from sidecar_injector.cli.output import tables
from sidecar_injector.core.injections import model
from sidecar_injector.core.policies import chain

COLUMNS: Final = ("OBJECT", "STATE", "WHY")
STYLES: Final = {policies.SAME: tables.GOOD} | dict.fromkeys(
    (policies.ABSENT, policies.EDITED, policies.STALE, policies.UNNEEDED), tables.BAD
)


def write(states: Sequence[policies.State], remedies: Sequence[str]) -> None:
    """The comparison with a cluster."""
    console = tables.console()
    rows = [(str(each), each.state, each.message) for each in states]
    if rows:
        lines = [*rows, *map(tables.remedy, remedies)]
        tables.table(COLUMNS, lines, styles=STYLES, to=console)
    else:
        tables.heading("nothing is compiled, and the cluster has no policy", to=console)


def sentences(result: chain.Chain) -> Iterator[str]:
    """What is left to the webhook, and what the guard does not hold."""
    for left in result.left:
        consequence = "a cluster refuses it" if left.injection.errors else "the webhook does it"
        yield f"{_name(left.injection)}: {left.path}: {left.why}: {consequence}"
    for left in result.unguarded:
        yield f"{_name(left.injection)}: {left.path}: {left.why}: the guard does not hold it"


def _name(injection: model.Injection) -> str:
    place = f"{injection.namespace}/" if injection.namespace else ""
    return f"{injection.kind} {place}{injection.name}"


def as_json(
    result: chain.Chain,
    manifests: Sequence[dict[str, Any]],
    states: Sequence[policies.State] | None,
    remedies: Sequence[str],
) -> dict[str, Any]:
    """For programs; its shape is stable. `states` is None if nothing was compared."""
    answer: dict[str, Any] = {
        "manifests": manifests,
        "compiled": [_identity(injection) for injection in result.compiled],
    }
    for key, lefts in (("left", result.left), ("unguarded", result.unguarded)):
        answer[key] = [
            {**_identity(each.injection), "field": each.path, "message": each.why} for each in lefts
        ]
    if states is not None:
        answer["objects"] = [
            {"kind": each.resource.kind, "name": each.name, "state": each.state,
             "message": each.message}
            for each in states
        ]  # fmt: skip
        answer["remedies"] = list(remedies)
    return answer


def _identity(injection: model.Injection) -> dict[str, str]:
    place = injection.namespace or ""
    return {"kind": injection.kind, "namespace": place, "name": injection.name}
