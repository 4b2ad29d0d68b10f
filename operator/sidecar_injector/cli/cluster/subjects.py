"""The pods that `explain` and `diff` are about: of files, or of a cluster."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import click

from sidecar_injector.cli import options
from sidecar_injector.cli.cluster import client as cluster_client
from sidecar_injector.cli.cluster import injections as cluster_injections
from sidecar_injector.cli.cluster import objects, owners, release
from sidecar_injector.cli.cluster import pods as cluster_pods
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
    files: tuple[str, ...]
    injection_files: tuple[str, ...]
    namespace: str | None
    namespace_labels: dict[str, str]
    address: cluster_client.Address

    def check(self) -> None:
        """Raises UsageError unless they name either files or objects."""
        if self.objects and (self.files or self.injection_files or self.namespace_labels):
            raise click.UsageError("KIND/NAME asks a cluster, -f and -i read files: give one")
        if not self.objects and not self.files:
            raise click.UsageError("nothing is given: KIND/NAME of a cluster, or -f with -i")
        if self.files and not self.injection_files:
            raise click.UsageError("-f needs the injections that count: -i FILE")
        options.check_stdin(*self.files, *self.injection_files)


def read(chosen: SubjectOptions) -> tuple[list[SubjectWithHistory], Sequence[str]]:
    """The subjects in the order of the arguments, and notes about what could not be seen."""
    chosen.check()
    if not chosen.objects:
        return _of_files(chosen)
    references = [objects.reference(text) for text in chosen.objects]
    namespace = chosen.namespace or cluster_client.context_namespace(chosen.address)
    return cluster_client.run(
        chosen.address,
        lambda client: _of_cluster(
            client,
            references,
            namespace=namespace,
            release_namespace=chosen.address.release_namespace,
        ),
    )


def _of_files(
    chosen: SubjectOptions,
) -> tuple[list[SubjectWithHistory], Sequence[str]]:
    namespace = chosen.namespace or "default"
    injector = inject.offline(
        manifests.read_injections(chosen.injection_files, namespace=namespace),
        namespace=namespace,
        namespace_labels=chosen.namespace_labels,
    )
    decided = inject.read_subjects(chosen.files, injector)
    return [(subject, None) for subject in decided], injector.notes


async def _of_cluster(
    client: api.Api,
    references: Sequence[objects.Reference],
    *,
    namespace: str,
    release_namespace: str | None,
) -> tuple[list[SubjectWithHistory], Sequence[str]]:
    injections = await cluster_injections.injections(client, namespace=namespace)
    view = await cluster_injections.namespace_view(
        client,
        namespace,
        injections=injections,
        release_namespace=await release.namespace_of(client, chosen=release_namespace),
    )
    injector = inject.Injector(view_of=lambda _: view, namespace=namespace)
    histories: list[PodHistory | None] = []
    pod_owners = owners.Owners(client)
    ages = injections.ages(namespace)
    for reference in references:
        manifest = await objects.read(client, reference, namespace=namespace)
        recorded = status_annotation.read(pod_fields.metadata_map(manifest, "annotations"))
        is_pod = reference.kind == "Pod"
        if is_pod:
            pod_owner = await pod_owners.of(manifest)
            histories.append(
                PodHistory(
                    recorded=recorded,
                    injections=injections.of(namespace),
                    owner=remedies.Subject(
                        namespace=namespace, kind=pod_owner.kind, name=pod_owner.name
                    ),
                    created=api.metadata(manifest)["creationTimestamp"],
                    ages=ages,
                )
            )
        else:
            histories.append(None)
        written = cluster_pods.as_new(manifest) if is_pod else manifest
        await _read_account(client, written, injector)
        injector.document(manifests.Document(str(reference), written))
    notes = (*injections.notes, *injector.notes)
    return list(zip(injector.subjects, histories, strict=True)), notes


async def _read_account(client: api.Api, manifest: api.Json, injector: inject.Injector) -> None:
    """Let the injector know the ServiceAccount of the manifest's pods, if the user may read it."""
    (path,) = workloads.pod_paths(manifest)
    name = controllers.account_of(workloads.at(manifest, path))
    key = injector.namespace, name
    if key in injector.accounts:
        return
    try:
        account = await api.get_or_none(
            client, api.SERVICE_ACCOUNTS, name=name, namespace=injector.namespace
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
