"""`uninject`: manifests without what was injected into their pods."""

from __future__ import annotations

import click

from sidecar_injector.cli import options
from sidecar_injector.cli.input import manifests
from sidecar_injector.cli.output import tables
from sidecar_injector.core.merging import uninject as core


@click.command(
    epilog="Example: kubectl get pod web -o yaml | sidecar-injector uninject -f -"
)  # fmt: skip
@options.files("Manifests: pods, and everything with a pod template.")
@options.kind_paths()
def uninject(*, files: tuple[str, ...]) -> None:
    """Print manifests without the parts that were injected.

    Takes out what the pods' annotation sidecar-injector.dev/status says was added, where it is
    still as it was left; all else comes out as it is, pods without that annotation too, except that
    comments are not kept. Reads files only, never a cluster.
    """
    options.check_stdin(*files)
    notes: list[str] = []
    documents = manifests.read_files(files, notes)
    results = [
        manifests.with_pods(document, lambda place: core.uninject(place.written))
        for document in documents
    ]
    tables.write(manifests.printed(documents, results))
    notes += [remark for document in documents for remark in manifests.remarks(document)]
    tables.notes(notes)
