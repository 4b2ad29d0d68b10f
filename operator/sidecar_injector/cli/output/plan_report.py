"""A plan for people, the answer first, and for programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from sidecar_injector import names
from sidecar_injector.cli import planned
from sidecar_injector.cli.output import report, tables
from sidecar_injector.core import capacity, impact, remedies
from sidecar_injector.core.impact import Effect
from sidecar_injector.core.injections import model

COLUMNS: Final = ("EFFECT", "ON", "WORKLOADS", "PODS", "WHICH")
REQUESTS: Final = ("NAMESPACE", "CPU", "MEMORY")
VERBS: Final = {
    Effect.GAINS: ("gains {}", "gain {}"),
    Effect.LOSES: ("loses {}", "lose {}"),
    Effect.CHANGES: ("gets a changed {}", "get a changed {}"),
    Effect.NO_LONGER_FITS: ("no longer fits {}", "no longer fit {}"),
    Effect.DOES_NOT_FIT: ("does not fit {}", "do not fit {}"),
    Effect.REFUSED: ("would be refused for {}", "would be refused for {}"),
}
"""In the order of the headline, of one workload and of several."""
QUOTA, METRIC = "quota exceeded", "metric lost"
STYLES: Final = {
    **{effect.value: tables.BAD for effect in Effect if effect.is_breaking},
    QUOTA: tables.BAD, METRIC: tables.BAD,
    Effect.LOSES.value: tables.NEUTRAL, Effect.CHANGES.value: tables.NEUTRAL,
    Effect.GAINS.value: tables.GOOD,
}  # fmt: skip
MOST_GROUPS: Final = 20
"""Rows of a table; programs get everything."""
MORE_ROOM: Final = remedies.Remedy(
    "raise spec.hard of the ResourceQuota, or let the injection request less"
)
WITH_REQUESTS: Final = remedies.Remedy(
    "set the request in the injection, or use a metric of type ContainerResource"
)
Group = tuple[impact.InjectionEffect, list[capacity.Owner]]
"""An effect of the first owner, and all to which the same happens."""


def groups(plan: planned.Plan) -> list[Group]:
    """What happens, by effect, injection and reason; what breaks comes first."""
    order = list(Effect)
    result: dict[tuple[int, str, str], Group] = {}
    for owner, changed in sorted(plan.impact.changed.items()):
        for each in changed.effects:
            reason = each.line.reason.value if each.line else ""
            key = order.index(each.effect), each.reference, reason
            result.setdefault(key, (each, []))[1].append(owner)
    return [result[key] for key in sorted(result)]


def headline(plan: planned.Plan) -> str:
    """The answer in a line."""
    pods, parts = plan.impact.pods, list[str]()
    grouped = groups(plan)
    for effect, verbs in VERBS.items():
        members = [group for group in grouped if group[0].effect is effect]
        references = report.few(list(dict.fromkeys(each.reference for each, _ in members)))
        owners = {owner for _, of_group in members for owner in of_group}
        if owners:
            count = _counted(owners, pods) if not parts else str(len(owners))
            parts.append(f"{count} {verbs[len(owners) > 1].format(references)}")
    for excess in plan.excesses():
        quota = excess.quota
        unit = "memory" if excess.resource.endswith("memory") else "CPU"
        by = capacity.text(excess.resource, excess.missing)
        parts.append(f"quota {quota.namespace}/{quota.name} would be exceeded by {by} {unit}")
    for lost in plan.impact.lost_metrics:
        scaler = lost.autoscaler
        parts.append(
            f"HorizontalPodAutoscaler {scaler.target.namespace}/{scaler.name} loses its metric"
            f" {lost.resource}"
        )
    same = pods.keys() - plan.impact.changed.keys()
    if not parts:
        parts.append(f"nothing changes for {_counted(same, pods)}")
    elif same:
        parts.append(f"{len(same)} unchanged")
    return ("of what you may see: " if plan.unseen else "") + report.few(parts, separator="; ")


def _counted(owners: Any, pods: Any) -> str:
    number, total = len(owners), sum(pods[owner] for owner in owners)
    plurals = ["" if each == 1 else "s" for each in (number, total)]
    return f"{number} workload{plurals[0]} ({total} pod{plurals[1]})"


def write(plan: planned.Plan) -> None:
    """The plan for people."""
    console = tables.console()
    for injection, problem in plan.refused:
        tables.heading(f"{_name(injection)} would be refused: {problem}", to=console)
        tables.write(f"{tables.remedy(f'see {names.PRODUCT} lint; it counts as not applied')}\n")
    tables.heading(headline(plan), to=console)
    if rows := [*_breaking_rows(plan), *_rows(plan)]:
        tables.table(COLUMNS, rows, styles=STYLES, to=console)
    if added := _requests(plan):
        tables.write("\n")
        tables.table(REQUESTS, added, styles={}, to=console)
    if plan.impact.changed and not plan.is_of_files:
        text = f"running pods stay as they are; after the change: {names.PRODUCT} restart --dry-run"
        tables.write(f"{tables.remedy(text)}\n")


def _breaking_rows(plan: planned.Plan) -> Iterator[tables.Row | str]:
    """What is not about one injection."""
    for excess in list(plan.excesses())[:MOST_GROUPS]:
        hard, used, added, missing = (
            capacity.text(excess.resource, amount)
            for amount in (excess.hard, excess.used, excess.added, excess.missing)
        )
        text = f"{excess.resource}: {used} of {hard} used, {added} more: {missing} too much"
        yield QUOTA, f"{excess.quota.namespace}/{excess.quota.name}", "", "", text
        yield tables.remedy(MORE_ROOM)
    for lost in plan.impact.lost_metrics[:MOST_GROUPS]:
        scaler = lost.autoscaler
        text = f"{scaler.target}: container {lost.container} has no request of {lost.resource}"
        yield METRIC, f"{scaler.target.namespace}/{scaler.name}", "", "", text
        yield tables.remedy(WITH_REQUESTS)


def _rows(plan: planned.Plan) -> Iterator[tables.Row | str]:
    grouped = groups(plan)
    for each, owners in grouped[:MOST_GROUPS]:
        which = report.few(list(map(str, owners)))
        if each.line:
            which = f"{which}: {each.line.reason.value}: {each.line.message}"
        pods = sum(plan.impact.pods[owner] for owner in owners)
        yield each.effect.value, each.reference, str(len(owners)), str(pods), which
        if each.line:
            yield tables.remedy(_remedy(plan, owners[0], each))
    if len(grouped) > MOST_GROUPS:
        yield f"and {len(grouped) - MOST_GROUPS} more: -o json"


def _remedy(
    plan: planned.Plan, owner: capacity.Owner, each: impact.InjectionEffect
) -> remedies.Remedy:
    if each.line is None:
        return remedies.Remedy("")
    subject = remedies.Subject(
        namespace=owner.namespace, kind=owner.kind, name=owner.name, is_file=plan.is_of_files
    )
    return remedies.of(each.line.reason, subject, each.line.injection)


def _requests(plan: planned.Plan) -> Sequence[tables.Row]:
    """What pods request more, or less, in the namespaces where it is most."""
    rows = [
        (namespace, *(_signed(name, amounts) for name in ("requests.cpu", "requests.memory")))
        for namespace, amounts in sorted(
            plan.impact.added().items(),
            key=lambda item: -abs(item[1].get("requests.cpu", capacity.NOTHING)),
        )
    ]
    return [row for row in rows[:MOST_GROUPS] if any(row[1:])]


def _signed(name: str, amounts: capacity.Amounts) -> str:
    amount = amounts.get(name, capacity.NOTHING)
    return f"{'+' if amount > 0 else ''}{capacity.text(name, amount)}" if amount else ""


def _name(injection: model.Injection) -> str:
    place = f"{injection.namespace}/" if injection.namespace else ""
    return f"{place}{injection.kind}/{injection.name}"


def as_json(plan: planned.Plan) -> dict[str, Any]:
    """For programs; its shape is stable."""
    pods, changed = plan.impact.pods, plan.impact.changed
    return {
        "message": headline(plan),
        "complete": not plan.unseen,
        "counts": {
            "workloads": len(pods), "pods": sum(pods.values()),
            "unchanged": len(pods) - len(changed),
        },
        "refusedInjections": [
            {"kind": injection.kind, "namespace": injection.namespace or "",
             "name": injection.name, "field": problem.path, "message": problem.sentence}
            for injection, problem in plan.refused
        ],
        "workloads": [
            {
                "namespace": owner.namespace, "kind": owner.kind, "name": owner.name,
                "pods": pods[owner],
                "injections": [_effect(plan, owner, each) for each in each_impact.effects],
                "added": _amounts(each_impact.added),
            }
            for owner, each_impact in sorted(changed.items())
        ],
        "added": {name: _amounts(amounts) for name, amounts in plan.impact.added().items()},
        "quotas": [
            {
                "namespace": excess.quota.namespace, "name": excess.quota.name,
                "resource": excess.resource,
                **{field: capacity.text(excess.resource, getattr(excess, field))
                   for field in ("hard", "used", "added", "missing")},
                "remedy": MORE_ROOM.text,
            }
            for excess in plan.excesses()
        ],
        "autoscalers": [
            {
                "namespace": lost.autoscaler.target.namespace, "name": lost.autoscaler.name,
                "kind": lost.autoscaler.target.kind, "workload": lost.autoscaler.target.name,
                "resource": lost.resource, "container": lost.container,
                "remedy": WITH_REQUESTS.text,
            }
            for lost in plan.impact.lost_metrics
        ],
        "notes": list(dict.fromkeys((*plan.unseen, *plan.notes))),
    }  # fmt: skip


def _effect(
    plan: planned.Plan, owner: capacity.Owner, each: impact.InjectionEffect
) -> dict[str, str]:
    remedy = _remedy(plan, owner, each)
    return {
        "name": each.reference,
        "effect": each.effect.value,
        "reason": each.line.reason.value if each.line else "",
        "message": each.line.message if each.line else "",
        "remedy": remedy.text,
        "command": remedy.command,
    }


def _amounts(amounts: capacity.Amounts) -> dict[str, str]:
    return {name: capacity.text(name, amount) for name, amount in amounts.items() if amount}
