"""A plan for people, the answer first, and for programs."""

from __future__ import annotations

import decimal
import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final

from sidecar_injector import names
from sidecar_injector.cli import planned
from sidecar_injector.cli.output import report, tables
from sidecar_injector.core import autoscalers, impact, remedies
from sidecar_injector.core.impact import Effect
from sidecar_injector.core.injections import model
from sidecar_injector.core.pods import amounts, quantity
from sidecar_injector.core.reasons import Reason

COLUMNS: Final = ("EFFECT", "WHAT", "WORKLOADS", "PODS", "WHICH")
REQUESTS: Final = ("NAMESPACE", "CPU", "MEMORY")
REQUESTED: Final = ("requests.cpu", "requests.memory")
VERBS: Final = {
    Effect.GAINS: ("gains {}", "gain {}"),
    Effect.LOSES: ("loses {}", "lose {}"),
    Effect.CHANGES: ("gets a changed {}", "get a changed {}"),
    Effect.NO_LONGER_FITS: ("no longer fits {}", "no longer fit {}"),
    Effect.DOES_NOT_FIT: ("does not fit {}", "do not fit {}"),
    Effect.REFUSED: ("would be refused for {}", "would be refused for {}"),
    Effect.DRY_RUN: ("has a dry run of {}", "have a dry run of {}"),
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
Group = tuple[impact.InjectionEffect, list[impact.Target]]
"""An effect on the first of them, and all to which the same happens."""


def groups(plan: planned.Plan) -> list[Group]:
    """What happens, by effect, injection and reason; what breaks comes first."""
    order = list(Effect)
    result: dict[tuple[int, str, str], Group] = {}
    for target, changed in sorted(plan.impact.changed.items(), key=lambda item: str(item[0])):
        for each in changed.effects:
            reason = (each.line.would or each.line.reason).value if each.line else ""
            key = order.index(each.effect), each.reference, reason
            result.setdefault(key, (each, []))[1].append(target)
    return [result[key] for key in sorted(result)]


def headline(plan: planned.Plan) -> str:
    """The answer in a line."""
    pods, parts = plan.impact.pods, list[str]()
    grouped = groups(plan)
    for effect, verbs in VERBS.items():
        members = [group for group in grouped if group[0].effect is effect]
        references = report.few(list(dict.fromkeys(each.reference for each, _ in members)))
        if targets := {target for _, of_group in members for target in of_group}:
            count = _counted(targets, pods) if not parts else str(len(targets))
            parts.append(f"{count} {verbs[len(targets) > 1].format(references)}")
    for excess in plan.impact.excesses():
        by = f"{quantity.text(excess.missing)} of {excess.resource}"
        parts.append(f"quota {excess.namespace}/{excess.quota} would be exceeded by {by}")
    for lost in plan.impact.lost_metrics:
        parts.append(f"{autoscalers.KIND} {_scaler(lost)} loses its metric {lost.resource}")
    same = pods.keys() - plan.impact.changed.keys()
    if not parts:
        parts.append(f"nothing changes for {_counted(same, pods)}")
    elif same:
        parts.append(f"{len(same)} unchanged")
    return ("of what you may see: " if plan.unseen else "") + report.few(parts, separator="; ")


def _counted(targets: Collection[impact.Target], pods: Mapping[impact.Target, int]) -> str:
    number, total = len(targets), sum(pods[target] for target in targets)
    plurals = ["" if each == 1 else "s" for each in (number, total)]
    return f"{number} workload{plurals[0]} ({total} pod{plurals[1]})"


def _scaler(lost: autoscalers.LostMetric) -> str:
    return f"{lost.autoscaler.target.namespace}/{lost.autoscaler.name}"


def write(plan: planned.Plan) -> None:
    """The plan for people."""
    console = tables.console()
    for injection, problem in plan.refused:
        tables.heading(f"{_name(injection)} would be refused: {problem}", to=console)
    if plan.refused:
        tables.write(f"{tables.remedy(_lint(plan))}\n")
    if not plan.refused or plan.impact.pods:
        tables.heading(headline(plan), to=console)
    if rows := [*_breaking_rows(plan), *_rows(plan)]:
        tables.table(COLUMNS, rows, styles=STYLES, to=console)
    if added := _requests(plan):
        tables.write("\n")
        tables.table(REQUESTS, added, styles={}, to=console)
    effects = {each.effect for changed in plan.impact.changed.values() for each in changed.effects}
    if effects & {Effect.GAINS, Effect.CHANGES} and not plan.is_of_files:
        places = {target.owner.namespace for target in plan.impact.changed}
        where = f" -n {places.pop()}" if len(places) == 1 else ""
        command = f"kubectl {names.PRODUCT} restart{where} --dry-run"
        text = f"running pods stay as they are; after the change: {command}"
        tables.write(f"{tables.remedy(text)}\n")


def _lint(plan: planned.Plan) -> str:
    command = shlex.join([names.PRODUCT, "lint", *(w for file in plan.files for w in ("-f", file))])
    counts = "it counts" if len(plan.refused) == 1 else "they count"
    return f"{counts} as not applied; to see all errors: {command}"


def _breaking_rows(plan: planned.Plan) -> Iterator[tables.Row | str]:
    """What is not about one injection."""
    for excess in list(plan.impact.excesses())[:MOST_GROUPS]:
        hard, used, added, missing = map(
            quantity.text, (excess.hard, excess.used, excess.added, excess.missing)
        )
        text = f"{excess.resource}: {used} of {hard} used, {added} more: {missing} too much"
        yield QUOTA, f"{excess.namespace}/{excess.quota}", "", "", text
        yield tables.remedy(MORE_ROOM)
    for lost in plan.impact.lost_metrics[:MOST_GROUPS]:
        target = lost.autoscaler.target
        text = f"{target}: container {lost.container} has no request of {lost.resource}"
        yield METRIC, _scaler(lost), "", "", text
        yield tables.remedy(WITH_REQUESTS)


def _rows(plan: planned.Plan) -> Iterator[tables.Row | str]:
    grouped = groups(plan)
    for each, targets in grouped[:MOST_GROUPS]:
        which = report.few(list(map(str, targets)))
        if each.line:
            which = f"{which}: {each.line.reason.value}: {each.line.message}"
        pods = sum(plan.impact.pods[target] for target in targets)
        yield each.effect.value, each.reference, str(len(targets)), str(pods), which
        if remedy := _remedy(plan, targets[0], each):
            yield tables.remedy(remedy)
    if len(grouped) > MOST_GROUPS:
        yield f"and {len(grouped) - MOST_GROUPS} more: -o json"


def _remedy(
    plan: planned.Plan, target: impact.Target, each: impact.InjectionEffect
) -> remedies.Remedy | None:
    subject = remedies.Subject.of(target.owner, is_file=plan.is_of_files)
    if each.line and each.effect is not Effect.LOSES:
        return remedies.of(each.line.remedied, subject, each.line.injection)
    if each.effect is Effect.LOSES and not plan.is_of_files:
        # `restart` looks for what pods lack, not for what they have too much.
        command = remedies.of(Reason.NOT_A_CREATE, subject).command
        return remedies.Remedy("running pods keep it until they are created again", command)
    return None


def _requests(plan: planned.Plan) -> Sequence[tables.Row]:
    """What pods request more, or less, in the namespaces where it is most."""

    def cpu(row: tuple[str, amounts.Amounts]) -> decimal.Decimal:
        return abs(row[1].get(REQUESTED[0], amounts.NOTHING))

    rows = sorted(plan.impact.added().items(), key=cpu, reverse=True)
    signed = ((name, *(_signed(added.get(key)) for key in REQUESTED)) for name, added in rows)
    return [row for row in signed if any(row[1:])][:MOST_GROUPS]


def _signed(amount: decimal.Decimal | None) -> str:
    return f"{'+' if amount > 0 else ''}{quantity.text(amount)}" if amount else ""


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
                **target.owner.as_json(), "template": target.template, "pods": pods[target],
                "injections": [_effect(plan, target, each) for each in changed[target].effects],
                "added": _amounts(changed[target].added),
            }
            for target in sorted(changed, key=str)
        ],
        "added": {name: _amounts(added) for name, added in plan.impact.added().items()},
        "quotas": [
            {
                "namespace": excess.namespace, "name": excess.quota, "resource": excess.resource,
                **{field: quantity.text(getattr(excess, field))
                   for field in ("hard", "used", "added", "missing")},
                "remedy": MORE_ROOM.text,
            }
            for excess in plan.impact.excesses()
        ],
        "autoscalers": [
            {
                "name": lost.autoscaler.name, "resource": lost.resource,
                "container": lost.container, "workload": lost.autoscaler.target.as_json(),
                "remedy": WITH_REQUESTS.text,
            }
            for lost in plan.impact.lost_metrics
        ],
        "notes": list(dict.fromkeys((*plan.unseen, *plan.notes))),
    }  # fmt: skip


def _effect(
    plan: planned.Plan, target: impact.Target, each: impact.InjectionEffect
) -> dict[str, str]:
    line = each.line
    remedy = _remedy(plan, target, each) or remedies.Remedy("")
    return {
        "name": each.reference,
        "effect": each.effect.value,
        "reason": line.reason.value if line else "",
        "message": line.message if line else "",
        "remedy": remedy.text,
        "command": remedy.command,
    }


def _amounts(added: amounts.Amounts) -> dict[str, str]:
    return {name: quantity.text(amount) for name, amount in added.items() if amount}
