"""`inject`: manifests with injected pods, exactly as the webhook would make them."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click

from sidecar_injector.cli import manifests, report, yamls
from sidecar_injector.core import decide, model, shapes, workloads, world


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Injector:
    """Injects the pods of manifests and remembers what became of each."""

    injections: Sequence[model.Injection]
    namespace: str
    """Of objects that carry none."""
    namespace_labels: Mapping[str, str]
    entries: list[report.Entry] = dataclasses.field(default_factory=list)

    def document(self, document: manifests.Document) -> dict[str, Any]:
        """The manifest with its pods injected; other objects come out as they are."""
        manifest = document.manifest
        if workloads.is_list(manifest):
            return {**manifest, "items": [self.document(one) for one in manifests.items(document)]}
        path = workloads.pod_path(manifest)
        if path is None:
            return manifest
        self._check(document, path)
        entry = self._entry(manifest, path)
        self.entries.append(entry)
        return workloads.transformed(manifest, path, lambda _: dict(entry.decision.pod))

    def _entry(self, manifest: dict[str, Any], path: tuple[str, ...]) -> report.Entry:
        metadata = manifest.get("metadata") or {}
        namespace = metadata.get("namespace") or self.namespace
        return report.Entry(
            namespace=namespace,
            kind=manifest["kind"],
            name=metadata.get("name") or metadata.get("generateName") or "",
            decision=decide.decide(
                world.Request(namespace=namespace, pod=workloads.at(manifest, path)),
                self._world(namespace),
            ),
        )

    def _world(self, namespace: str) -> world.World:
        assumed = world.Namespace.assumed(namespace)
        return world.World(
            namespace=world.Namespace(namespace, {**assumed.labels, **self.namespace_labels}),
            injections=world.ordered(
                [one for one in self.injections if one.is_cluster or one.namespace == namespace]
            ),
        )

    def _check(self, document: manifests.Document, path: tuple[str, ...]) -> None:
        prefix = ".".join(path)
        for field, sentence in shapes.problems(shapes.POD, workloads.at(document.manifest, path)):
            where = ".".join(part for part in (prefix, field) if part)
            raise manifests.UnreadableInput(f"{document.place}: field {where}: {sentence}")


def parse_labels(context: click.Context, parameter: click.Parameter, text: str) -> dict[str, str]:
    """`k=v,…` as a mapping."""
    pairs = [item.strip() for item in text.split(",") if item.strip()]
    if bad := next((item for item in pairs if "=" not in item), None):
        raise click.BadParameter(f"{bad!r} is no label; write key=value")
    return {key: value for key, _, value in (item.partition("=") for item in pairs)}


@click.command(epilog="Example: sidecar-injector inject -f pod.yaml -i injection.yaml --report")
@click.option(
    "-f", "--filename", "files", multiple=True, required=True, metavar="FILE|-",
    help="Manifests: pods, and everything with a pod template. May be repeated.",
)  # fmt: skip
@click.option(
    "-i", "--injections", "injection_files", multiple=True, required=True, metavar="FILE|-",
    help="SidecarInjections of either kind. May be repeated.",
)  # fmt: skip
@click.option("-n", "--namespace", default="default", show_default=True,
              help="The namespace of objects that carry none.")  # fmt: skip
@click.option("--namespace-labels", default="", callback=parse_labels, metavar="K=V,…",
              help="Labels of the pods' namespace, besides sidecar-injection=enabled.")  # fmt: skip
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
    if (*files, *injection_files).count(manifests.STDIN) > 1:
        raise click.UsageError("standard input (-) can be read only once")
    injections = manifests.read_injections(injection_files, namespace=namespace)
    injector = Injector(
        injections=injections, namespace=namespace, namespace_labels=namespace_labels
    )
    results = [injector.document(document) for file in files for document in manifests.read(file)]

    # Bytes: what kubectl reads is UTF-8, whatever the locale of the terminal is.
    sys.stdout.buffer.write(yamls.dump_all(results).encode())
    sys.stdout.buffer.flush()
    findings = any(entry.has_findings for entry in injector.entries)
    if report_format == "json":
        click.echo(report.as_json(injector.entries), err=True)
    else:
        for line in report.lines(injector.entries, findings_only=not report_format):
            click.echo(line, err=True)
    sys.exit(1 if findings else 0)
