"""Reading manifests and injections from files, with errors that say where."""

from __future__ import annotations

import dataclasses
import itertools
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import yaml

from sidecar_injector import crds, names
from sidecar_injector.cli.input import yaml_documents
from sidecar_injector.core.injections import model
from sidecar_injector.core.pods import shapes, workloads

STDIN = "-"

Change = Callable[[dict[str, Any], dict[str, Any]], dict[str, Any]]
"""Of a manifest and the pod in it: the pod as it shall be."""


class UnreadableInput(click.ClickException):
    """Input that cannot be used: one line that names file, document and field; exit status 2."""

    exit_code = 2


@dataclasses.dataclass(frozen=True, slots=True)
class Document:
    """One object of a file and where it stands."""

    place: str
    """File and number of the document, for messages."""
    manifest: dict[str, Any]


def read(path: str) -> list[Document]:
    """The Kubernetes objects of a file (or of `-`, standard input), empty documents left out.

    Raises UnreadableInput for what kubectl could not read either, and for a file without objects.
    """
    documents = [Document(place, _checked(place, content)) for place, content in values(path)]
    if not documents:
        raise UnreadableInput(f"{shown(path)}: holds no Kubernetes object")
    return documents


def values(path: str) -> list[tuple[str, Any]]:
    """Place and content of a file's documents, whatever they are; empty ones are left out."""
    file = shown(path)
    return [
        (f"{file}, document {number}", content)
        for number, content in enumerate(parsed(file, _text(path)), 1)
        if content is not None
    ]


def read_injections(paths: Sequence[str], *, namespace: str) -> list[model.Injection]:
    """The injections of files; objects of other kinds are passed over.

    `namespace` is for those that name none. Raises UnreadableInput for a version or kind of our
    group that we do not know, for a file without any injection, and for two of one name, of which
    a cluster could hold only one.
    """
    found: dict[tuple[str, str | None, str], tuple[str, model.Injection]] = {}
    for path in paths:
        before = len(found)
        for document in _injections_of(path):
            one = _injection(document, namespace=namespace)
            identity = (one.kind, one.namespace, one.name)
            if identity in found:
                raise UnreadableInput(
                    f"{document.place}: field metadata.name: {one.kind} {one.name!r} is given"
                    f" twice; the other one is in {found[identity][0]}"
                )
            found[identity] = document.place, one
        if len(found) == before:
            raise UnreadableInput(
                f"{path}: holds no {names.KIND} or {names.CLUSTER_KIND} ({names.API_VERSION})"
            )
    return [one for _, one in found.values()]


def _injections_of(path: str) -> Iterator[Document]:
    for document in read(path):
        for one in flattened(document):
            if one.manifest["apiVersion"].partition("/")[0] == names.GROUP:
                yield one


def items(document: Document) -> list[Document]:
    """The items of a list, each with its place.

    In the lists of one kind that an API server returns, the items are without version and kind.
    """
    kind = document.manifest["kind"].removesuffix("List")
    head = {"apiVersion": document.manifest["apiVersion"], "kind": kind} if kind else {}
    places = (f"{document.place}, items[{index}]" for index in itertools.count())
    return [
        Document(place, _checked(place, {**head, **item} if isinstance(item, dict) else item))
        for place, item in zip(places, document.manifest["items"], strict=False)
    ]


def flattened(document: Document) -> Iterator[Document]:
    """The document itself or, if it is a list, what is in it."""
    if not workloads.is_list(document.manifest):
        yield document
        return
    for item in items(document):
        yield from flattened(item)


def with_pods(document: Document, change: Change) -> dict[str, Any]:
    """The manifest with its pods, or those of its pod templates, changed; those of lists, too.

    Other objects come out as they are, and the given one is not changed. Raises UnreadableInput
    for a pod in which anything that is looked at has another shape than the API gives it.
    """
    manifest = document.manifest
    if workloads.is_list(manifest):
        return {**manifest, "items": [with_pods(one, change) for one in items(document)]}
    path = workloads.pod_path(manifest)
    if path is None:
        return manifest
    for field, sentence in shapes.problems(shapes.POD, workloads.at(manifest, path)):
        where = ".".join(part for part in (*path, field) if part)
        raise UnreadableInput(f"{document.place}: field {where}: {sentence}")
    return workloads.transformed(manifest, path, lambda pod: change(manifest, pod))


def shown(path: str) -> str:
    """What messages call a file."""
    return "standard input" if path == STDIN else path


def _text(path: str) -> str:
    try:
        content = sys.stdin.buffer.read() if path == STDIN else Path(path).read_bytes()
        return content.decode()
    except OSError as error:
        raise UnreadableInput(f"{shown(path)}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise UnreadableInput(f"{shown(path)}: is not UTF-8 text (byte {error.start})") from error


def parsed(file: str, text: str) -> list[Any]:
    """The documents of a text, which messages call by the given name; UnreadableInput if none."""
    try:
        return list(yaml_documents.load_all(text))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise UnreadableInput(f"{file}{where}: is no YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        message = " ".join(str(error).split())
        raise UnreadableInput(f"{file}: is no YAML: {message}") from error


def _checked(place: str, content: Any) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise UnreadableInput(f"{place}: is no Kubernetes object but {_kind(content)}")
    for field in ("apiVersion", "kind"):
        if not isinstance(content.get(field), str) or not content[field]:
            raise UnreadableInput(
                f"{place}: field {field} must be a text, and is {_kind(content.get(field))};"
                " without it this is no Kubernetes object"
            )
    metadata = content.get("metadata")
    if not isinstance(metadata, dict | None):
        raise UnreadableInput(f"{place}: field metadata must be an object, not {_kind(metadata)}")
    for field in ("name", "generateName", "namespace"):
        value = (metadata or {}).get(field)
        if not isinstance(value, str | None):
            raise UnreadableInput(
                f"{place}: field metadata.{field}: {_kind(value)} must be a text: put it in quotes"
            )
    return content


def _kind(value: Any) -> str:
    if value is None:
        return "missing"
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    return f"the text {value[:40]!r}" if isinstance(value, str) else json.dumps(value)


def _injection(document: Document, *, namespace: str) -> model.Injection:
    manifest = document.manifest
    version, kind = manifest["apiVersion"], manifest["kind"]
    if version != names.API_VERSION:
        raise UnreadableInput(
            f"{document.place}: field apiVersion: {version!r} is unknown; this version reads"
            f" {names.API_VERSION}"
        )
    if kind not in (names.KIND, names.CLUSTER_KIND):
        raise UnreadableInput(
            f"{document.place}: field kind: {kind!r} is unknown; {names.API_VERSION} has"
            f" {names.KIND} and {names.CLUSTER_KIND}"
        )
    metadata = manifest.get("metadata") or {}
    if not metadata.get("name"):
        raise UnreadableInput(f"{document.place}: field metadata.name is missing")

    metadata = {**metadata, "namespace": metadata.get("namespace") or namespace, "generation": None}
    placed = {**manifest, "metadata": metadata}
    return model.read(placed, spec_schema=crds.spec_schema(kind))
