"""`restart`: new pods in place of those that lack a sidecar or have an older one."""

from __future__ import annotations

import datetime
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import click
import rich.progress

from sidecar_injector.cli import options
from sidecar_injector.cli.cluster import client, owners, release
from sidecar_injector.cli.cluster import injections as cluster_injections
from sidecar_injector.cli.cluster import pods as cluster_pods
from sidecar_injector.cli.commands import rollout
from sidecar_injector.cli.output import tables
from sidecar_injector.core import audit
from sidecar_injector.kube import api

COLUMNS = ("OWNER", "OUTDATED", "MISSING", "ACTION")
RESTART, RESTARTED, FAILED, BY_HAND = "restart", "restarted", "failed", "recreate by hand"
COMPLETE, INCOMPLETE = "complete", "incomplete"
"""With `--wait`: whether every pod was replaced in time."""
UNDER_WAY = "under way"
"""Its pods are older than the last restart, and about to be replaced."""
STYLES = {
    RESTARTED: tables.GOOD, RESTART: tables.NEUTRAL, BY_HAND: tables.NEUTRAL, FAILED: tables.BAD,
    COMPLETE: tables.GOOD, INCOMPLETE: tables.BAD,
}  # fmt: skip


class Plan:
    """One owner, how many of its pods lack something, and what is done about it."""

    def __init__(
        self, owner: owners.Owner, cases: Sequence[cluster_pods.Case], outlook: owners.Outlook
    ) -> None:
        self.owner, self.cases, self.why = owner, cases, outlook.by_hand
        last = outlook.restarted
        replaced = last is not None and all(one.created < last for one in cases)
        self.action = BY_HAND if self.why else UNDER_WAY if replaced else RESTART

    def pods(self, state: str) -> int:
        """How many of its pods are in this state."""
        return len({one.pod for one in self.cases if one.state == state})


@click.command(epilog="Example: sidecar-injector restart --outdated -n demo --dry-run")
@click.option("--outdated", is_flag=True, help="Pods with parts of an older template.")
@click.option("--missing", is_flag=True, help="Pods that an injection selects and that lack it.")
@click.option("--dry-run", is_flag=True, help="Say what would be restarted, and change nothing.")
@click.option("--wait", is_flag=True, help="Until the pods are replaced, telling each step.")
@click.option("--timeout", type=click.IntRange(min=1), default=600, show_default=True,
              metavar="SECONDS", help="How long to wait.")  # fmt: skip
@client.namespace(everywhere=False)
@options.output()
@client.address()
def restart(
    *,
    outdated: bool,
    missing: bool,
    dry_run: bool,
    wait: bool,
    timeout: int,
    namespace: str | None,
    all_namespaces: bool,
    form: str,
    address: client.Address,
) -> None:
    """Restart what owns pods whose sidecars are outdated or missing.

    Without --outdated or --missing both count. Sets only the annotation that `kubectl rollout
    restart` sets, so that Deployments, StatefulSets and DaemonSets replace their pods one after the
    other and at their own pace. Jobs, bare pods and whatever else does not roll are listed to be
    recreated by hand. Pods to which the sidecar could not be added now either are left alone. Exit
    status 1 if anything is left to be done by hand, or with --wait if a rollout is not complete in
    time; it goes on without us.
    """
    if wait and dry_run:
        raise click.UsageError("--wait and --dry-run exclude each other: nothing would roll")
    chosen = client.one_namespace(namespace, all_namespaces=all_namespaces)
    if chosen is None and not all_namespaces:
        chosen = client.context_namespace(address)
    wanted = _states(outdated=outdated, missing=missing)

    async def question(asked: client.Cluster) -> list[Plan]:
        plans = await _plans(asked, chosen, wanted, given=address.release_namespace)
        if not dry_run:
            await _restart(asked, plans)
        if wait:
            await _wait(asked, plans, seconds=timeout)
        return plans

    plans = client.ask(address, question)
    if form == options.TABLE:
        _print(plans, where=chosen, dry_run=dry_run)
    else:
        tables.structured({"owners": [as_json(one) for one in plans]}, form=form)
    sys.exit(1 if any(one.action in (BY_HAND, FAILED, INCOMPLETE) for one in plans) else 0)


def as_json(one: Plan) -> dict[str, Any]:
    """For programs; its shape is stable."""
    return {
        "namespace": one.owner.namespace,
        "kind": one.owner.kind,
        "name": one.owner.name,
        "outdated": one.pods(audit.OUTDATED),
        "missing": one.pods(audit.MISSING),
        "action": one.action,
        "message": one.why,
        "pods": sorted({case.pod for case in one.cases}),
        "injections": sorted({case.reference for case in one.cases}),
    }


def _states(*, outdated: bool, missing: bool) -> set[str]:
    both = outdated == missing
    states = {audit.OUTDATED: outdated or both, audit.MISSING: missing or both}
    return {state for state, counts in states.items() if counts}


async def _plans(
    asked: client.Cluster,
    namespace: str | None,
    wanted: set[str],
    *,
    given: str | None,
) -> list[Plan]:
    known = await cluster_injections.injections(asked, namespace=namespace)
    where = await release.namespace_of(asked, given=given)
    taken = await cluster_pods.take(
        asked, namespace=namespace, known=known, release_namespace=where
    )
    of_owner: dict[owners.Owner, list[cluster_pods.Case]] = {}
    for case in taken.cases:
        if case.state in wanted and not case.useless:
            of_owner.setdefault(case.owner, []).append(case)
    return [
        Plan(owner, cases, await owners.outlook(asked, owner))
        for owner, cases in sorted(of_owner.items())
    ]


async def _restart(asked: client.Cluster, plans: Sequence[Plan]) -> None:
    at = f"{datetime.datetime.now(datetime.UTC):%Y-%m-%dT%H:%M:%SZ}"
    for one in _told([one for one in plans if one.action == RESTART]):
        try:
            await owners.restart(asked, one.owner, at=at)
            one.action = RESTARTED
        except api.ApiError as error:
            # The others are restarted all the same; the table says what became of each.
            one.action, one.why = FAILED, str(error)


async def _wait(asked: client.Cluster, plans: Sequence[Plan], *, seconds: float) -> None:
    rolling = [one for one in plans if one.action in (RESTARTED, UNDER_WAY)]
    found = await rollout.follow(asked, [one.owner for one in rolling], seconds=seconds)
    for one in rolling:
        seen = found[one.owner]
        one.action, one.why = (COMPLETE, "") if seen.complete else (INCOMPLETE, seen.says)


def _told(plans: Sequence[Plan]) -> Iterator[Plan]:
    """The plans one after the other, with a bar on a terminal and a line each in a pipe."""
    console = tables.console(stderr=True)
    if console.is_terminal:
        yield from rich.progress.track(plans, description="restarting", console=console)
        return
    for number, one in enumerate(plans, 1):
        yield one
        click.echo(f"{number}/{len(plans)} {one.owner}: {one.action}", err=True)


def _print(plans: Sequence[Plan], *, where: str | None, dry_run: bool) -> None:
    console = tables.console()
    if not plans:
        place = f"namespace {where}" if where else "any namespace"
        tables.heading(f"no pod in {place} needs a restart", to=console)
        return
    if dry_run:
        tables.heading("nothing was changed; without --dry-run this is done:", to=console)
    rows = [
        (
            str(one.owner), str(one.pods(audit.OUTDATED)),
            str(one.pods(audit.MISSING)),
            f"{one.action}: {one.why}" if one.why else one.action,
        )
        for one in plans
    ]  # fmt: skip
    tables.table(COLUMNS, rows, styles=STYLES, to=console)
