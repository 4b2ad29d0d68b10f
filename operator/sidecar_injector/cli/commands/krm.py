"""`krm`: a KRM function, which kustomize and kpt run on the objects of a build.

https://github.com/kubernetes-sigs/kustomize/blob/master/cmd/config/docs/api-conventions/functions-spec.md
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from typing import Any

import click

from sidecar_injector import names
from sidecar_injector.cli import options
from sidecar_injector.cli.commands import inject
from sidecar_injector.cli.input import manifests, yaml_styles
from sidecar_injector.cli.output import tables
from sidecar_injector.core.decision import Decision
from sidecar_injector.core.injections import model
from sidecar_injector.core.reasons import Verdict
from sidecar_injector.observability import logs

API_VERSION, KIND = "config.kubernetes.io/v1", "ResourceList"
CONFIG = "functionConfig"
ERROR, WARNING, INFO = "error", "warning", "info"

Json = dict[str, Any]


@click.command(epilog="Example: kpt fn source . | sidecar-injector krm")
@options.injections(required=False)
@options.namespace()
@options.namespace_labels()
@options.kind_paths()
@options.with_folders
def krm(
    *, injection_files: tuple[str, ...], namespace: str, namespace_labels: dict[str, str]
) -> None:
    """Answer a ResourceList on stdin with one whose pods are injected, for kustomize and kpt.

    Injects as `inject` does. The injections are those among the items, that of functionConfig, and
    those of -i. The results name what could not be done (error), what may be a mistake in a pod's
    annotation (warning), and what only the cluster knows (info). Errors are on stderr too. Exit
    status 1 when an injection that applies could not be done; kustomize and kpt then stop.
    """
    document, items = _read()
    results: list[Json] = []
    notes: list[str] = []
    try:
        injections = _injections(document, items, injection_files, namespace=namespace, notes=notes)
        results += [{"message": logs.one_line(note), "severity": INFO} for note in notes]
        injector = inject.offline(
            injections, namespace=namespace, namespace_labels=namespace_labels
        )
        injector.learn(items)
        contents = []
        for item in items:
            own = dataclasses.replace(injector, subjects=[], notes=[], notes_on_manifests=[])
            contents.append(own.document(item))
            results += _results(item, own)
        status = 1 if any(result["severity"] == ERROR for result in results) else 0
    except manifests.UnreadableInput as error:
        contents, status = [item.manifest for item in items], error.exit_code
        results = [{"message": logs.one_line(error.message), "severity": ERROR}]
    answer = {**document.manifest, "items": contents, "results": results}
    if not results:
        del answer["results"]
    tables.write(manifests.printed([document], [answer]))
    for result in results:
        # kustomize shows no results.
        if result["severity"] == ERROR:
            click.echo(f"Error: {result['message']}", err=True)
    sys.exit(status)


def _read() -> tuple[manifests.Document, list[manifests.Document]]:
    """The list on standard input, and its items with their names as places."""
    document, *others = manifests.read(manifests.STDIN)
    version, kind = document.manifest["apiVersion"], document.manifest["kind"]
    items = document.manifest.get("items") or []
    if others or (version, kind) != (API_VERSION, KIND) or not isinstance(items, list):
        raise manifests.UnreadableInput(
            f"standard input: holds {kind} of {version}; a KRM function reads one {KIND} of"
            f" {API_VERSION} with a list of items; other manifests are for `{names.PRODUCT} inject`"
        )
    documents = manifests.items(manifests.Document("standard input", document.manifest))
    return document, [dataclasses.replace(item, place=_place(item)) for item in documents]


def _place(item: manifests.Document) -> str:
    metadata = item.manifest.get("metadata") or {}
    name = metadata.get("name") or metadata.get("generateName") or ""
    namespace = metadata.get("namespace")
    return "/".join(filter(None, (namespace, item.manifest["kind"], name)))


def _injections(
    document: manifests.Document,
    items: list[manifests.Document],
    files: tuple[str, ...],
    *,
    namespace: str,
    notes: list[str],
) -> list[model.Injection]:
    documents, config = [*items], yaml_styles.plain(document.manifest.get(CONFIG))
    if config is not None:
        documents.append(manifests.Document(CONFIG, manifests.checked(CONFIG, config)))
        if config["kind"] == "ConfigMap" and config.get("data"):
            raise manifests.UnreadableInput(
                f"{CONFIG}: field data: {', '.join(config['data'])} is not used here; settings"
                f" are arguments, such as `{names.PRODUCT} krm -n NAMESPACE`"
            )
    documents += manifests.read_files(files, notes)
    own = list(manifests.of_our_group(documents))
    if not own:
        raise manifests.UnreadableInput(
            f"no {names.KIND} or {names.CLUSTER_KIND} is among the items, in {CONFIG} or in -i"
        )
    return manifests.injections(own, namespace=namespace)


def _results(item: manifests.Document, injector: inject.Injector) -> Iterator[Json]:
    """What became of an item, without what went well."""
    metadata = item.manifest.get("metadata") or {}
    reference = {
        "apiVersion": item.manifest["apiVersion"],
        "kind": item.manifest["kind"],
        "name": metadata.get("name") or "",
    }
    if metadata.get("namespace"):
        reference["namespace"] = metadata["namespace"]
    messages = [
        (severity, f"{entry.place}: {sentence}")
        for entry in injector.entries
        for severity, sentence in _findings(entry.decision)
    ]
    messages += [(INFO, note) for note in (*injector.notes, *injector.notes_on_manifests)]
    for severity, message in messages:
        yield {
            "message": logs.one_line(message), "severity": severity, "resourceRef": reference,
        }  # fmt: skip


def _findings(decision: Decision) -> Iterator[tuple[str, str]]:
    for finding in decision.annotation_findings:
        yield WARNING, f"{finding.reason.value} {finding.message}"
    for line in decision.lines:
        if line.verdict in (Verdict.SKIPPED, Verdict.REFUSED):
            reference = line.injection.reference
            yield ERROR, f"{reference} {line.verdict.value} {line.reason.value} {line.message}"
