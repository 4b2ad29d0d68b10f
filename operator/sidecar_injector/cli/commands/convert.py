"""`convert`: other injectors' configuration as SidecarInjections."""

from __future__ import annotations

import os
import pathlib
import sys
from collections.abc import Iterator
from typing import Any

import click

from sidecar_injector import crds, names
from sidecar_injector.cli import options
from sidecar_injector.cli.input import manifests, yaml_documents
from sidecar_injector.cli.output import tables
from sidecar_injector.convert import findings, morvencao, sidecarset, sources, tumblr
from sidecar_injector.observability import logs

_FILES = click.option(
    "-f", "--filename", "files", multiple=True, required=True, metavar="FILE|-",
    help="What to convert. May be repeated.",
)  # fmt: skip
_NAMESPACE = click.option(
    "-n", "--namespace", metavar="NAMESPACE",
    help=f"Write {names.KIND}s for this namespace instead of {names.CLUSTER_KIND}s.",
)  # fmt: skip


@click.group()
def convert() -> None:
    """Print other injectors' configuration as SidecarInjections.

    Reads files only, never a cluster. Whatever has no counterpart is left out, with a warning on
    stderr that says what and where. Exit status: 1 if there was a warning, 2 if the input cannot
    be read or contains nothing to convert.

    Example: sidecar-injector convert sidecarset -f sidecarset.yaml > injections.yaml
    """


@convert.command("tumblr", epilog="Example: sidecar-injector convert tumblr -f conf/web.yaml")
@_FILES
@_NAMESPACE
def tumblr_command(*, files: tuple[str, ...], namespace: str | None) -> None:
    """Templates of tumblr's k8s-sidecar-injector.

    Files with a template, ConfigMaps with several. Files that a template inherits from are read
    from beside it.
    """
    options.check_stdin(*files)
    documents = [_with_bases(file, source) for file in files for source in _documents(file)]
    _finish(tumblr.convert(documents, parse=_embedded, target=_target(namespace)), files)


@convert.command(
    "morvencao", epilog="Example: sidecar-injector convert morvencao -f configmap.yaml -n demo"
)
@_FILES
@_NAMESPACE
def morvencao_command(*, files: tuple[str, ...], namespace: str | None) -> None:
    """Configuration of the kube-mutating-webhook-tutorial.

    ConfigMaps with a sidecarconfig.yaml, or such a file by itself.
    """
    _finish(
        morvencao.convert(_documents(*files), parse=_embedded, target=_target(namespace)), files
    )


@convert.command(
    "sidecarset", epilog="Example: kubectl get sidecarsets -o yaml"
    " | sidecar-injector convert sidecarset -f -"
)  # fmt: skip
@_FILES
def sidecarset_command(*, files: tuple[str, ...]) -> None:
    """SidecarSets of OpenKruise, v1alpha1 and v1beta1."""
    _finish(sidecarset.convert(_documents(*files), target=_target(None)), files)


def _target(namespace: str | None) -> findings.Target:
    kind = names.CLUSTER_KIND if namespace is None else names.KIND
    return findings.Target(namespace, crds.spec_schema(kind))


def _documents(*files: str) -> Iterator[sources.SourceObject]:
    options.check_stdin(*files)
    for file in files:
        for place, value in manifests.values(file):
            yield sources.SourceObject(place=place, value=value)


def _embedded(text: str) -> Any:
    """The first document of a text in a ConfigMap; the other injectors read no more."""
    try:
        documents = manifests.parsed("", text)
        return next((document for document in documents if document is not None), None)
    except manifests.UnreadableInput as error:
        raise ValueError(error.message.lstrip(":, ")) from error


def _with_bases(file: str, source: sources.SourceObject) -> sources.SourceObject:
    """The source with the files that it inherits from, the nearest first.

    Raises UnreadableInput for a file that does not exist or inherits from itself.
    """
    base = pathlib.Path("." if file == manifests.STDIN else file)
    folder = base if file == manifests.STDIN else base.parent
    bases: list[sources.SourceObject] = []
    seen = {os.path.normpath(base)}
    layer = source
    while (inherits := sources.mapping(layer.value).get("inherits")) and isinstance(inherits, str):
        path = os.path.normpath(folder / inherits.lstrip("/"))
        if path in seen:
            raise manifests.UnreadableInput(
                f"{layer.place}: field inherits: {inherits!r} leads back to itself"
            )
        seen.add(path)
        folder = pathlib.Path(path).parent
        try:
            layer = next(_documents(path), sources.SourceObject(place=path, value=None))
        except manifests.UnreadableInput as error:
            message = f"{layer.place}: field inherits: {error.message}"
            raise manifests.UnreadableInput(message) from error
        bases.append(layer)
    return sources.SourceObject(place=source.place, value=source.value, bases=tuple(bases))


def _finish(conversion: findings.Conversion, files: tuple[str, ...]) -> None:
    """Writes the injections, prints what is not in them, and exits."""
    tables.write(yaml_documents.dump_all(conversion.injections))
    for kind, all_findings in (("note", conversion.notes), ("warning", conversion.warnings)):
        for finding in dict.fromkeys(all_findings):
            click.echo(logs.one_line(f"{kind}: {finding}"), err=True)
    if not conversion.injections:
        raise manifests.UnreadableInput(
            f"{', '.join(map(manifests.file_name, files))}: contains nothing to convert"
        )
    sys.exit(1 if conversion.warnings else 0)
