"""`plan`: what a change of injections or namespaces would do to every workload."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import click

from sidecar_injector import names
from sidecar_injector.cli import options, planned
from sidecar_injector.cli.cluster import client
from sidecar_injector.cli.commands import inject
from sidecar_injector.cli.input import manifests, yaml_styles
from sidecar_injector.cli.output import plan_report, tables
from sidecar_injector.core import autoscalers, impact
from sidecar_injector.core.injections import model, namespace_view
from sidecar_injector.core.injections.schema import Problem
from sidecar_injector.core.linting import validate
from sidecar_injector.core.pods import kinds


@click.command(epilog="Example: sidecar-injector plan -f injection.yaml")
@options.files(
    "SidecarInjections of either kind, and namespaces, as they would be applied.", required=False
)
@click.option("--delete", "deleted", multiple=True, metavar="NAME|cluster/NAME",
              help="An injection that would be deleted. May be repeated.")  # fmt: skip
@click.option("--namespace-labels", default="", callback=options.labels, metavar="K=V,…",
              help="Labels that the namespace of -n would get.")  # fmt: skip
@click.option("-n", "--namespace", metavar="NAMESPACE",
              help="Only workloads of this namespace; the namespace of injections that carry none."
              "  [default: every namespace that the change reaches]")  # fmt: skip
@click.option("-w", "--workloads", "workload_files", multiple=True, metavar="FILE|DIR|URL|-",
              type=click.Path(allow_dash=True),
              help="Workloads, namespaces, quotas and autoscalers, in place of a cluster's."
              " May be repeated.")  # fmt: skip
@options.injections(required=False, without=" With -w: the injections that there are now.")
@options.kind_paths()
@options.output()
@client.address()
def plan(
    *,
    files: tuple[str, ...],
    deleted: tuple[str, ...],
    namespace: str | None,
    namespace_labels: dict[str, str],
    workload_files: tuple[str, ...],
    injection_files: tuple[str, ...],
    form: str,
    address: client.Address,
) -> None:
    """Say what a change would do to every workload, before it is made.

    Decides about the pods of each workload, and about each bare pod, twice: with the cluster as it
    is, and as it would be. The first line is the answer. What breaks is listed first: injections
    that cannot be added, pods that would be refused, quotas without room for what is requested
    more, and autoscalers that need a request of every container. Nothing is written. Pods that run
    stay as they are until they are created again.

    With -w only files are read: -i has the injections that there are now, none without it.

    Exit status 0 if nothing would break; 1 if something would, or if an injection would be refused;
    2 if not everything could be seen.

    Example: sidecar-injector plan --delete cluster/proxy
    """
    _check_usage(
        changes=bool(files or deleted or namespace_labels),
        needs_namespace=bool(namespace_labels) and not namespace,
        needs_workloads=bool(injection_files) and not workload_files,
    )
    options.check_stdin(*files, *workload_files, *injection_files)
    notes: list[str] = []
    documents = manifests.read_files(files, notes)
    default = namespace or ("default" if workload_files else client.context_namespace(address))
    change, refused = _change(
        files, documents, deleted, default, labels=namespace_labels, is_named=bool(namespace)
    )
    if workload_files:
        result = _of_files(change, workload_files, injection_files, default, only=namespace)
    else:
        result = _of_cluster(change, address, only=namespace)
    result.refused, result.files = refused, files
    result.notes += [
        *notes,
        *planned.remarks(change, result),
        *(
            f"{reference} depends on {key!r}, whose value only the cluster knows: it is left out"
            for reference, key in sorted(result.impact.undecided.items())
        ),
    ]
    if form == options.TABLE:
        plan_report.write(result)
    else:
        tables.structured(plan_report.as_json(result), form=form)
    tables.notes([*result.unseen, *result.notes])
    sys.exit(result.exit_code())


def _check_usage(*, changes: bool, needs_namespace: bool, needs_workloads: bool) -> None:
    if not changes:
        raise click.UsageError("nothing says what changes: give -f, --delete or --namespace-labels")
    if needs_namespace:
        raise click.UsageError("--namespace-labels needs -n: which namespace gets them")
    if needs_workloads:
        raise click.UsageError("-i needs -w: a cluster has injections of its own")


def _change(
    files: Sequence[str],
    documents: Sequence[manifests.Document],
    deleted: Sequence[str],
    default: str,
    *,
    labels: Mapping[str, str],
    is_named: bool,
) -> tuple[planned.Change, list[tuple[model.Injection, Problem]]]:
    """What the files and names say, without the injections that the cluster would refuse."""
    ours = list(manifests.of_our_group(documents))
    namespaces = inject.namespaces_among(documents)
    if files and not ours and not namespaces:
        raise manifests.without_injection(files[0])
    injections = manifests.injections(ours, namespace=default)
    other = next(
        (each for each in injections if is_named and each.namespace not in (None, default)), None
    )
    if other:
        raise manifests.UnreadableInput(
            f"the namespace {other.namespace!r} of {other.name} does not match the namespace"
            f" {default!r} of -n; leave out -n, or write -n {other.namespace}"
        )
    refused = [
        (injection, errors[0])
        for injection in injections
        if (errors := validate.validate(injection).errors)
    ]
    unfit = {impact.key_of(injection) for injection, _ in refused}
    change = planned.Change(
        injections=[each for each in injections if impact.key_of(each) not in unfit],
        deleted=[_key(reference, default) for reference in deleted],
        namespaces=namespaces,
        labels=labels,
        labelled=default,
        is_named=is_named,
    )
    return change, refused


def _key(reference: str, namespace: str) -> tuple[str | None, str]:
    """Namespace and name of an injection, as a pod's annotation may list it."""
    if reference.startswith(names.CLUSTER_PREFIX):
        return None, reference.removeprefix(names.CLUSTER_PREFIX)
    place, _, name = reference.rpartition("/")
    if place:
        raise click.UsageError(f"--delete {reference}: write --delete {name} -n {place}")
    return namespace, reference


