"""`restart`: new pods in place of those that lack a sidecar or have an older one."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import datetime
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import click

from sidecar_injector import names
from sidecar_injector.cli import options
from sidecar_injector.cli.cluster import client as cluster_client
from sidecar_injector.cli.cluster import (
    discovery,
    errors,
    objects,
    owners,
    probe,
    release,
    restarts,
    rollouts,
)
from sidecar_injector.cli.cluster import injections as cluster_injections
from sidecar_injector.cli.cluster import pods as cluster_pods
from sidecar_injector.cli.output import tables
from sidecar_injector.core import audit
from sidecar_injector.core.pods.owner import Owner
from sidecar_injector.kube import api

if TYPE_CHECKING:
    from sidecar_injector.cli.cluster import http_client

COLUMNS = ("OWNER", "OUTDATED", "MISSING", "ACTION")
RESTART, RESTARTED, FAILED, BY_HAND = "restart", "restarted", "failed", "recreate by hand"
COMPLETE, INCOMPLETE = "complete", "incomplete"
"""With `--wait`: whether every pod was replaced in time."""
NOTHING_TO_DO = "nothing to do"
"""Pods of a CronJob's runs: the next run is new."""
UNDER_WAY = "under way"
"""All its pods are older than the last restart, which replaces them."""
STYLES = {
    RESTARTED: tables.GOOD, RESTART: tables.NEUTRAL, BY_HAND: tables.NEUTRAL, FAILED: tables.BAD,
    COMPLETE: tables.GOOD, INCOMPLETE: tables.BAD,
}  # fmt: skip
PAUSE: Final = 1.0
"""Seconds between two looks at all rollouts."""

Rollouts = Mapping[Owner, rollouts.Rollout]
OnChange = Callable[[Owner, rollouts.Rollout], None]


class OwnerPlan:
    """One owner, how many of its pods lack something, and what is done about it."""

    def __init__(
        self,
        owner: Owner,
        candidates: Sequence[cluster_pods.RestartCandidate],
        effect: restarts.RestartEffect,
    ) -> None:
        self.owner, self.candidates, self.message = owner, candidates, effect.obstacle
        is_replacing = effect.is_under_way(pod.created for pod in candidates)
        self.action = BY_HAND if self.message else UNDER_WAY if is_replacing else RESTART
        if effect.is_replaced_anyway:
            self.action = NOTHING_TO_DO

    def pods(self, state: str) -> int:
        """How many of its pods are in this state."""
        return len({candidate.pod for candidate in self.candidates if candidate.state == state})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Restarts:
    """What is restarted, as far as the user may see it."""

    plans: Sequence[OwnerPlan]
    notes: Sequence[str]
    """What could not be seen, in sentences."""
    lookup: owners.Owners


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Mode:
    """Which workloads are restarted, and how."""

    states: set[str]
    """Of their pods."""
    references: Sequence[objects.Reference]
    """Only these; empty for all."""
    dry_run: bool
    force: bool
    asks: bool
    """Whether a person is asked first."""
    parallel: int
    """How many rollouts are under way at once."""
    is_waiting: bool
    """Whether the last of them are waited for, too."""
    timeout: int
    """How long to wait for a rollout."""


@click.command(epilog="Example: sidecar-injector restart --outdated -n demo --dry-run")
@click.argument("workloads", nargs=-1, metavar="[KIND/NAME… | KIND [NAME]…]",
                help="Only these: deploy/NAME, sts NAME, ds (all of them), …")  # fmt: skip
@click.option("--outdated", is_flag=True, help="Pods with parts of an older template.")
@click.option("--missing", is_flag=True, help="Pods that an injection selects and that lack it.")
@click.option("--dry-run", is_flag=True, help="Say what would be restarted, and change nothing.")
@click.option(
    "--force",
    is_flag=True,
    help="Also where the injector does not answer: pods come back without sidecars.",
)
@click.option("--parallel", type=click.IntRange(min=1), default=5, show_default=True,
              metavar="N", help="How many rollouts may be under way at once.")  # fmt: skip
