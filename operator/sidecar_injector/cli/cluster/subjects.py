"""The pods that `explain` and `diff` are about: of files, or of a cluster."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import click

from sidecar_injector import names
from sidecar_injector.cli import options
from sidecar_injector.cli.cluster import client as cluster_client
from sidecar_injector.cli.cluster import errors, live_files, objects, owners, release
from sidecar_injector.cli.cluster import injections as cluster_injections
from sidecar_injector.cli.cluster import pods as cluster_pods
from sidecar_injector.cli.cluster.objects import Reference
from sidecar_injector.cli.commands import inject
from sidecar_injector.cli.input import manifests
from sidecar_injector.core import remedies
from sidecar_injector.core.injections import model
from sidecar_injector.core.merging import status_annotation
from sidecar_injector.core.pods import controllers, workloads
from sidecar_injector.core.pods import fields as pod_fields
from sidecar_injector.kube import api


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PodHistory:
    """What a pod's annotation says of its creation."""

    recorded: status_annotation.Provenance
    injections: Sequence[model.Injection]
    """The injections as they are now."""
    owner: remedies.Subject
    """What makes a new pod in place of this one, or the pod itself."""
    created: str = ""
    """RFC 3339, in UTC."""
    ages: Mapping[tuple[str, str], str] = dataclasses.field(default_factory=dict)
    """When each injection was created, by `Injection.identity`."""

    def current(self, identity: tuple[str, str]) -> model.Injection | None:
        """The injection as it is now; None if it was deleted."""
        return next(
            (injection for injection in self.injections if injection.identity == identity), None
        )


SubjectWithHistory = tuple[inject.Subject, PodHistory | None]
"""A subject, and for a pod of a cluster what happened when it was created."""


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


def read(chosen: SubjectOptions) -> tuple[list[SubjectWithHistory], Sequence[str]]:
    """The subjects in the order of the arguments, and notes about what could not be seen."""
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
        ),
    )


def _of_files(
    chosen: SubjectOptions,
) -> tuple[list[SubjectWithHistory], Sequence[str]]:
    notes: list[str] = []
    documents = manifests.read_files(chosen.files, notes)
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
    return [(subject, None) for subject in decided], notes


async def _of_cluster(
    client: api.Api,
    references: Sequence[objects.Reference],
    *,
    namespace: str | None,
    selector: str,
    release_namespace: str | None,
) -> tuple[list[SubjectWithHistory], Sequence[str]]:
    """The objects, in one namespace or in all."""
    injections = await cluster_injections.injections(client, namespace=namespace)
    found = [
        manifest
        for reference in references
        for manifest in await objects.read_selected(
            client, reference, namespace=namespace, selector=selector
        )
    ]
    if not found:
        place = f"in namespace {namespace}" if namespace else "in any namespace"
        which = f" with the labels {selector}" if selector else ""
        kind = references[0].kind.lower()
        raise cluster_client.ClusterError(
            errors.Explained(f"there is no {kind}{which} {place}", "-A looks in all namespaces")
        )
    views = {}
    injector_namespace = await release.namespace_of(client, chosen=release_namespace)
    for name in dict.fromkeys(api.metadata(manifest)["namespace"] for manifest in found):
        views[name] = await cluster_injections.namespace_view(
            client, name, injections=injections, release_namespace=injector_namespace
        )
    known = {name: view.namespace for name, view in views.items()}
    injector = inject.Injector(
        view_of=views.__getitem__, namespace=namespace or "", namespaces=known
    )
    pod_owners = owners.Owners(client)
    histories: list[PodHistory | None] = []
    for manifest in found:
        is_pod = manifest["kind"] == "Pod"
        histories.append(await _history(manifest, injections, pod_owners) if is_pod else None)
        written = cluster_pods.as_new(manifest) if is_pod else manifest
        await _read_account(client, written, injector)
        injector.document(manifests.Document(_place(manifest), written))
    notes = (*injections.notes, *injector.notes)
    return list(zip(injector.subjects, histories, strict=True)), notes


def _place(manifest: api.Json) -> str:
    return f"{manifest['kind'].lower()}/{api.metadata(manifest)['name']}"


async def _history(
    pod: api.Json, injections: cluster_injections.ReadInjections, pod_owners: owners.Owners
) -> PodHistory:
    metadata = api.metadata(pod)
    namespace = metadata["namespace"]
    owner = await pod_owners.of(pod)
    return PodHistory(
        recorded=status_annotation.read(pod_fields.metadata_map(pod, "annotations")),
        injections=injections.of(namespace),
        owner=remedies.Subject(
            namespace=namespace,
            kind=owner.kind,
            name=owner.name,
            annotation=pod_fields.metadata_map(pod, "annotations").get(names.INJECT_ANNOTATION),
        ),
        created=metadata["creationTimestamp"],
        ages=injections.ages(namespace),
    )


async def _read_account(client: api.Api, manifest: api.Json, injector: inject.Injector) -> None:
    """Let the injector know the ServiceAccount of the manifest's pods, if the user may read it."""
    (path,) = workloads.pod_paths(manifest)
    name = controllers.account_of(workloads.at(manifest, path))
    namespace = api.metadata(manifest)["namespace"]
    key = namespace, name
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
