"""`check`: whether everything is as it should be, and what to do where it is not."""

from __future__ import annotations

import dataclasses
import datetime
import sys
from collections.abc import AsyncIterator, Sequence
from typing import Any

import click

from sidecar_injector.cli import options
from sidecar_injector.cli.checks import before, installed, rights, server, webhook
from sidecar_injector.cli.checks.finding import FAILED, OK, WARNING, Check, CheckResult, Scene
from sidecar_injector.cli.cluster import client, release
from sidecar_injector.cli.cluster import injections as cluster_injections
from sidecar_injector.cli.output import tables
from sidecar_injector.kube import api

COLUMNS = ("CHECK", "RESULT", "WHAT", "REMEDY")
STYLES = {OK: tables.GOOD, WARNING: tables.NEUTRAL, FAILED: tables.BAD}
AFTER: Sequence[tuple[str, Check]] = (
    ("definitions", installed.definitions),
    ("replicas", installed.replicas),
    ("rights", rights.of_operator),
    ("webhooks", installed.configurations),
    ("certificates", webhook.certificates),
    ("namespaces", webhook.namespaces),
    ("injections", webhook.injections),
    ("fields", server.used_fields),
    ("dry-run pod", webhook.pod),
)
BEFORE: Sequence[tuple[str, Check]] = (
    ("rights", rights.to_install),
    ("release", before.other_release),
    ("leftovers", before.leftovers),
    ("others", before.other_injectors),
    ("fields", server.acceptable_fields),
    ("namespaces", before.labelled),
)
"""In the order in which they are shown, each with the name for what keeps it from an answer."""


@click.command(epilog="Example: sidecar-injector check --pre")
@click.option("--pre", is_flag=True, help="Before the installation: what would stop it.")
@click.option("--strict", is_flag=True, help="Exit status 1 for warnings, too.")
@click.option("-n", "--namespace", metavar="NAMESPACE",
              help="Where the dry-run pod is created (the first enabled one without it), or, with"
              " --pre, where it is to be installed.")  # fmt: skip
@options.output()
@client.address()
def check(
    *, pre: bool, strict: bool, namespace: str | None, form: str, address: client.Address
) -> None:
    """Look for what is wrong with the injector in a cluster, and say what would help.

    Looks at the cluster's version, definitions, replicas, rights, webhook configurations,
    certificates and the API server's trust in them, namespaces, injections, and at last creates a
    pod as a dry run to see whether the webhook is asked. Nothing is changed. Exit status 1 if
    anything has failed: there is no cluster, no release, no right to look.
    """
    now = datetime.datetime.now(datetime.UTC)
    found: list[CheckResult] = []

    async def question(asked: client.Cluster) -> None:
        scene, tell = Scene(asked=asked, now=now, namespace=namespace), found.append
        # One by one: what was found before the cluster went away is told all the same.
        async for one in _findings(scene, pre=pre, given=address.release_namespace):
            tell(one)

    try:
        client.ask(address, question, doing="checking")
    except client.ClusterTrouble as error:
        remedy = "check --kubeconfig and --context, and that the API server runs"
        found.append(CheckResult("cluster", FAILED, error.message, remedy))
    if form == options.TABLE:
        width = len(COLUMNS) if any(one.remedy for one in found) else len(COLUMNS) - 1
        rows = [(one.check, one.level, one.message, one.remedy)[:width] for one in found]
        tables.table(COLUMNS[:width], rows, styles=STYLES, to=tables.console())
    else:
        tables.structured(as_json(found), form=form)
    fatal = (FAILED, WARNING) if strict else (FAILED,)
    sys.exit(1 if any(one.level in fatal for one in found) else 0)


def as_json(found: Sequence[CheckResult]) -> dict[str, Any]:
    """For programs; its shape is stable."""
    return {"findings": [dataclasses.asdict(one) for one in found]}


async def _findings(scene: Scene, *, pre: bool, given: str | None) -> AsyncIterator[CheckResult]:
    """All of them, in order. Raises UnreachableError and CredentialsError: then no check can."""
    async for one in _tried("cluster", server.version, scene):
        yield one
    if not pre:
        try:
            scene = dataclasses.replace(
                scene, release=await release.find(scene.asked, namespace=given)
            )
        except (release.ReleaseError, api.ApiError) as error:
            yield _hindered("release", error)
        try:
            scene = dataclasses.replace(
                scene, known=await cluster_injections.injections(scene.asked)
            )
        except cluster_injections.NoDefinitionsError:
            pass  # `definitions` tells it.
        except api.ApiError as error:
            yield _hindered("injections", error)
    for name, each in BEFORE if pre else AFTER:
        async for one in _tried(name, each, scene):
            yield one


async def _tried(name: str, each: Check, scene: Scene) -> AsyncIterator[CheckResult]:
    """What a check finds; that it may not look is a finding, too."""
    try:
        async for one in each(scene):
            yield one
    except api.ApiError as error:
        yield _hindered(name, error)


def _hindered(name: str, error: api.KubeError) -> CheckResult:
    if isinstance(error, api.ApiError):
        remedy = "ask for the right to look" if error.status == api.FORBIDDEN else ""
        return CheckResult(name, FAILED, error.message, remedy)
    return CheckResult(name, FAILED, str(error), release.INSTALL)