@click.option("--yes", is_flag=True, help="Do not ask before -A restarts what it has found.")
@click.option("--wait", is_flag=True, help="Until the pods are replaced, telling each step.")
@click.option("--timeout", type=click.IntRange(min=1), default=600, show_default=True,
              metavar="SECONDS", help="How long to wait for rollouts.")  # fmt: skip
@cluster_client.namespace(everywhere=False)
@options.kind_paths()
@options.output()
@cluster_client.address()
def restart(
    *,
    outdated: bool,
    missing: bool,
    yes: bool,
    wait: bool,
    workloads: tuple[str, ...],
    namespace: str | None,
    all_namespaces: bool,
    form: str,
    address: cluster_client.Address,
    **mode: Any,
) -> None:
    """Restart workloads whose pods have outdated or missing sidecars.

    Without --outdated or --missing both count. Sets only the annotation that `kubectl rollout
    restart` sets, so that Deployments, StatefulSets and DaemonSets replace their pods at their own
    pace (of an Argo Rollout the field restartAt). KIND may be a custom kind, too: rollout/NAME. At
    most --parallel rollouts are under way at once: the next one starts when one is complete, has
    stopped, or has taken longer than --timeout. Bare pods and Jobs are listed to be recreated by
    hand; of a CronJob the next run is new. Pods to which the sidecar could not be added now either
    are left alone. Nothing is restarted in a namespace unless the injector answers there. Exit
    status 1 if anything is left to be done by hand, or with --wait if a rollout is not complete in
    time; the rollout continues in the background. Exit status 2 if the injector does not answer, or
    if you may not see everything.
    """
    is_dry = mode["dry_run"]
    references = objects.references(workloads) if workloads else ()
    if wait and is_dry:
        raise click.UsageError("--wait and --dry-run exclude each other: nothing would roll")
    chosen = cluster_client.chosen_namespace(namespace, all_namespaces=all_namespaces)
    if chosen is None and not all_namespaces:
        chosen = cluster_client.context_namespace(address)

    chosen_mode = Mode(
        states=_states(outdated=outdated, missing=missing),
        references=references,
        asks=all_namespaces and not yes and not is_dry and sys.stdin.isatty(),
        is_waiting=wait,
        **mode,
    )
    release_namespace = address.release_namespace
    result = cluster_client.run(
        address,
        lambda client: _carry_out(
            client, chosen, release_namespace=release_namespace, mode=chosen_mode
        ),
    )
    if form == options.TABLE:
        _print(result, namespace=chosen, mode=chosen_mode)
    else:
        tables.structured(restarts_as_json(result), form=form)
    tables.notes(result.notes)
    is_left = any(plan.action in (BY_HAND, FAILED, INCOMPLETE) for plan in result.plans)
    sys.exit(1 if is_left else 2 if result.notes else 0)


class SilentInjectorError(cluster_client.ClusterError):
    """Pods that are restarted now would come back without sidecars."""

    def __init__(self, probes: Sequence[probe.Probe]) -> None:
        sentences = "; ".join(map(str, probes))
        remedy = "To restart all the same: --force"
        # Where the pod was refused, `check` would be refused, too.
        silent = [each for each in probes if each.answer is not probe.Answer.UNKNOWN]
        if silent:
            remedy = f"Find out why: {names.PRODUCT} check -n {silent[0].namespace}. {remedy}"
        super().__init__(errors.Explained(f"nothing was restarted: {sentences}", remedy))


def restarts_as_json(result: Restarts) -> dict[str, Any]:
    """For programs; its shape is stable."""
    return {
        "owners": [as_json(plan) for plan in result.plans],
        "notes": list(result.notes),
    }


def as_json(plan: OwnerPlan) -> dict[str, Any]:
    """For programs; its shape is stable."""
    return {
        "namespace": plan.owner.namespace,
        "kind": plan.owner.kind,
        "group": plan.owner.group,
        "name": plan.owner.name,
        "outdated": plan.pods(audit.OUTDATED),
        "missing": plan.pods(audit.MISSING),
        "action": plan.action,
        "message": plan.message,
        "pods": sorted({candidate.pod for candidate in plan.candidates}),
        "injections": sorted({candidate.reference for candidate in plan.candidates}),
    }


