"""The pods that `explain` and `diff` are about: of files, or of a cluster."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from typing import NoReturn

import click

from sidecar_injector.cli import options
from sidecar_injector.cli.cluster import client as cluster_client
from sidecar_injector.cli.cluster import (
    discovery,
    errors,
    history,
    live_files,
    objects,
    owners,
    release,
    running,
)
from sidecar_injector.cli.cluster import injections as cluster_injections
from sidecar_injector.cli.cluster import pods as cluster_pods
from sidecar_injector.cli.cluster.objects import Reference
from sidecar_injector.cli.commands import inject
from sidecar_injector.cli.input import manifests
from sidecar_injector.core.injections import namespace_view
from sidecar_injector.core.pods import controllers, kinds, workloads
from sidecar_injector.core.pods.owner import Owner
from sidecar_injector.kube import api

History = history.PodHistory | running.RunningPods
SubjectWithHistory = tuple[inject.Subject, History | None]
"""A subject of a cluster has what its pod, or the pods of its workload, were created with."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ReadSubjects:
    """The subjects in the order of the arguments."""

    subjects: Sequence[SubjectWithHistory]
    notes: Sequence[str]
    """What could not be seen."""
    absent: Sequence[errors.Explained] = ()
    """The named objects that do not exist."""

    def exit(self) -> NoReturn:
        """Name what does not exist: exit status 2. Else 1 if an injection cannot be done."""
        for explained in self.absent:
            click.echo(f"Error: {explained}", err=True)
        has_findings = any(subject.entry.has_findings for subject, _ in self.subjects)
        sys.exit(2 if self.absent else 1 if has_findings else 0)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SubjectOptions:
    """The arguments of the verb: files and injections, or names of live objects."""

    objects: tuple[str, ...]
    selector: str | None
    all_namespaces: bool
    files: tuple[str, ...]
    injection_files: tuple[str, ...]
    namespace: str | None
    namespace_labels: dict[str, str]
    address: cluster_client.Address

    def check(self) -> None:
        """Raises UsageError unless they name either files or objects."""
        live = {
            " ".join(self.objects): self.objects, "-l": self.selector, "-A": self.all_namespaces,
        }  # fmt: skip
        of_files = {
            "-f": self.files, "-i": self.injection_files,
            "--namespace-labels": self.namespace_labels,
        }  # fmt: skip
        of_cluster, from_files = (
            [name for name, value in group.items() if value] for group in (live, of_files)
        )
        if of_cluster and from_files:
            raise click.UsageError(
                f"{' and '.join([*of_cluster, *from_files])} exclude each other: for a cluster give"
                " KIND/NAME without -f, -i and --namespace-labels, for files -f FILE without KIND,"
                " -l and -A"
            )
        if not of_cluster and not self.files:
            with_files = f", with {' and '.join(from_files)}" if from_files else ""
            raise click.UsageError(
                f"nothing says which pods: give KIND/NAME of a cluster, or -f FILE{with_files}"
            )
        if of_cluster and not self.objects:
            raise click.UsageError(
                f"{' and '.join(of_cluster)} without a kind: give one, such as deploy"
            )
        options.check_stdin(*self.files, *self.injection_files)

    def references(self) -> list[Reference]:
        """The live objects. Raises UsageError for names that an option contradicts."""
        references = objects.references(self.objects)
        cluster_client.chosen_namespace(self.namespace, all_namespaces=self.all_namespaces)
        if any(reference.name for reference in references) and (
            self.selector or self.all_namespaces
        ):
            raise click.UsageError("-l and -A choose among all objects of a kind: give no name")
        return references


def read(chosen: SubjectOptions, *, with_running: bool = False) -> ReadSubjects:
    """The subjects that the options choose. Raises ClusterError where there is none.

    `with_running` also reads the pods of workloads.
    """
    chosen.check()
    if not chosen.objects:
        return _of_files(chosen)
    references = chosen.references()
    namespace = None
    if not chosen.all_namespaces:
        namespace = chosen.namespace or cluster_client.context_namespace(chosen.address)
    return cluster_client.run(
        chosen.address,
        lambda client: _of_cluster(
            client,
            references,
            namespace=namespace,
            selector=chosen.selector or "",
            release_namespace=chosen.address.release_namespace,
            with_running=with_running,
        ),
    )


def _of_files(chosen: SubjectOptions) -> ReadSubjects:
    notes: list[str] = []
    documents = manifests.read_files(chosen.files, notes)
    if chosen.namespace:
        manifests.check_namespace(documents, chosen.namespace)
    if chosen.injection_files:
        namespace = chosen.namespace or "default"
        injector = inject.offline(
            manifests.read_injections(chosen.injection_files, namespace=namespace, notes=notes),
            namespace=namespace,
            namespace_labels=chosen.namespace_labels,
        )
    else:
        injector = live_files.injector(
            chosen.address,
            documents,
            namespace=chosen.namespace,
            namespace_labels=chosen.namespace_labels,
        )
    decided = inject.read_subjects(chosen.files, documents, injector)
    notes += (*injector.notes_on_namespaces(), *injector.notes)
    return ReadSubjects(subjects=[(subject, None) for subject in decided], notes=notes)


