"""`inject`: manifests with injected pods, exactly as the webhook would make them."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

from sidecar_injector.cli import options
from sidecar_injector.cli.input import manifests, yaml_documents
from sidecar_injector.cli.output import report, tables
from sidecar_injector.core import decide
from sidecar_injector.core.injections import model, namespace_view
from sidecar_injector.core.pods import workloads


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A pod of a manifest: what was asked about it, and what was answered."""

    asked: namespace_view.PodRequest
    known: namespace_view.NamespaceView
    entry: report.ReportEntry


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Injector:
    """Injects the pods of manifests and remembers what became of each."""

    worlds: Callable[[str], namespace_view.NamespaceView]
    """What is known about a namespace."""
    namespace: str
    """Of objects that carry none."""
    subjects: list[Subject] = dataclasses.field(default_factory=list)

    @property
    def entries(self) -> list[report.ReportEntry]:
        """What became of each pod so far."""
        return [subject.entry for subject in self.subjects]

    def document(self, document: manifests.Document) -> dict[str, Any]:
        """The manifest with its pods injected; other objects come out as they are."""
        return manifests.with_pods(document, self._pod)

    def _pod(self, manifest: Mapping[str, Any], pod: Mapping[str, Any]) -> dict[str, Any]:
        metadata = manifest.get("metadata") or {}
        namespace = metadata.get("namespace") or self.namespace
        asked = namespace_view.PodRequest(namespace=namespace, pod=pod)
        known = self.worlds(namespace)
        entry = report.ReportEntry(
            namespace=namespace,
            kind=manifest["kind"],
            name=metadata.get("name") or metadata.get("generateName") or "",
            decision=decide.decide(asked, known),
        )
        self.subjects.append(Subject(asked=asked, known=known, entry=entry))
        return dict(entry.decision.pod)


def offline(
    injections: Sequence[model.Injection], *, namespace: str, namespace_labels: Mapping[str, str]
) -> Injector:
    """One that knows these injections, and of every namespace that it is enabled."""

    def known(name: str) -> namespace_view.NamespaceView:
        assumed = namespace_view.Namespace.assumed(name)
        return namespace_view.NamespaceView(
            namespace=namespace_view.Namespace(name, {**assumed.labels, **namespace_labels}),
            injections=namespace_view.ordered(
                [one for one in injections if one.is_cluster or one.namespace == name]
            ),
        )

    return Injector(worlds=known, namespace=namespace)


def read_subjects(files: Sequence[str], injector: Injector) -> list[Subject]:
    """All pods of files with what becomes of them.

    Raises UnreadableInput where there is none in all of the files.
    """
    for file in files:
        for document in manifests.read(file):
            injector.document(document)
    if not injector.subjects:
        kinds = sorted(kind for _, kind in workloads.PATHS)
        raise manifests.UnreadableInput(
            f"{', '.join(map(manifests.shown, files))}: holds no pod; field kind may be"
            f" {', '.join(kinds)}"
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

    Reads files only, never a cluster. Exit status 1 when an injection that applies could not be
    done; the manifests are printed all the same, without it.
    """
    options.check_stdin(*files, *injection_files)
    injections = manifests.read_injections(injection_files, namespace=namespace)
    injector = offline(injections, namespace=namespace, namespace_labels=namespace_labels)
    results = [injector.document(document) for file in files for document in manifests.read(file)]

    tables.write(yaml_documents.dump_all(results))
    findings = any(entry.has_findings for entry in injector.entries)
    if report_format == "json":
        click.echo(report.as_json(injector.entries), err=True)
    else:
        for line in report.lines(injector.entries, findings_only=not report_format):
            click.echo(line, err=True)
    sys.exit(1 if findings else 0)