def _states(*, outdated: bool, missing: bool) -> set[str]:
    both = outdated == missing
    states = {audit.OUTDATED: outdated or both, audit.MISSING: missing or both}
    return {state for state, counts in states.items() if counts}


async def _carry_out(
    client: http_client.InteractiveClient,
    namespace: str | None,
    *,
    release_namespace: str | None,
    mode: Mode,
) -> Restarts:
    """What is restarted. Raises SilentInjectorError before anything is written."""
    result = await _plans(client, namespace, mode=mode, release_namespace=release_namespace)
    silent = await _silent(client, result.plans)
    if silent and not mode.dry_run and not mode.force:
        raise SilentInjectorError(silent)
    if mode.asks:
        _ask(result.plans)
    if not mode.dry_run:
        await _restart(result, mode=mode)
    if mode.is_waiting:
        await _wait(result, seconds=mode.timeout)
    return dataclasses.replace(result, notes=(*result.notes, *map(str, silent)))


async def _silent(
    client: http_client.InteractiveClient, plans: Sequence[OwnerPlan]
) -> list[probe.Probe]:
    """The namespaces with something to restart in which the injector was not seen to answer."""
    namespaces = sorted({plan.owner.namespace for plan in plans if plan.action == RESTART})
    probes = [await probe.probe(client, namespace) for namespace in namespaces]
    return [result for result in probes if result.answer is not probe.Answer.ANSWERED]


async def _plans(
    client: api.Api, namespace: str | None, *, mode: Mode, release_namespace: str | None
) -> Restarts:
    injections = await cluster_injections.injections(client, namespace=namespace)
    kinds_served = discovery.Discovery(client)
    references = await objects.resolved(mode.references, kinds_served)
    lookup = owners.Owners(client, kinds_served)
    overview = await cluster_pods.overview(
        lookup,
        namespace=namespace,
        injections=injections,
        release_namespace=await release.namespace_of(client, chosen=release_namespace),
    )
    of_owner: dict[Owner, list[cluster_pods.RestartCandidate]] = {}
    for candidate in overview.candidates:
        is_meant = candidate.state in mode.states and _is_named(candidate.owner, references)
        if is_meant and not candidate.obstacle:
            of_owner.setdefault(candidate.owner, []).append(candidate)
    plans = [
        OwnerPlan(owner, candidates, await restarts.effect(lookup, owner))
        for owner, candidates in sorted(of_owner.items())
    ]
    notes = (*injections.notes, *lookup.notes)
    return Restarts(plans=plans, notes=notes, lookup=lookup)


def _is_named(owner: Owner, references: Sequence[objects.Reference]) -> bool:
    """Whether the arguments name this owner; without arguments each is meant."""
    return not references or any(
        (reference.group, reference.kind) == (owner.group, owner.kind)
        and reference.name in ("", owner.name)
        for reference in references
    )


def _ask(plans: Sequence[OwnerPlan]) -> None:
    """Raises Abort unless a person agrees."""
    chosen = [plan.owner for plan in plans if plan.action == RESTART]
    if chosen:
        places = len({owner.namespace for owner in chosen})
        question = (
            f"Restart {_counted(len(chosen), 'workload')} in {_counted(places, 'namespace')}?"
        )
        click.confirm(question, abort=True, err=True)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


async def _restart(result: Restarts, *, mode: Mode) -> None:
    at = f"{datetime.datetime.now(datetime.UTC):%Y-%m-%dT%H:%M:%SZ}"
    ends: dict[Owner, float] = {}
    """When each rollout that is under way is no longer waited for."""
    for plan in _with_progress([plan for plan in result.plans if plan.action == RESTART]):
        if len(ends) >= mode.parallel:
            await _one_finished(result.lookup, ends)
        try:
            await restarts.restart(result.lookup, plan.owner, at=at)
            plan.action = RESTARTED
            ends[plan.owner] = time.monotonic() + mode.timeout
        except api.ApiError as error:
            # The others are restarted all the same; the table shows the result of each.
            plan.action, plan.message = FAILED, errors.explained(error).sentence


async def _one_finished(lookup: owners.Owners, ends: dict[Owner, float]) -> None:
    """Wait until a rollout is complete, stuck or too slow, and forget it."""
    while True:
        for owner, end in [*ends.items()]:
            rollout = await _rollout(lookup, owner)
            if rollout.complete or rollout.stuck or time.monotonic() >= end:
                del ends[owner]
                return
        await asyncio.sleep(PAUSE)


