"""`status`: what is installed, what it does where, and which pods need a restart."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from sidecar_injector import names
from sidecar_injector.cli import options
from sidecar_injector.cli.cluster import client, objects, release
from sidecar_injector.cli.cluster import injections as cluster_injections
from sidecar_injector.cli.cluster import pods as cluster_pods
from sidecar_injector.cli.commands import certificates
from sidecar_injector.cli.output import tables
from sidecar_injector.core import audit
from sidecar_injector.kube import api

if TYPE_CHECKING:
    from sidecar_injector.cli.cluster import certificates as live

NOTHING = "-"
COUNTS = (audit.SELECTED, *audit.STATES)
INJECTIONS = ("NAMESPACE", "INJECTION", "READY", *(one.upper() for one in COUNTS), "WHY NOT")
NAMESPACES = ("NAMESPACE", "LABEL", "PODS", "INJECTIONS")
RESTARTS = ("OWNER", "PODS", "INJECTION", "STATE", "RESTART")
YES, NO, UNKNOWN = "yes", "no", "unknown"
STYLES = {
    YES: tables.GOOD, NO: tables.BAD, UNKNOWN: tables.NEUTRAL, names.ENABLED: tables.GOOD,
    audit.OUTDATED: tables.NEUTRAL, audit.MISSING: tables.NEUTRAL,
}  # fmt: skip


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """All that is told."""

    release: release.Release
    outside: str
    """Where the operator runs if not in this cluster; empty otherwise."""
    injections: Sequence[cluster_injections.LiveInjection]
    namespaces: Sequence[api.Json]
    """Those that carry our label, whatever its value."""
    census: cluster_pods.Census
    certificates: live.Certificates | None
    """None where they may not be read."""
    notes: Sequence[str]


@click.command(epilog="Example: sidecar-injector status -n demo")
@client.namespace(everywhere=True)
@options.output()
@client.address()
def status(
    *, namespace: str | None, all_namespaces: bool, form: str, address: client.Address
) -> None:
    """Show what is installed, what it does where, and which pods need a restart.

    For each injection stands how many pods it selects, and how many of these have it, as the
    operator counted last. Pods that need a restart are counted now: they have parts of an older
    template (outdated) or lack an injection that selects them (missing). Exit status 0 whatever is
    shown; `sidecar-injector check` looks for what is wrong.
    """
    where = client.one_namespace(namespace, all_namespaces=all_namespaces)
    now = datetime.datetime.now(datetime.UTC)
    found = client.ask(
        address,
        lambda asked: _read(asked, where, given=address.release_namespace, now=now),
        doing="reading",
    )
    if form == options.TABLE:
        _print(found, now)
    else:
        tables.structured(as_json(found), form=form)
    for note in found.notes:
        click.echo(f"note: {note}", err=True)


def as_json(found: State) -> dict[str, Any]:
    """For programs; its shape is stable."""
    return {
        "release": {
            "namespace": found.release.namespace,
            "name": found.release.fullname,
            "version": found.release.version,
            "replicas": found.release.wanted,
            "ready": found.release.ready,
            "outside": found.outside,
        },
        "injections": [_injection(one) for one in found.injections],
        "namespaces": [
            {
                "name": name,
                "label": label,
                "pods": pods,
                "injections": applying,
            }
            for name, label, pods, applying in _namespaces(found)
        ],
        "restarts": [
            {
                "namespace": one.owner.namespace,
                "kind": one.owner.kind,
                "name": one.owner.name,
                "pod": one.pod,
                "injection": one.reference,
                "state": one.state,
                "message": one.useless,
            }
            for one in found.census.cases
        ],
        "certificates": certificates.as_json(found.certificates) if found.certificates else None,
    }


async def _read(
    asked: client.Cluster, namespace: str | None, *, given: str | None, now: datetime.datetime
) -> State:
    installed = await release.find(asked, namespace=given)
    known = await cluster_injections.injections(asked, namespace=namespace)
    notes = list(known.notes)
    taken = await cluster_pods.take(
        asked, namespace=namespace, known=known, release_namespace=installed.namespace
    )
    return State(
        release=installed,
        outside=await release.outside(asked, installed),
        injections=known.injections,
        namespaces=await _labelled(asked, namespace),
        census=taken,
        certificates=await _certificates(asked, installed, now=now, notes=notes),
        notes=notes,
    )


async def _labelled(asked: api.Api, namespace: str | None) -> list[api.Json]:
    if namespace is not None:
        return [await asked.get(api.NAMESPACES, name=namespace)]
    scope = api.Scope(label_selector=names.INJECTION_LABEL)
    return await objects.listed(asked, api.NAMESPACES, scope=scope)


async def _certificates(
    asked: api.Api, installed: release.Release, *, now: datetime.datetime, notes: list[str]
) -> live.Certificates | None:
    # As in `run`: other verbs should not pay for the import of the cryptography.
    from sidecar_injector.cli.cluster import certificates as live  # noqa: PLC0415

    try:
        return await live.read(asked, installed, now=now)
    except api.ApiError as error:
        if error.status != api.FORBIDDEN:
            raise
        notes.append("you may not read the certificates' Secret: they are not shown")
        return None


def _injection(one: cluster_injections.LiveInjection) -> dict[str, Any]:
    status = one.resource.get("status") or {}
    conditions = {each["type"]: each for each in status.get("conditions") or ()}
    ready = conditions.get("Ready") or {}
    accepted = conditions.get("Accepted") or {}
    why = accepted if accepted.get("status") == "False" else ready
    return {
        "kind": one.injection.kind,
        "namespace": one.injection.namespace or "",
        "name": one.injection.name,
        "ready": ready.get("status", "Unknown"),
        "reason": why.get("reason", ""),
        "message": why.get("message", ""),
        "pods": status.get("pods"),
    }


def _namespaces(found: State) -> Iterator[tuple[str, str, int, list[str]]]:
    read = cluster_injections.ReadInjections(injections=found.injections)
    for thing in found.namespaces:
        name = api.metadata(thing)["name"]
        label = objects.labels(thing).get(names.INJECTION_LABEL, "")
        applying = [
            one.reference
            for one in read.of(name)
            if one.namespace_selector(objects.labels(thing)) and label == names.ENABLED
        ]
        yield name, label, found.census.pods.get(name, 0), applying


def _print(found: State, now: datetime.datetime) -> None:
    console = tables.console()
    one = found.release
    ready = f"{one.ready} of {one.wanted} replicas ready"
    runs = f"runs outside of the cluster, at {found.outside}" if found.outside else ready
    tables.heading(
        f"{names.PRODUCT} {one.version}, Deployment {one.namespace}/{one.fullname}: {runs}",
        to=console,
    )
    for columns, rows, otherwise in (
        (INJECTIONS, _injection_rows(found), "there is no injection yet"),
        (NAMESPACES, _namespace_rows(found),
         f"no namespace is enabled: kubectl label namespace NAME {cluster_pods.SELECTOR}"),
        (RESTARTS, _restart_rows(found), "no pod needs a restart"),
    ):  # fmt: skip
        tables.write("\n")
        if made := list(rows):
            tables.table(columns, made, styles=STYLES, to=console)
        else:
            tables.heading(otherwise, to=console)
    if found.certificates:
        tables.write("\n")
        certificates.print_table(found.certificates, now, to=console)


def _injection_rows(found: State) -> Iterator[tables.Row]:
    words = {"True": YES, "False": NO}
    for one in map(_injection, found.injections):
        name = f"{names.CLUSTER_PREFIX}{one['name']}" if not one["namespace"] else one["name"]
        ready = words.get(one["ready"], UNKNOWN)
        pods = one["pods"] or {}
        counts = [str(pods[each]) if each in pods else NOTHING for each in COUNTS]
        why = "" if ready == YES else ": ".join(filter(None, (one["reason"], one["message"])))
        yield one["namespace"] or NOTHING, name, ready, *counts, why


def _namespace_rows(found: State) -> Iterator[tables.Row]:
    for name, label, pods, applying in _namespaces(found):
        said = label or "none"
        wrong = "" if label == names.ENABLED else f" (must be {names.ENABLED})"
        yield name, said + wrong, str(pods), ", ".join(applying) or NOTHING


def _restart_rows(found: State) -> Iterator[tables.Row]:
    groups: dict[tuple[str, str, str, str], set[str]] = {}
    for one in found.census.cases:
        helps = f"would not help: {one.useless}" if one.useless else "would help"
        group = str(one.owner), one.reference, one.state, helps
        groups.setdefault(group, set()).add(one.pod)
    for (owner, reference, state, helps), pods in sorted(groups.items()):
        yield owner, str(len(pods)), reference, state, helps
