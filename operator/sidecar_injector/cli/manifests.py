"""Reading manifests and injections from files, with errors that say where."""

from __future__ import annotations

import dataclasses
import itertools
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import yaml

from sidecar_injector import crds, names
from sidecar_injector.cli import yamls
from sidecar_injector.core import model, workloads

STDIN = "-"


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
    """The Kubernetes objects of a file (or of `-`, standard input), empty documents left out."""
    try:
        text = sys.stdin.read() if path == STDIN else Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise UnreadableInput(f"{path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise UnreadableInput(f"{path}: is not UTF-8 text (byte {error.start})") from error

    shown = "standard input" if path == STDIN else path
    documents = enumerate(_parsed(shown, text), 1)
    return [
        Document(place, _checked(place, content))
        for number, content in documents
        if content is not None and (place := f"{shown}, document {number}")
    ]


def read_injections(path: str, *, namespace: str) -> list[model.Injection]:
    """The injections of a file; objects of other kinds are passed over.

    `namespace` is for those that name none. Raises UnreadableInput for a version or kind of our
    group that we do not know, and for a file without any injection.
    """
    injections = [
        _injection(one, namespace=namespace)
        for document in read(path)
        for one in flattened(document)
        if str(one.manifest["apiVersion"]).partition("/")[0] == names.GROUP
    ]
    if not injections:
        raise UnreadableInput(
            f"{path}: holds no {names.KIND} or {names.CLUSTER_KIND} ({names.API_VERSION})"
        )
    return injections


def items(document: Document) -> list[Document]:
    """The items of a list, each with its place."""
    places = (f"{document.place}, items[{index}]" for index in itertools.count())
    return [
        Document(place, _checked(place, item))
        for place, item in zip(places, document.manifest["items"], strict=False)
    ]


def flattened(document: Document) -> Iterator[Document]:
    """The document itself or, if it is a list, what is in it."""
    if not workloads.is_list(document.manifest):
        yield document
        return
    for item in items(document):
        yield from flattened(item)


def _parsed(shown: str, text: str) -> list[Any]:
    try:
        if text.lstrip().startswith("{"):
            return [json.loads(text)]
    except (ValueError, RecursionError):
        pass  # A flow mapping of YAML begins with a brace too.
    try:
        return list(yamls.load_all(text))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise UnreadableInput(f"{shown}{where}: is no YAML: {error.problem}") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        message = str(error).splitlines()[0] if str(error) else "it is nested too deeply"
        raise UnreadableInput(f"{shown}: is no YAML: {message}") from error


def _checked(place: str, content: Any) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise UnreadableInput(f"{place}: is no Kubernetes object but {type(content).__name__}")
    for field in ("apiVersion", "kind"):
        if not isinstance(content.get(field), str) or not content[field]:
            raise UnreadableInput(
                f"{place}: field {field} is missing, so it is no Kubernetes object"
            )
    return content


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
    metadata = manifest.get("metadata")
    if not isinstance(metadata, dict) or not isinstance(metadata.get("name"), str):
        raise UnreadableInput(f"{document.place}: field metadata.name is missing")
    if not isinstance(metadata.get("namespace", ""), str):
        raise UnreadableInput(f"{document.place}: field metadata.namespace must be a string")

    placed = {**manifest, "metadata": {"namespace": namespace, **metadata, "generation": None}}
    return model.read(placed, spec_schema=crds.spec_schema(kind))
