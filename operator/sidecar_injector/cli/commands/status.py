"""`status`: what is installed, what it does where, and which pods are without a sidecar."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from sidecar_injector import names
from sidecar_injector.cli import operator_extra, options
from sidecar_injector.cli.cluster import client as cluster_client
from sidecar_injector.cli.cluster import injections as cluster_injections
from sidecar_injector.cli.cluster import objects, owners
from sidecar_injector.cli.cluster import pods as cluster_pods
from sidecar_injector.cli.cluster import refusals as cluster_refusals
from sidecar_injector.cli.cluster import release as cluster_release
from sidecar_injector.cli.commands import certificates
from sidecar_injector.cli.output import tables
from sidecar_injector.core import audit
from sidecar_injector.core.pods import kinds
from sidecar_injector.core.reasons import BY_CODE
from sidecar_injector.kube import api

if TYPE_CHECKING:
    from sidecar_injector.cli.cluster import certificates as live

NOTHING = "-"
COUNTS = (audit.SELECTED, audit.INJECTED, audit.OUTDATED, audit.SKIPPED, audit.MISSING)
INJECTIONS = (
    "NAMESPACE", "INJECTION", "READY", *(count.upper() for count in COUNTS), "WOULD INJECT",
    "OPTED OUT", "ENGINE", "REASON",
)  # fmt: skip
NAMESPACES = ("NAMESPACE", "LABEL", "PODS", "INJECTIONS")
WITHOUT = ("OWNER", "PODS", "INJECTION", "STATE", "WHAT HELPS")
REFUSED = "refused"
DELETE = "delete its pods"
REPLACING = {
    kinds.Restart.NEXT_RUN: "the next run has it",
    kinds.Restart.RUNS_ONCE: "delete it and create it again",
}
"""What makes new pods where no restart does."""
YES, NO, UNKNOWN = "yes", "no", "unknown"
STYLES = {
    YES: tables.GOOD, NO: tables.BAD, UNKNOWN: tables.NEUTRAL, names.ENABLED: tables.GOOD,
    audit.OUTDATED: tables.NEUTRAL, audit.MISSING: tables.NEUTRAL,
    audit.SKIPPED: tables.BAD, REFUSED: tables.BAD,
}  # fmt: skip


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class InstallationStatus:
    """All that the verb shows."""

    release: cluster_release.Release | None
    """None where the user may not see it."""
    outside: str
    """Where the operator runs if not in this cluster; empty otherwise."""
    injections: cluster_injections.ReadInjections
    namespaces: Sequence[api.Json]
    """The chosen namespace, or all that carry our label, whatever its value."""
    pods: cluster_pods.PodOverview
    refusals: Sequence[cluster_refusals.Refusal]
    is_of_namespace: bool
    """Whether only one namespace is shown, so that only its pods are counted."""
    certificates: live.Certificates | None
    """None where the user may not read them."""
    notes: Sequence[str]


@click.command(epilog="Example: sidecar-injector status -n demo")
@click.argument("unexpected", nargs=-1, metavar="")
@cluster_client.namespace(everywhere=True)
@options.kind_paths()
@options.output()
@cluster_client.address()
def status(
    *,
    unexpected: tuple[str, ...],
    namespace: str | None,
    all_namespaces: bool,
    form: str,
    address: cluster_client.Address,
) -> None:
    """Show what is installed, what it does where, and which pods are without a sidecar.

    Each injection has the number of pods that it selects, and of those that have it: as the
    operator counted last, or with -n the pods of this namespace as they are now. A pod is outdated
    if it has parts of an older template, and missing an injection if a new pod would have it. It
    was skipped if the injection applies and could not be added. Refused pods are known from Events,
    which a cluster keeps for an hour. Exit status 0 whatever is shown; `sidecar-injector check`
    looks for what is wrong.
    """
    if unexpected:
        raise click.UsageError(
            f"status shows whole namespaces, not {unexpected[0]!r}. A namespace: status -n NAME."
            " A workload: explain KIND/NAME, such as deploy/web"
        )
    chosen = cluster_client.chosen_namespace(namespace, all_namespaces=all_namespaces)
    state = cluster_client.run(
        address,
        lambda client: _read(client, chosen, release_namespace=address.release_namespace),
        doing="reading",
    )
    if form == options.TABLE:
        _print(state)
    else:
        tables.structured(as_json(state), form=form)
    tables.notes(state.notes)


def as_json(state: InstallationStatus) -> dict[str, Any]:
    """For programs; its shape is stable."""
    return {
        "release": _release_as_json(state.release, state.outside) if state.release else None,
        "injections": [_injection_as_json(live, state) for live in state.injections.injections],
        "namespaces": [
            {"name": name, "label": label, "pods": pods, "injections": applying}
            for name, label, pods, applying in _namespaces(state)
        ],
        "restarts": [
            {
                **candidate.owner.as_json(),
                "pod": candidate.pod,
                "injection": candidate.reference,
                "state": candidate.state,
                "message": candidate.obstacle,
            }
            for candidate in state.pods.candidates
        ],
        "skipped": [
            {
                **skipped.owner.as_json(),
                "pod": skipped.pod,
                "injection": skipped.reference,
                "reason": skipped.reason,
                "remedy": _remedy(skipped.reason),
            }
            for skipped in state.pods.skipped
        ],
        "refused": [
            {**refusal.owner.as_json(), "last": refusal.last, "message": refusal.message}
            for refusal in state.refusals
        ],
        "certificates": certificates.as_json(state.certificates) if state.certificates else None,
        "notes": list(state.notes),
    }


def _release_as_json(release: cluster_release.Release, outside: str) -> dict[str, Any]:
    return {
        "namespace": release.namespace,
        "name": release.fullname,
        "version": release.version,
        "replicas": release.wanted,
        "ready": release.ready,
        "outside": outside,
    }


async def _read(
    client: api.Api, namespace: str | None, *, release_namespace: str | None
) -> InstallationStatus:
    notes: list[str] = []
    release = await objects.unless_forbidden(
        cluster_release.find(client, namespace=release_namespace),
        notes=notes,
        consequence="the installation and its certificates are not shown",
    )
    injections = await cluster_injections.injections(client, namespace=namespace)
    outside = await objects.unless_forbidden(
        _outside(client, release),
        notes=notes,
        consequence="whether the operator runs in this cluster is not known",
    )
    lookup = owners.Owners(client)
    refusals = await objects.unless_forbidden(
        cluster_refusals.read(lookup, namespace),
        notes=notes,
        consequence="refused pods are not shown",
    )
    pods = await cluster_pods.overview(
        lookup,
        namespace=namespace,
        injections=injections,
        release_namespace=release.namespace if release else names.PRODUCT,
    )
    return InstallationStatus(
        release=release,
        outside=outside or "",
        injections=injections,
        namespaces=await _labelled_namespaces(client, namespace),
        pods=pods,
        refusals=refusals or [],
        is_of_namespace=namespace is not None,
        certificates=await _certificates(client, release, notes) if release else None,
        notes=(*injections.notes, *notes, *lookup.notes),
    )


async def _outside(client: api.Api, release: cluster_release.Release | None) -> str:
    return await cluster_release.outside(client, release) if release else ""


async def _labelled_namespaces(client: api.Api, namespace: str | None) -> list[api.Json]:
    if namespace is not None:
        return [await client.get(api.NAMESPACES, name=namespace)]
    scope = api.Scope(label_selector=names.INJECTION_LABEL)
    return await objects.read_all(client, api.NAMESPACES, scope=scope)


async def _certificates(
    client: api.Api, release: cluster_release.Release, notes: list[str]
) -> live.Certificates | None:
    try:
        return await certificates.read(client, release)
    except api.ApiError as error:
        if error.status != api.FORBIDDEN:
            raise
        notes.append("you may not read the certificates' Secret: they are not shown")
        return None
    except operator_extra.MissingPackageError as error:
        notes.append(error.message)
        return None


def _injection_as_json(
    live: cluster_injections.LiveInjection, state: InstallationStatus
) -> dict[str, Any]:
    status = live.resource.get("status") or {}
    conditions = {condition["type"]: condition for condition in status.get("conditions") or ()}
    ready = conditions.get("Ready") or {}
    accepted = conditions.get("Accepted") or {}
    decisive = accepted if accepted.get("status") == "False" else ready
    effective = conditions.get("Effective") or {}
    if ready.get("status") == "True" and effective.get("status") == "False":
        decisive = effective
    return {
        "kind": live.injection.kind,
        "namespace": live.injection.namespace or "",
        "name": live.injection.name,
        "ready": ready.get("status", "Unknown"),
        "effective": effective.get("status", "Unknown"),
        "reason": decisive.get("reason", ""),
        "message": decisive.get("message", ""),
        "engine": live.engine,
        "pods": audit.counts(state.pods.tally, audit.identity(live.injection))
        if state.is_of_namespace
        else status.get("pods"),
    }


def _namespaces(state: InstallationStatus) -> Iterator[tuple[str, str, int, list[str]]]:
    """Name, label, count of pods and applying injections of each namespace."""
    for namespace in state.namespaces:
        name, labels = api.metadata(namespace)["name"], objects.labels(namespace)
        applying = [
            injection.reference
            for injection in state.injections.of(name)
            if objects.is_enabled(namespace) and injection.namespace_selector(labels)
        ]
        yield name, labels.get(names.INJECTION_LABEL, ""), state.pods.counts.get(name, 0), applying


def _print(state: InstallationStatus) -> None:
    console = tables.console()
    if release := state.release:
        ready = f"{release.ready} of {release.wanted} replicas ready"
        runs = f"runs outside of the cluster, at {state.outside}" if state.outside else ready
        deployment = f"Deployment {release.namespace}/{release.fullname}"
        tables.heading(f"{names.PRODUCT} {release.version}, {deployment}: {runs}", to=console)
    for columns, rows, otherwise in (
        (INJECTIONS, list(_injection_rows(state)), "there is no injection yet"),
        (NAMESPACES, list(_namespace_rows(state)),
         f"no namespace is enabled: kubectl label namespace NAME {cluster_pods.SELECTOR}"),
        (WITHOUT, list(_without_rows(state)), "no pod is without a sidecar that it should have"),
    ):  # fmt: skip
        tables.write("\n")
        if rows:
            tables.table(columns, rows, styles=STYLES, to=console)
        else:
            tables.heading(otherwise, to=console)
    if state.certificates:
        tables.write("\n")
        certificates.print_table(state.certificates, to=console)


def _injection_rows(state: InstallationStatus) -> Iterator[tables.Row]:
    words = {"True": YES, "False": NO}
    for row in (_injection_as_json(live, state) for live in state.injections.injections):
        name = row["name"] if row["namespace"] else f"{names.CLUSTER_PREFIX}{row['name']}"
        ready = words.get(row["ready"], UNKNOWN)
        pods = row["pods"] or {}
        counts = [str(pods[count]) if count in pods else NOTHING for count in COUNTS]
        # Mostly there is no dry run and nobody opts out, and these columns are left out.
        counts += [str(pods.get(count) or "") for count in (audit.WOULD_INJECT, audit.OPTED_OUT)]
        works = ready == YES and row["effective"] != "False"
        why = "" if works else ": ".join(filter(None, (row["reason"], row["message"])))
        # Mostly no injection asks for a policy.
        engine = "" if row["engine"] == cluster_injections.WEBHOOK else row["engine"]
        yield row["namespace"] or NOTHING, name, ready, *counts, engine, why


def _namespace_rows(state: InstallationStatus) -> Iterator[tables.Row]:
    for name, label, pods, applying in _namespaces(state):
        problem = "" if label == names.ENABLED else f" (must be {names.ENABLED})"
        yield name, (label or "none") + problem, str(pods), ", ".join(applying) or NOTHING


def _without_rows(state: InstallationStatus) -> Iterator[tables.Row | str]:
    """Outdated, missing, skipped and refused pods, those of one owner together.

    Each command is a line of its own after them, once for a namespace.
    """
    groups: dict[tuple[str, str, str, str], set[str]] = {}
    for candidate in state.pods.candidates:
        helps = f"no restart: {candidate.obstacle}" if candidate.obstacle else _replacing(candidate)
        group = str(candidate.owner), candidate.reference, candidate.state, helps
        groups.setdefault(group, set()).add(candidate.pod)
    for skipped in state.pods.skipped:
        helps = f"{skipped.reason}: {_remedy(skipped.reason)}"
        group = str(skipped.owner), skipped.reference, audit.SKIPPED, helps
        groups.setdefault(group, set()).add(skipped.pod)
    for (owner, reference, state_of_pods, helps), pods in sorted(groups.items()):
        yield owner, str(len(pods)), reference, state_of_pods, helps
    for refusal in state.refusals:
        when = f"last at {refusal.last}: " if refusal.last else ""
        yield str(refusal.owner), NOTHING, NOTHING, REFUSED, f"{when}{refusal.message}"
    restartable = {
        candidate.owner.namespace
        for candidate in state.pods.candidates
        if candidate.owner.rolls and not candidate.obstacle
    }
    for namespace in sorted(restartable):
        yield tables.remedy(f"kubectl {names.PRODUCT} restart -n {namespace}")


def _replacing(candidate: cluster_pods.RestartCandidate) -> str:
    """What makes a new pod in place of this one."""
    owner = candidate.owner
    if owner.rolls:
        return "a restart"
    return REPLACING.get(owner.entry.restart, DELETE) if owner.entry else DELETE


def _remedy(code: str) -> str:
    """The remedy of a reason that a pod's annotation has, which anybody can write."""
    reason = BY_CODE.get(code)
    return reason.remedy if reason else ""