def _of_cluster(
    change: planned.Change, address: client.Address, *, only: str | None
) -> planned.Plan:
    from sidecar_injector.cli.cluster import plan_facts  # noqa: PLC0415 - files need no cluster

    places = [only] if only else change.places()

    async def read(connected: Any) -> planned.Plan:
        with _progress() as show:
            facts = plan_facts.Facts(connected, places, show)
            return await facts.plan(change, release_namespace=address.release_namespace)

    return client.run(address, read)


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """Shows on a terminal what is read."""
    console = tables.console(stderr=True)
    if not console.is_terminal:
        yield lambda text: None
        return
    with console.status("reading") as status:
        yield status.update


def _of_files(
    change: planned.Change,
    workload_files: Sequence[str],
    injection_files: Sequence[str],
    default: str,
    *,
    only: str | None,
) -> planned.Plan:
    notes: list[str] = []
    documents = manifests.read_files(workload_files, notes)
    current = (
        manifests.read_injections(injection_files, namespace=default, notes=notes)
        if injection_files
        else []
    )
    namespaces = inject.namespaces_among(documents)
    result = planned.Plan(
        impact=planned.worlds(
            change, current, namespaces, assumed={names.INJECTION_LABEL: names.ENABLED},
            limits=inject.limits_among(documents, namespace=default, notes=notes),
            autoscalers=_autoscalers(documents, default),
        ),
        notes=notes, is_of_files=True,
    )  # fmt: skip
    accounts = inject.accounts_among(documents, namespace=default)

    def add(place: manifests.PodPlace) -> dict[str, Any]:
        metadata = dict(place.manifest.get("metadata") or {})
        metadata["namespace"] = metadata.get("namespace") or default
        if only in (None, metadata["namespace"]):
            manifest = {**place.manifest, "metadata": metadata}
            result.add(manifest, place.pod, path=place.path, accounts=accounts)
        return place.written

    for document in documents:
        result.notes += (*manifests.remarks(document), *manifests.guesses(document))
        manifests.with_pods(document, add)
    result.notes += _assumptions(result, namespaces)
    return result


def _autoscalers(
    documents: Sequence[manifests.Document], default: str
) -> Iterator[autoscalers.Autoscaler]:
    for item in manifests.every_item(documents):
        if item.manifest.get("kind") == autoscalers.KIND:
            manifest = yaml_styles.plain(item.manifest)
            namespace = (manifest.get("metadata") or {}).get("namespace") or default
            if autoscaler := autoscalers.autoscaler_of(manifest, namespace):
                yield autoscaler


def _assumptions(
    result: planned.Plan, namespaces: Mapping[str, namespace_view.Namespace]
) -> Iterator[str]:
    owners = {target.owner for target in result.impact.pods}
    for name in sorted({owner.namespace for owner in owners} - namespaces.keys()):
        label = f"{names.INJECTION_LABEL}={names.ENABLED}"
        yield f"namespace {name} is assumed to have the label {label}: no file contains it"
    if any(owner.kind == "DaemonSet" for owner in owners):
        yield "a DaemonSet counts as one pod: files do not say how many nodes there are"
    if not owners:
        known = ", ".join(sorted(kinds.BUILT_IN))
        yield f"the files of -w contain no pod; field kind may be {known}, or any with a template"
