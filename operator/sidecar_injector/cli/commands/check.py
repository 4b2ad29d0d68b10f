"""`check`: whether the installation works, and what to do where it does not."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import click

from sidecar_injector.cli import options
from sidecar_injector.cli.checks import (
    before,
    installed,
    policies,
    rights,
    server,
    surroundings,
    webhook,
)
from sidecar_injector.cli.checks.finding import (
    FAILED,
    OK,
    UNKNOWN,
    WARNING,
    Check,
    CheckContext,
    CheckResult,
)
from sidecar_injector.cli.cluster import client as cluster_client
from sidecar_injector.cli.cluster import errors, release
from sidecar_injector.cli.cluster import injections as cluster_injections
from sidecar_injector.cli.output import tables
from sidecar_injector.kube import api
from sidecar_injector.observability import logs

if TYPE_CHECKING:
    from sidecar_injector.cli.cluster import http_client

PAUSE: Final = 2.0
"""Seconds between two looks at everything."""
COLUMNS = ("CHECK", "RESULT", "WHAT")
STYLES = {OK: tables.GOOD, WARNING: tables.NEUTRAL, UNKNOWN: tables.NEUTRAL, FAILED: tables.BAD}
AFTER: Sequence[tuple[str, Check]] = (
    ("definitions", installed.definitions),
    ("replicas", installed.replicas),
    ("rights", rights.of_operator),
    ("webhooks", installed.configurations),
    ("certificates", webhook.certificates),
    ("namespaces", webhook.namespaces),
    ("cold start", surroundings.cold_start),
    ("injections", webhook.injections),
    ("policies", policies.compiled),
    ("objects", surroundings.needed_objects),
    ("fields", server.used_fields),
    ("dry-run pod", webhook.pod),
)
LOOK = "ask for these permissions, or ask an administrator to run this check"
BEFORE: Sequence[tuple[str, Check]] = (
    ("rights", rights.to_install),
    ("release", before.other_release),
    ("leftovers", before.leftovers),
    ("others", before.other_injectors),
    ("fields", server.acceptable_fields),
    ("namespaces", before.labelled),
)
"""In the order of the table, each with the name of the result if the check itself fails."""


@click.command(epilog="Example: sidecar-injector check --pre")
@click.option("--pre", is_flag=True, help="Before the installation: what would stop it.")
@click.option("--strict", is_flag=True, help="Exit status 1 for warnings, too.")
@click.option("-n", "--namespace", metavar="NAMESPACE",
              help="Where the dry-run pod is created (the first enabled one without it), or, with"
              " --pre, where it is to be installed.")  # fmt: skip
@click.option("--wait", type=click.IntRange(min=1), metavar="SECONDS",
              help="Repeat until no check fails, at most for so long.")  # fmt: skip
@options.output()
@cluster_client.address()
def check(
    *,
    pre: bool,
    strict: bool,
    namespace: str | None,
    wait: int | None,
    form: str,
    address: cluster_client.Address,
) -> None:
    """Check the installation, and print what helps.

    Checks the cluster's version, definitions, replicas, permissions, webhook configurations,
    certificates and the API server's trust in them, namespaces, and injections with what they need
    and the policy that has those with engine Policy.
    The last check creates a pod as a dry run, to see whether the webhook is called. Nothing is
    changed. Exit status 1 if a check has failed. Exit status 2 if none has, but you lack
    permissions to see everything, and if the cluster cannot be reached.
    """
    deadline = time.monotonic() + (wait or 0)
    results, is_reachable = _collected(address, pre=pre, namespace=namespace)
    while (failure := _first_failure(results)) and time.monotonic() + PAUSE < deadline:
        click.echo(f"waiting: {failure.check}: {logs.one_line(failure.message)}", err=True)
        time.sleep(PAUSE)
        results, is_reachable = _collected(address, pre=pre, namespace=namespace)
    if form == options.TABLE:
        console = tables.console()
        rows = [row for result in results for row in _rows(result)]
        tables.table(COLUMNS, rows, styles=STYLES, to=console)
        tables.heading(summary(results), to=console)
    else:
        tables.structured(as_json(results), form=form)
    levels = {result.level for result in results}
    fatal = {FAILED, WARNING} if strict else {FAILED}
    sys.exit(2 if not is_reachable else 1 if levels & fatal else 2 if UNKNOWN in levels else 0)


def _collected(
    address: cluster_client.Address, *, pre: bool, namespace: str | None
) -> tuple[list[CheckResult], bool]:
    """The results of all checks, or of those before the cluster went away, and False."""
    now = datetime.datetime.now(datetime.UTC)
    results: list[CheckResult] = []

    async def collect(client: http_client.InteractiveClient) -> None:
        context = CheckContext(client=client, now=now, namespace=namespace)
        add, chosen = results.append, address.release_namespace
        async for result in _results(context, pre=pre, release_namespace=chosen):
            add(result)

    try:
        cluster_client.run(address, collect, doing="checking")
    except cluster_client.ClusterError as error:
        found = error.explained
        results.append(CheckResult("cluster", FAILED, found.sentence, found.remedy))
        return results, False
    return results, True


def _first_failure(results: Sequence[CheckResult]) -> CheckResult | None:
    return next((result for result in results if result.level == FAILED), None)


def _rows(result: CheckResult) -> Iterator[tables.Row | str]:
    yield result.check, result.level, result.message
    if result.remedy:
        yield tables.remedy(result.remedy)


def summary(results: Sequence[CheckResult]) -> str:
    """How many results there are of each level that is not well."""
    counts = collections.Counter(result.level for result in results)
    parts = [
        f"{counts[level]} {text if counts[level] == 1 else plural}"
        for level, text, plural in (
            (FAILED, "failed", "failed"), (UNKNOWN, "unknown", "unknown"),
            (WARNING, "warning", "warnings"),
        )
        if counts[level]
    ]  # fmt: skip
    return ", ".join(parts) if parts else "everything is in order"


def as_json(results: Sequence[CheckResult]) -> dict[str, Any]:
    """For programs; its shape is stable."""
    return {"findings": [dataclasses.asdict(result) for result in results]}


async def _results(
    context: CheckContext, *, pre: bool, release_namespace: str | None
) -> AsyncIterator[CheckResult]:
    """The results of all checks, in order.

    Raises UnreachableError and CredentialsError: then no check is possible.
    """
    async for result in _guarded("cluster", server.version, context):
        yield result
    if not pre:
        try:
            installed_release = await release.find(context.client, namespace=release_namespace)
            context = dataclasses.replace(context, release=installed_release)
        except (release.ReleaseError, api.ApiError) as error:
            yield _failure("release", error)
        try:
            injections = await cluster_injections.injections(context.client)
            context = dataclasses.replace(context, injections=injections)
        except cluster_injections.NoDefinitionsError:
            pass  # This is a result of `definitions`.
        except api.ApiError as error:
            role = context.release.cli_role if context.release else ""
            yield _failure("injections", error, role=role)
    for name, single in BEFORE if pre else AFTER:
        async for result in _guarded(name, single, context):
            yield result


async def _guarded(name: str, single: Check, context: CheckContext) -> AsyncIterator[CheckResult]:
    """The results of a check; where the API server refuses to answer, that is the result."""
    try:
        async for result in single(context):
            yield result
    except api.ApiError as error:
        yield _failure(name, error, role=context.release.cli_role if context.release else "")


def _failure(name: str, error: api.KubeError, *, role: str = "") -> CheckResult:
    if isinstance(error, api.ApiError):
        found = errors.explained(error, role=role)
        if error.status == api.FORBIDDEN:
            return CheckResult(name, UNKNOWN, found.sentence, found.remedy or LOOK)
        return CheckResult(name, FAILED, found.sentence, found.remedy)
    return CheckResult(name, FAILED, str(error), release.INSTALL)