async def _wait(result: Restarts, *, seconds: float) -> None:
    rolling = [plan for plan in result.plans if plan.action in (RESTARTED, UNDER_WAY)]
    last = await follow(result.lookup, [plan.owner for plan in rolling], seconds=seconds)
    for plan in rolling:
        rollout = last[plan.owner]
        plan.action, plan.message = (
            (COMPLETE, "") if rollout.complete else (INCOMPLETE, rollout.message)
        )


async def follow(lookup: owners.Owners, rolling: Sequence[Owner], *, seconds: float) -> Rollouts:
    """The last rollout of each owner: complete, stuck, or neither if time runs out.

    Each owner is read at least once; each change is shown.
    """
    last: dict[Owner, rollouts.Rollout] = {}
    end = time.monotonic() + seconds
    left = list(rolling)
    with _shown(rolling) as show:
        while True:
            for owner in left:
                rollout = await _rollout(lookup, owner)
                if last.get(owner) != rollout:
                    show(owner, rollout)
                last[owner] = rollout
            left = [owner for owner in left if not (last[owner].complete or last[owner].stuck)]
            if not left or time.monotonic() >= end:
                return last
            await asyncio.sleep(PAUSE)


async def _rollout(lookup: owners.Owners, owner: Owner) -> rollouts.Rollout:
    workload = await lookup.read(owner)
    return rollouts.judge(owner.kind, workload, group=owner.group) if workload else rollouts.GONE


@contextlib.contextmanager
def _shown(rolling: Sequence[Owner]) -> Iterator[OnChange]:
    """Shows rollouts: a bar for each on a terminal, a line for each change in a pipe."""
    console = tables.console(stderr=True)
    if not console.is_terminal:
        yield lambda owner, rollout: click.echo(f"{owner}: {rollout.message}", err=True)
        return
    import rich.progress  # noqa: PLC0415 - for terminals alone

    columns = (
        rich.progress.TextColumn("{task.description}", markup=False),
        rich.progress.BarColumn(),
        rich.progress.TextColumn("{task.fields[message]}", markup=False),
    )
    with rich.progress.Progress(*columns, console=console) as progress:
        bars = {owner: progress.add_task(str(owner), total=None, message="") for owner in rolling}

        def show(owner: Owner, rollout: rollouts.Rollout) -> None:
            # A bar with a total of 0 would move to and fro for ever.
            total, done = (
                (rollout.wanted, rollout.done) if rollout.wanted else (1, int(rollout.complete))
            )
            progress.update(bars[owner], total=total, completed=done, message=rollout.message)

        yield show


def _with_progress(plans: Sequence[OwnerPlan]) -> Iterator[OwnerPlan]:
    """The plans one after the other, with a bar on a terminal and a line each in a pipe."""
    console = tables.console(stderr=True)
    if console.is_terminal:
        import rich.progress  # noqa: PLC0415 - for terminals alone

        yield from rich.progress.track(plans, description="restarting", console=console)
        return
    for number, plan in enumerate(plans, 1):
        yield plan
        click.echo(f"{number}/{len(plans)} {plan.owner}: {plan.action}", err=True)


def _print(result: Restarts, *, namespace: str | None, mode: Mode) -> None:
    console = tables.console()
    if not result.plans:
        place = f"namespace {namespace}" if namespace else "any namespace"
        known = ", for the injections that you may see" if result.notes else ""
        of = f" of {', '.join(map(str, mode.references))}" if mode.references else ""
        tables.heading(f"no pod{of} in {place} needs a restart{known}", to=console)
        return
    if mode.dry_run:
        tables.heading("nothing was changed; without --dry-run this is done:", to=console)
    rows = [
        (
            str(plan.owner),
            str(plan.pods(audit.OUTDATED)),
            str(plan.pods(audit.MISSING)),
            f"{plan.action}: {plan.message}" if plan.message else plan.action,
        )
        for plan in result.plans
    ]
    tables.table(COLUMNS, rows, styles=STYLES, to=console)
