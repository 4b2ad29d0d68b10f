"""`inject`: manifests with injected pods, exactly as the webhook would inject them."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

from sidecar_injector.cli import options
from sidecar_injector.cli.input import manifests, unknown
from sidecar_injector.cli.output import report, tables
from sidecar_injector.core import templates
from sidecar_injector.core.injections import model, namespace_view
from sidecar_injector.core.merging import transfer
from sidecar_injector.core.pods import controllers, workloads


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """The pod that becomes of a manifest, and the decision about it."""

    request: namespace_view.PodRequest
    view: namespace_view.NamespaceView
    entry: report.ReportEntry


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Injector:
    """Injects the pods of manifests and collects the decision about each."""

    view_of: Callable[[str], namespace_view.NamespaceView]
    """The view of a namespace, by name."""
    namespace: str
    """The namespace of objects that name none."""
    accounts: dict[tuple[str, str], dict[str, Any]] = dataclasses.field(default_factory=dict)
    """The ServiceAccounts that are known, by namespace and name."""
    subjects: list[Subject] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)
    """What could not be known or understood, in sentences."""
    notes_on_manifests: list[str] = dataclasses.field(default_factory=list)
    """The same about manifests as they are printed."""

    @property
    def entries(self) -> list[report.ReportEntry]:
        """The decisions so far."""
        return [subject.entry for subject in self.subjects]

    def documents(self, documents: Sequence[manifests.Document]) -> list[dict[str, Any]]:
        """The manifests with their pods injected; the ServiceAccounts among them count."""
        self.learn_accounts(documents)
        return [self.document(document) for document in documents]

    def learn_accounts(self, documents: Sequence[manifests.Document]) -> None:
        """Know the ServiceAccounts among the documents from now on."""
        for document in documents:
            for item in manifests.flattened(document):
                if workloads.kind_of(item.manifest) == ("", "ServiceAccount"):
                    name = (item.manifest.get("metadata") or {}).get("name") or ""
                    self.accounts[self._namespace_of(item.manifest), name] = item.manifest

    def document(self, document: manifests.Document) -> dict[str, Any]:
        """The manifest with its pods injected; other objects are not changed."""
        self.notes.extend(manifests.remarks(document))
        return manifests.with_pods(document, self._pod)

    def _namespace_of(self, manifest: Mapping[str, Any]) -> str:
        return (manifest.get("metadata") or {}).get("namespace") or self.namespace

    def _pod(self, place: manifests.PodPlace) -> dict[str, Any]:
        manifest, template = place.manifest, place.pod
        metadata, namespace = manifest.get("metadata") or {}, self._namespace_of(manifest)
        account = self.accounts.get((namespace, controllers.account_of(template)))
        planned = templates.decide_template(
            manifest, place.path, template, view=self.view_of(namespace), account=account
        )
        entry = report.ReportEntry(
            namespace=namespace,
            kind=manifest["kind"],
            name=metadata.get("name") or metadata.get("generateName") or "",
            decision=planned.decision,
        )
        self.subjects.append(Subject(request=planned.request, view=planned.view, entry=entry))
        knows_account = account is not None
        for note in unknown.notes(entry.decision, planned.undecided, knows_account=knows_account):
            self.notes.append(f"{entry.place}: {note}")
        if note := unknown.note_on_pull_secrets(template, entry.decision):
            self.notes_on_manifests.append(f"{entry.place}: {note}")
        return transfer.onto_template(place.written, entry.decision.operations)


def offline(
    injections: Sequence[model.Injection], *, namespace: str, namespace_labels: Mapping[str, str]
) -> Injector:
    """An injector with these injections; every namespace is enabled."""

    def view_of(name: str) -> namespace_view.NamespaceView:
        assumed = namespace_view.Namespace.assumed(name)
        return namespace_view.NamespaceView.of(
            namespace_view.Namespace(name, {**assumed.labels, **namespace_labels}),
            [
                injection
                for injection in injections
                if injection.is_cluster or injection.namespace == name
            ],
        )

    return Injector(view_of=view_of, namespace=namespace)


def read_subjects(files: Sequence[str], injector: Injector) -> list[Subject]:
    """All pods of files, each with the decision about it.

    Raises UnreadableInput if no file contains a pod.
    """
    injector.documents([document for file in files for document in manifests.read(file)])
    if not injector.subjects:
        kinds = sorted(kind for _, kind in workloads.PATHS)
        raise manifests.UnreadableInput(
            f"{', '.join(map(manifests.file_name, files))}: holds no pod; field kind may be"
            f" {', '.join(kinds)}, or any with a pod template"
        )
    return injector.subjects


@click.command(epilog="Example: sidecar-injector inject -f pod.yaml -i injection.yaml --report")
@options.files("Manifests: pods, and everything with a pod template.")
@options.injections()
@options.namespace()
@options.namespace_labels()
@click.option("--report", "report_format", type=click.Choice(["text", "json"]), is_flag=False,
              flag_value="text", help="Say on stderr what became of each pod and why.")  # fmt: skip
def inject(
    *,
    files: tuple[str, ...],
    injection_files: tuple[str, ...],
    namespace: str,
    namespace_labels: dict[str, str],
    report_format: str | None,
) -> None:
    """Print manifests with the sidecars that the webhook would add.

    Decides about the pods that the manifests' controllers make, with the ServiceAccounts that are
    among the files. What only the cluster knows, and what may be a mistake in a manifest, is noted
    on stderr. Reads files only, never a cluster. Exit status 1 when an injection that applies could
    not be done; the manifests are printed all the same, without it.
    """
    options.check_stdin(*files, *injection_files)
    injections = manifests.read_injections(injection_files, namespace=namespace)
    injector = offline(injections, namespace=namespace, namespace_labels=namespace_labels)
    documents = [document for file in files for document in manifests.read(file)]
    results = injector.documents(documents)

    tables.write(manifests.printed(documents, results))
    findings = any(entry.has_findings for entry in injector.entries)
    notes = [*injector.notes, *injector.notes_on_manifests]
    if report_format == "json":
        click.echo(report.as_json(injector.entries, notes=notes), err=True)
    else:
        for line in report.lines(injector.entries, findings_only=not report_format):
            click.echo(line, err=True)
        tables.notes(notes)
    sys.exit(1 if findings else 0)
