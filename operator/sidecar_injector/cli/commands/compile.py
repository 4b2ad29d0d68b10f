"""`compile`: injections as an admission policy, by which the API server injects by itself."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from typing import Final

import click

from sidecar_injector import names
from sidecar_injector.cli import main, options
from sidecar_injector.cli.cluster import client as cluster_client
from sidecar_injector.cli.cluster import errors, policies, release
from sidecar_injector.cli.cluster import injections as cluster_injections
from sidecar_injector.cli.commands import inject, lint
from sidecar_injector.cli.input import manifests, yaml_documents, yaml_styles
from sidecar_injector.cli.output import policy_report, tables
from sidecar_injector.core.pods import workloads
from sidecar_injector.core.policies import chain, scope
from sidecar_injector.kube import api

STATIC: Final = ".static.k8s.io"
"""How a name ends in a manifest file of an API server, and only there:
https://kubernetes.io/docs/reference/access-authn-authz/manifest-admission-control/"""


def _minor(context: click.Context, parameter: click.Parameter, value: str | None) -> int | None:
    minor = lint.minor_of(context, parameter, value)
    if minor is not None and minor < chain.OLDEST_MINOR:
        raise click.BadParameter(str(policies.NotServedError(f"1.{minor}")))
    return minor


def _name(context: click.Context, parameter: click.Parameter, value: str) -> str:
    if not api.is_name(value):
        raise click.BadParameter(f"{value!r} cannot be the name of an object")
    return value


@click.command(epilog="Example: sidecar-injector compile -f injections/ | kubectl apply -f -")
@options.files(
    "SidecarInjections of either kind, all of which are compiled. LimitRanges and ResourceQuotas"
    " count for their namespaces, and the selectors and conditions of the chart's"
    " MutatingWebhookConfiguration for all pods.", required=False,
)  # fmt: skip
@options.namespace()
@click.option("--name", default=names.PRODUCT, show_default=True, callback=_name, metavar="NAME",
              help="Of the policy and its binding; the guard is NAME-guard.")  # fmt: skip
@click.option("--guard", "guarded", is_flag=True,
              help="Also a ValidatingAdmissionPolicy that holds failurePolicy Fail. With --static,"
              " only this.")  # fmt: skip
@click.option("--static", is_flag=True,
              help="For a file in the folder staticManifestsDir of an API server.")  # fmt: skip
@click.option("--kubernetes-version", "minor", callback=_minor, metavar="VERSION",
              help="The release of the cluster.  [default: its own; for files"
              f" {lint.NEWEST}]")  # fmt: skip
@click.option("--check", "checks", is_flag=True,
              help="Compare with what the cluster has, and print no manifest.")  # fmt: skip
@options.output()
@cluster_client.address()
def compile(  # noqa: A001 - the verb's name
    *,
    files: tuple[str, ...],
    namespace: str,
    name: str,
    guarded: bool,
    static: bool,
    minor: int | None,
    checks: bool,
    form: str,
    address: cluster_client.Address,
) -> None:
    """Make the admission policy by which the API server injects while no operator runs.

    It is a MutatingAdmissionPolicy with its binding, for kubectl apply or a Git repository, and
    needs Kubernetes 1.36. With -f, every injection of the files is compiled. Without it, those
    ClusterSidecarInjections of the cluster that have engine Policy. It does to a pod what the
    webhook would do, or nothing, and then the webhook does it. A note names each injection that
    cannot be compiled, with the field and the reason.

    Exit status 1 if an injection is left to the webhook; with --check, if the cluster does not have
    what would be printed.

    Example: sidecar-injector compile --check
    """
    if static and checks:
        raise click.UsageError(
            "--static and --check exclude each other: the API does not show files of an API server"
        )
    options.check_stdin(*files)
    notes: list[str] = []
    if files:
        chains = [_of_files(files, namespace, address.release_namespace, minor=minor, notes=notes)]
    else:
        chains = _of_cluster(address, minor=minor, checks=checks, notes=notes)
    result = chains[0]
    full_name = f"{name}{STATIC}" if static else name
    compiled = chain.manifests(result, name=full_name, guarded=guarded)
    if static:
        # An API server has a folder for each of the two.
        compiled = [each for each in compiled if each["kind"].startswith("Val") is guarded]
    states: list[policies.State] | None = None
    if checks:
        states = cluster_client.run(
            address, lambda client: policies.compare(client, *chains, name=name, guarded=guarded)
        )
    remedies = policies.remedies(states or (), _command())
    if form != options.TABLE:
        answer = policy_report.as_json(result, compiled, states, remedies)
        tables.structured({**answer, "notes": notes}, form=form)
    elif states is not None:
        policy_report.write(states, remedies)
    elif compiled:
        tables.write(yaml_documents.dump_all(compiled))
    tables.notes([*notes, *policy_report.sentences(result)])
    sys.exit(1 if (remedies if checks else result.left) else 0)


def _of_files(
    files: Sequence[str],
    namespace: str,
    release_namespace: str | None,
    *,
    minor: int | None,
    notes: list[str],
) -> chain.Chain:
    injections, others = lint.read(files, namespace=namespace, notes=notes)
    if not injections:
        raise manifests.without_injection(files[0])
    place = chain.Place(
        release_namespace=release_namespace or names.PRODUCT,
        limited=sorted(inject.limits_among(others, namespace=namespace, notes=notes)),
        minor=minor,
        scope=_scope_among(others),
    )
    return chain.compile_chain(injections, place)


def _scope_among(documents: Sequence[manifests.Document]) -> scope.Scope:
    """That of the rendered webhook configuration, if it is among the documents."""
    scopes = (
        scope.of_webhook(yaml_styles.plain(item.manifest))
        for item in manifests.every_item(documents)
        if workloads.kind_of(item.manifest) == lint.WEBHOOKS
    )
    return next(filter(None, scopes), scope.Scope())


def _of_cluster(
    address: cluster_client.Address, *, minor: int | None, checks: bool, notes: list[str]
) -> list[chain.Chain]:
    """As the cluster has the injections, and as files would have them.

    Raises ClusterError if no injection asks for it, unless a policy is to be compared.
    """

    async def read(client: api.Api) -> list[chain.Chain]:
        await policies.check_served(client)
        injections = await cluster_injections.injections(client)
        notes.extend(injections.notes)
        if not checks and not any(live.injection.is_compiled for live in injections.injections):
            patch = """--type=merge -p '{"spec":{"engine":"Policy"}}'"""
            raise cluster_client.ClusterError(
                errors.Explained(
                    f"no {names.CLUSTER_KIND} has spec.engine Policy",
                    f"Name files with -f, or: kubectl patch {names.CLUSTER_PLURAL} NAME {patch}",
                )
            )
        settings = await release.settings_of(client, chosen=address.release_namespace)
        place = await policies.place(client, settings, minor=minor, notes=notes)
        as_files = (False, True) if checks else (False,)
        return [policies.compiled(injections, place, as_files=each) for each in as_files]

    return cluster_client.run(address, read, doing="reading")


def _command() -> str:
    """The command that was typed, without what only compares."""
    words = click.get_current_context().meta[main.WORDS]
    dropped = ("--check", "-o", "--output", options.JSON, options.YAML)
    return shlex.join([names.PRODUCT, *(word for word in words if word not in dropped)])
