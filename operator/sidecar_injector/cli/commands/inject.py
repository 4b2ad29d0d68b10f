"""`inject`: manifests with injected pods, exactly as the webhook would inject them."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

from sidecar_injector import names
from sidecar_injector.cli import options
from sidecar_injector.cli.cluster import client
from sidecar_injector.cli.input import manifests, unknown, yaml_styles
from sidecar_injector.cli.output import report, tables
from sidecar_injector.core import templates
from sidecar_injector.core.injections import model, namespace_view
from sidecar_injector.core.limits import namespace_limits
from sidecar_injector.core.merging import transfer
from sidecar_injector.core.pods import controllers, kinds, workloads
from sidecar_injector.core.pods import fields as pod_fields


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
    namespaces: dict[str, namespace_view.Namespace] = dataclasses.field(default_factory=dict)
    """The namespaces that are known, by name."""
    injections: Sequence[model.Injection] = ()
    """All that count, whatever namespace they are for; empty if a cluster has them."""
    is_live: bool = False
    """The manifests are live objects, not of files."""
    assumed_label: str = ""
    """The label that namespaces which are not known are assumed to have; empty without one."""
    subjects: list[Subject] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)
    """What could not be known or understood, in sentences."""
    notes_on_manifests: list[str] = dataclasses.field(default_factory=list)
    """The same about manifests as they are printed."""

    @property
    def entries(self) -> list[report.ReportEntry]:
        """The decisions so far."""
        return [subject.entry for subject in self.subjects]

    limits: dict[str, list[dict[str, Any]]] = dataclasses.field(default_factory=dict)
    """The LimitRanges and ResourceQuotas of files, by namespace."""

    def documents(self, documents: Sequence[manifests.Document]) -> list[dict[str, Any]]:
        """The manifests with their pods injected. What `learn` knows among them counts."""
        self.learn(documents)
        return [self.document(document) for document in documents]

    def learn(self, documents: Sequence[manifests.Document]) -> None:
        """Know the Namespaces, ServiceAccounts and limits among the documents from now on."""
        self.namespaces.update(namespaces_among(documents))
        self.limits.update(limits_among(documents, namespace=self.namespace, notes=self.notes))
        self.accounts.update(accounts_among(documents, namespace=self.namespace))

    def notes_on_namespaces(self, *, only_changed: bool = False) -> list[str]:
        """What was assumed of the pods' namespaces, and which of them no injection is for.

        With `only_changed` an assumption is noted where a pod is changed by it.
        """
        notes = []
        changed = {
            entry.namespace
            for entry in self.entries
            if not only_changed or entry.decision.operations or entry.has_findings
        }
        for name in dict.fromkeys(entry.namespace for entry in self.entries):
            if self.assumed_label and name not in self.namespaces and name in changed:
                notes.append(
                    f"namespace {name} is assumed to have the label {self.assumed_label}: no file"
                    " contains the namespace"
                )
            if self.injections and not any(
                injection.is_cluster or injection.namespace == name for injection in self.injections
            ):
                references = (f"{item.namespace}/{item.name}" for item in self.injections)
                notes.append(
                    f"no injection is for namespace {name}; there are {', '.join(references)}"
                )
        return notes

    def document(self, document: manifests.Document) -> dict[str, Any]:
        """The manifest with its pods injected; other objects are not changed."""
        self.notes.extend((*manifests.remarks(document), *manifests.guesses(document)))
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
            group=kinds.custom_group(*workloads.kind_of(manifest)),
            name=metadata.get("name") or metadata.get("generateName") or "",
            decision=planned.decision,
            annotation=pod_fields.metadata_map(place.pod, "annotations").get(
                names.INJECT_ANNOTATION
            ),
            is_file=not self.is_live,
        )
        self.subjects.append(Subject(request=planned.request, view=planned.view, entry=entry))
        for note in unknown.notes(
            entry.decision,
            planned.undecided,
            knows_account=account is not None,
            knows_namespace=namespace in self.namespaces,
        ):
            self.notes.append(f"{entry.place}: {note}")
        if note := unknown.note_on_pull_secrets(template, entry.decision):
            self.notes_on_manifests.append(f"{entry.place}: {note}")
        return transfer.onto_template(place.written, entry.decision.operations)


def offline(
    injections: Sequence[model.Injection], *, namespace: str, namespace_labels: Mapping[str, str]
) -> Injector:
    """An injector with these injections; a namespace that no file contains is enabled."""
    namespaces: dict[str, namespace_view.Namespace] = {}
    limits: dict[str, list[dict[str, Any]]] = {}

    def view_of(name: str) -> namespace_view.NamespaceView:
        namespace = namespaces.get(name) or namespace_view.Namespace.assumed(name)
        return namespace_view.NamespaceView.of(
            dataclasses.replace(namespace, labels={**namespace.labels, **namespace_labels}),
            [
                injection
                for injection in injections
                if injection.is_cluster or injection.namespace == name
            ],
            limits=namespace_limits.of_objects(limits.get(name, ())),
        )

    is_given = names.INJECTION_LABEL in namespace_labels
    return Injector(
        view_of=view_of,
        namespace=namespace,
        namespaces=namespaces,
        injections=injections,
        limits=limits,
        assumed_label="" if is_given else f"{names.INJECTION_LABEL}={names.ENABLED}",
    )


def namespaces_among(
    documents: Sequence[manifests.Document],
) -> dict[str, namespace_view.Namespace]:
    """The Namespaces among the documents, by name."""
    result = {}
    for item in manifests.every_item(documents):
        metadata = yaml_styles.plain(item.manifest.get("metadata") or {})
        if workloads.kind_of(item.manifest) == ("", "Namespace") and metadata.get("name"):
            name = metadata["name"]
            labels = {**(metadata.get("labels") or {}), names.NAMESPACE_NAME_LABEL: name}
            annotations = metadata.get("annotations") or {}
            result[name] = namespace_view.Namespace(name, labels, annotations)
    return result


def accounts_among(
    documents: Sequence[manifests.Document], *, namespace: str
) -> dict[tuple[str, str], dict[str, Any]]:
    """The ServiceAccounts among the documents, by namespace and name."""
    result = {}
    for item in manifests.every_item(documents):
        if workloads.kind_of(item.manifest) == ("", "ServiceAccount"):
            metadata = item.manifest.get("metadata") or {}
            place = metadata.get("namespace") or namespace, metadata.get("name") or ""
            result[place] = item.manifest
    return result


def limits_among(
    documents: Sequence[manifests.Document], *, namespace: str, notes: list[str]
) -> dict[str, list[dict[str, Any]]]:
    """The LimitRanges and ResourceQuotas among the documents as a cluster has them, by namespace.

    `namespace` is for those that name none; `notes` takes what is not checked of them.
    """
    result: dict[str, list[dict[str, Any]]] = {}
    for item in manifests.every_item(documents):
        group, kind = workloads.kind_of(item.manifest)
        if not group and kind in namespace_limits.KINDS:
            manifest = namespace_limits.of_file(yaml_styles.plain(item.manifest))
            metadata = manifest.get("metadata") or {}
            result.setdefault(metadata.get("namespace") or namespace, []).append(manifest)
            if remark := namespace_limits.remark(manifest):
                notes.append(f"{item.place}: {kind}/{metadata.get('name')} {remark}")
    return result


def read_subjects(
    files: Sequence[str], documents: Sequence[manifests.Document], injector: Injector
) -> list[Subject]:
    """All pods of the documents of files, each with the decision about it.

    Raises UnreadableInput if there is no pod.
    """
    injector.documents(documents)
    if not injector.subjects:
        raise manifests.UnreadableInput(
            f"{', '.join(map(manifests.file_name, files))}: contains no pod; field kind may be"
            f" {', '.join(sorted(kinds.BUILT_IN))}, or any with a pod template"
        )
    return injector.subjects


@click.command(epilog="Example: sidecar-injector inject -f pod.yaml -i injection.yaml --report")
@options.files("Manifests: pods, and everything with a pod template.")
@options.injections(required=False, without=options.FROM_CLUSTER)
@options.namespace(live=True)
@options.namespace_labels()
@options.kind_paths()
@client.address()
@click.option("--report", "report_format", type=click.Choice(["text", "json"]), is_flag=False,
              flag_value="text", help="Say on stderr what became of each pod and why.")  # fmt: skip
def inject(
    *,
    files: tuple[str, ...],
    injection_files: tuple[str, ...],
    namespace: str | None,
    namespace_labels: dict[str, str],
    address: client.Address,
    report_format: str | None,
) -> None:
    """Print manifests with the sidecars that the webhook would add.

    Decides about the pods that the manifests' controllers make, with the Namespaces,
    ServiceAccounts, LimitRanges and ResourceQuotas that are among the files. What only the cluster
    knows, what is assumed, and what may be a mistake in a manifest, is noted on stderr. With -i
    only files are read; without it, the injections and namespaces of a cluster count. Exit status 1
    when an injection that applies could not be done; the manifests are printed all the same,
    without it.
    """
    options.check_stdin(*files, *injection_files)
    notes: list[str] = []
    documents = manifests.read_files(files, notes)
    if injection_files:
        default = namespace or "default"
        injections = manifests.read_injections(injection_files, namespace=default, notes=notes)
        injector = offline(injections, namespace=default, namespace_labels=namespace_labels)
    else:
        from sidecar_injector.cli.cluster import live_files  # noqa: PLC0415 - files need no cluster

        injector = live_files.injector(
            address, documents, namespace=namespace, namespace_labels=namespace_labels
        )
    results = injector.documents(documents)

    tables.write(manifests.printed(documents, results))
    findings = any(entry.has_findings for entry in injector.entries)
    notes += [
        *injector.notes_on_namespaces(only_changed=True), *injector.notes,
        *injector.notes_on_manifests,
    ]  # fmt: skip
    if report_format == "json":
        click.echo(report.as_json(injector.entries, notes=list(dict.fromkeys(notes))), err=True)
    else:
        for line in report.lines(injector.entries, findings_only=not report_format):
            click.echo(line, err=True)
        tables.notes(notes)
    sys.exit(1 if findings else 0)
