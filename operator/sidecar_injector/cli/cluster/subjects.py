"""The pods that `explain` and `diff` are about: of files, or of a cluster."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import click

from sidecar_injector.cli import options
from sidecar_injector.cli.cluster import client, objects, release, standing
from sidecar_injector.cli.cluster import injections as cluster_injections
from sidecar_injector.cli.commands import inject
from sidecar_injector.cli.input import manifests
from sidecar_injector.core.injections import model
from sidecar_injector.core.merging import status_annotation
from sidecar_injector.core.pods import fields as pod_fields
from sidecar_injector.kube import api


@dataclasses.dataclass(frozen=True, slots=True)
class Past:
    """What a pod's annotation says of its creation."""

    said: status_annotation.Provenance
    injections: Sequence[model.Injection]
    """Those that there are now."""

    def now(self, identity: tuple[str, str]) -> model.Injection | None:
        """The injection as it is now; None if it is gone."""
        return next((one for one in self.injections if one.identity == identity), None)


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """A subject, and for a pod that exists what became of it when it was created."""

    subject: inject.Subject
    past: Past | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What was typed: files and injections, or names of live objects."""

    objects: tuple[str, ...]
    files: tuple[str, ...]
    injection_files: tuple[str, ...]
    namespace: str | None
    namespace_labels: dict[str, str]
    address: client.Address

    def check(self) -> None:
        """Raises UsageError unless it is about files or about objects, and about one of them."""
        if self.objects and (self.files or self.injection_files or self.namespace_labels):
            raise click.UsageError("KIND/NAME asks a cluster, -f and -i read files: give one")
        if not self.objects and not self.files:
            raise click.UsageError("nothing is given: KIND/NAME of a cluster, or -f with -i")
        if self.files and not self.injection_files:
            raise click.UsageError("-f needs the injections that count: -i FILE")
        options.check_stdin(*self.files, *self.injection_files)


def found(question: Question) -> tuple[list[Found], Sequence[str]]:
    """The subjects in the given order, and notes about what could not be seen."""
    question.check()
    if not question.objects:
        return _of_files(question), ()
    references = [objects.reference(one) for one in question.objects]
    namespace = question.namespace or client.context_namespace(question.address)
    return client.ask(
        question.address,
        lambda asked: _live(
            asked, references, namespace=namespace, given=question.address.release_namespace
        ),
    )


def _of_files(question: Question) -> list[Found]:
    namespace = question.namespace or "default"
    injector = inject.offline(
        manifests.read_injections(question.injection_files, namespace=namespace),
        namespace=namespace,
        namespace_labels=question.namespace_labels,
    )
    return [Found(one) for one in inject.read_subjects(question.files, injector)]


async def _live(
    asked: client.Cluster,
    references: Sequence[objects.Reference],
    *,
    namespace: str,
    given: str | None,
) -> tuple[list[Found], Sequence[str]]:
    read = await cluster_injections.injections(asked, namespace=namespace)
    where = await release.namespace_of(asked, given=given)
    known = await cluster_injections.world(asked, namespace, known=read, release_namespace=where)
    injector = inject.Injector(worlds=lambda _: known, namespace=namespace)
    pasts = []
    for one in references:
        manifest = await objects.read(asked, one, namespace=namespace)
        said = status_annotation.read(pod_fields.metadata_map(manifest, "annotations"))
        pasts.append(Past(said, read.of(namespace)) if one.kind == "Pod" else None)
        injector.document(manifests.Document(str(one), _as_written(manifest)))
    return list(map(Found, injector.subjects, pasts)), read.notes


def _as_written(manifest: api.Json) -> api.Json:
    """What a pod's author may have written; other objects as they are."""
    return standing.as_new(manifest) if manifest["kind"] == "Pod" else manifest