async def _of_cluster(
    client: api.Api,
    references: Sequence[objects.Reference],
    *,
    namespace: str | None,
    selector: str,
    release_namespace: str | None,
    with_running: bool,
) -> ReadSubjects:
    """The objects, in one namespace or in all."""
    injections = await cluster_injections.injections(client, namespace=namespace)
    kinds_served = discovery.Discovery(client)
    references = await objects.resolved(references, kinds_served)
    found, absent = await objects.read_existing(
        client, references, namespace=namespace, selector=selector
    )
    if not found:
        sentences = dict.fromkeys(each.sentence for each in absent)
        raise cluster_client.ClusterError(errors.Explained("; ".join(sentences), absent[0].remedy))
    notes: list[str] = []
    views = await _views(
        client, found, injections, release_namespace=release_namespace, notes=notes
    )
    known = {name: view.namespace for name, view in views.items()}
    injector = inject.Injector(
        view_of=views.__getitem__, namespace=namespace or "", namespaces=known, is_live=True,
        notes=notes,
    )  # fmt: skip
    pod_owners = owners.Owners(client, kinds_served)
    pods: Mapping[Owner, running.RunningPods] = {}
    if with_running:
        pods = await objects.unless_forbidden(
            running.read(client, found, views=views, injections=injections, owners=pod_owners),
            notes=injector.notes,
            consequence="what running pods lack is not shown",
        ) or {}  # fmt: skip
    histories: list[History | None] = []
    for manifest in found:
        if manifest["kind"] == "Pod":
            facts: History | None = await history.read(manifest, injections, pod_owners)
        else:
            facts = pods.get(owners.of_workload(manifest))
        await _decide(client, manifest, injector)
        # An object may have several pod templates, or none.
        histories += [facts] * (len(injector.subjects) - len(histories))
    if not injector.subjects:
        raise cluster_client.ClusterError(errors.Explained(injector.notes[-1]))
    notes = [*injections.notes, *injector.notes, *pod_owners.notes]
    subjects = list(zip(injector.subjects, histories, strict=True))
    return ReadSubjects(subjects=subjects, notes=notes, absent=absent)


async def _decide(client: api.Api, manifest: api.Json, injector: inject.Injector) -> None:
    """Let the injector decide about the pods of a live object."""
    written = cluster_pods.as_new(manifest) if manifest["kind"] == "Pod" else manifest
    await _read_accounts(client, written, injector)
    injector.document(manifests.Document(_place(manifest), written))
    if not workloads.pod_paths(written):
        injector.notes.append(_without_template(written))


async def _views(
    client: api.Api,
    existing: Sequence[api.Json],
    injections: cluster_injections.ReadInjections,
    *,
    release_namespace: str | None,
    notes: list[str],
) -> dict[str, namespace_view.NamespaceView]:
    settings = await release.settings_of(client, chosen=release_namespace)
    return {
        name: await cluster_injections.namespace_view(
            client,
            name,
            injections=injections,
            release_namespace=settings.namespace,
            limits=await cluster_injections.limits(client, name, settings=settings, notes=notes),
        )
        for name in dict.fromkeys(api.metadata(manifest)["namespace"] for manifest in existing)
    }


def _place(manifest: api.Json) -> str:
    return f"{manifest['kind'].lower()}/{api.metadata(manifest)['name']}"


def _without_template(manifest: api.Json) -> str:
    group, kind = workloads.kind_of(manifest)
    place = _place(manifest)
    if kinds.find(group, kind):
        return f"{place} has no pod template"
    return f"no pod template is found in {place}; say where it is: --kind-path {group}/{kind}=PATH"


async def _read_accounts(client: api.Api, manifest: api.Json, injector: inject.Injector) -> None:
    """Let the injector know the ServiceAccounts of the manifest's pods, if the user may."""
    accounts = (
        controllers.account_of(workloads.at(manifest, path))
        for path in workloads.pod_paths(manifest)
    )
    for name in dict.fromkeys(accounts):
        await _read_account(client, (api.metadata(manifest)["namespace"], name), injector)


async def _read_account(client: api.Api, key: tuple[str, str], injector: inject.Injector) -> None:
    namespace, name = key
    if key in injector.accounts:
        return
    try:
        account = await api.get_or_none(
            client, api.SERVICE_ACCOUNTS, name=name, namespace=namespace
        )
    except api.ApiError as error:
        if error.status != api.FORBIDDEN:
            raise
        account = None
    if account is None:
        injector.notes.append(
            f"the ServiceAccount {name!r} cannot be read: its pull secrets, and whether it wants"
            " tokens in pods, are not known"
        )
    else:
        injector.accounts[key] = account
