"""Reading manifests and injections from files, with errors that say where."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from sidecar_injector import crds, names
from sidecar_injector.cli import options
from sidecar_injector.cli.input import locations, yaml_documents, yaml_styles
from sidecar_injector.convert import sources
from sidecar_injector.core.injections import model
from sidecar_injector.core.pods import kinds, shapes, workloads

STDIN = options.STDIN
UnreadableInput = locations.UnreadableInput
_HEAD = re.compile(r"""^["']?apiVersion["']?:""", re.MULTILINE)
_TEMPLATE = "{{"
MAX_NAMED = 5
"""Files that a note names."""


@dataclasses.dataclass(frozen=True, slots=True)
class PodPlace:
    """A pod, or a pod template, of a manifest."""

    manifest: dict[str, Any]
    path: workloads.Path
    written: dict[str, Any]
    """As the file has it, with its styles."""
    pod: dict[str, Any]
    """As the API server reads it."""


Change = Callable[[PodPlace], dict[str, Any]]
"""Returns the pod that takes the place of the written one."""


@dataclasses.dataclass(frozen=True, slots=True)
class Document:
    """One object of a file, and its place."""

    place: str
    """File and number of the document, for messages."""
    manifest: dict[str, Any]
    layout: yaml_styles.Layout = dataclasses.field(default_factory=yaml_styles.Layout)


def read(path: str) -> list[Document]:
    """The Kubernetes objects of a file (or of `-`, standard input), without empty documents.

    Raises UnreadableInput for what kubectl could not read either, and for a file without objects.
    """
    return from_text(file_name(path), _text(path))


def from_text(file: str, text: str) -> list[Document]:
    """The Kubernetes objects of a text, as `read` has them; `file` is its name in messages."""
    return _documents(file, _contents(file, text))


def _documents(file: str, contents: Iterable[tuple[Any, yaml_styles.Layout]]) -> list[Document]:
    result = []
    for number, (content, layout) in enumerate(contents, 1):
        if content is not None:
            place = _place(file, number)
            result.append(Document(place, checked(place, content), layout))
    if not result:
        raise UnreadableInput(f"{file}: contains no Kubernetes object")
    return result


def written(path: str) -> list[tuple[Any, yaml_styles.Layout]]:
    """The values of a file's documents, whatever they are, with their styles."""
    return _contents(file_name(path), _text(path))


def _contents(file: str, text: str) -> list[tuple[Any, yaml_styles.Layout]]:
    with _in_file(file):
        return list(yaml_documents.load_written(text))


def read_files(paths: Iterable[str], notes: list[str]) -> list[Document]:
    """The Kubernetes objects of several files; a note counts the files that are passed over.

    A folder of a repository has other files, too: in a folder, what is no manifest is passed over.
    Raises UnreadableInput as `read` does, and for a folder without any manifest.
    """
    documents: list[Document] = []
    passed_over: dict[str, list[str]] = {}
    with_manifests = set()
    for path in paths:
        if not isinstance(path, locations.FileOfFolder):
            documents += read(path)
        elif own := _of_folder(path):
            with_manifests.add(path.folder)
            documents += own
        else:
            passed_over.setdefault(path.folder, []).append(Path(path).name)
    for folder, files in passed_over.items():
        if folder not in with_manifests:
            raise UnreadableInput(f"{folder}: contains no Kubernetes object")
        notes.append(_note_on_passed_over(folder, files))
    return documents


def _note_on_passed_over(folder: str, files: Sequence[str]) -> str:
    count = "1 file is" if len(files) == 1 else f"{len(files)} files are"
    names_of_some = ", ".join(files[:MAX_NAMED]) + (", …" if len(files) > MAX_NAMED else "")
    return f"{folder}: {count} passed over, without a Kubernetes object: {names_of_some}"


def _of_folder(path: str) -> list[Document]:
    """The Kubernetes objects of a file in a folder; none if it is no manifest.

    Raises UnreadableInput for a manifest with a mistake.
    """
    content = _content(path)
    if b"apiVersion" not in content:
        return []
    text = _decoded(path, content)
    try:
        contents = _contents(path, text)
    except UnreadableInput:
        # A template of Helm is no YAML yet.
        if not _HEAD.search(text) or _TEMPLATE in text:
            return []
        raise
    return _documents(path, contents) if any(_has_head(value) for value, _ in contents) else []


def _has_head(content: Any) -> bool:
    return isinstance(content, dict) and all(
        isinstance(content.get(field), str) for field in ("apiVersion", "kind")
    )


def printed(documents: Sequence[Document], contents: list[Any]) -> str:
    """The text of the documents with other contents, as the files are written."""
    return yaml_documents.dump_all(contents, [document.layout for document in documents])


def values(path: str) -> list[tuple[str, Any]]:
    """Place and content of a file's documents, whatever they are, without empty ones."""
    file = file_name(path)
    return [
        (_place(file, number), content)
        for number, content in enumerate(parsed(file, _text(path)), 1)
        if content is not None
    ]


def read_injections(
    paths: Sequence[str], *, namespace: str, notes: list[str] | None = None
) -> list[model.Injection]:
    """The injections of files; objects of other groups are skipped.

    `notes` takes those of `read_files`. Raises UnreadableInput for a file or a folder without any
    injection, and as `injections` does.
    """
    documents = []
    for location, files in by_location(paths):
        own = list(of_our_group(read_files(files, [] if notes is None else notes)))
        if not own:
            raise without_injection(location)
        documents += own
    return injections(documents, namespace=namespace)


def by_location(paths: Iterable[str]) -> Iterator[tuple[str, list[str]]]:
    """The files of each folder together, and each other file by itself."""
    for folder, files in itertools.groupby(paths, lambda path: getattr(path, "folder", None)):
        if folder is None:
            yield from ((path, [path]) for path in files)
        else:
            yield folder, list(files)


def without_injection(path: str) -> UnreadableInput:
    """The error of a file in which there should be one."""
    kinds = f"{names.KIND} or {names.CLUSTER_KIND} ({names.API_VERSION})"
    return UnreadableInput(f"{file_name(path)}: contains no {kinds}")


def of_our_group(documents: Iterable[Document]) -> Iterator[Document]:
    """The documents, and items of lists among them, that are of our API group."""
    for item in every_item(documents):
        if item.manifest["apiVersion"].partition("/")[0] == names.GROUP:
            yield item


def injections(documents: Iterable[Document], *, namespace: str) -> list[model.Injection]:
    """The injections in documents of our group; `namespace` is for those that name none.

    Raises UnreadableInput for a version or kind of our group that we do not know, and for two of
    one name, of which a cluster could have only one.
    """
    places: dict[tuple[str, str | None, str], str] = {}
    result = []
    for document in documents:
        injection = _injection(document, namespace=namespace)
        identity = (injection.kind, injection.namespace, injection.name)
        if identity in places:
            raise UnreadableInput(
                f"{document.place}: field metadata.name: {injection.kind} {injection.name!r} is"
                f" given twice; the other one is in {places[identity]}"
            )
        places[identity] = document.place
        result.append(injection)
    return result


def items(document: Document) -> list[Document]:
    """The items of a list, each with its place."""
    return [
        Document(place, checked(place, item))
        for place, item in sources.list_items(document.manifest, document.place)
    ]


def flattened(document: Document) -> Iterator[Document]:
    """The document itself or, if it is a list, its items."""
    if not workloads.is_list(document.manifest):
        yield document
        return
    for item in items(document):
        yield from flattened(item)


def every_item(documents: Iterable[Document]) -> Iterator[Document]:
    """The documents, and of those that are lists the items."""
    for document in documents:
        yield from flattened(document)


def with_pods(document: Document, change: Change) -> dict[str, Any]:
    """A copy of the manifest with its pods, or those of its pod templates, changed; also in lists.

    Other objects are returned as they are. Raises UnreadableInput for a pod in which a field that
    we read does not have the shape that the API defines.
    """
    manifest = document.manifest
    if workloads.is_list(manifest):
        pairs = zip(manifest["items"], items(document), strict=True)
        changed = [_without_head(with_pods(item, change), item=written) for written, item in pairs]
        return {**manifest, "items": changed}
    for path in workloads.pod_paths(manifest):
        written = workloads.at(manifest, path)
        pod = shapes.without_null_strings(shapes.POD, yaml_styles.plain(written))
        for field, sentence in shapes.problems(shapes.POD, pod):
            whole_path = ".".join(filter(None, (workloads.field(path), field)))
            raise UnreadableInput(f"{document.place}: field {whole_path}: {sentence}")
        manifest = workloads.replaced(
            manifest, path, change(PodPlace(manifest, path, written, pod))
        )
    return manifest


def _without_head(manifest: dict[str, Any], *, item: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest without the version and kind that the item of a list leaves to the list."""
    left_out = [key for key in ("apiVersion", "kind") if key not in item]
    return {key: value for key, value in manifest.items() if key not in left_out}


def check_namespace(documents: Sequence[Document], namespace: str) -> None:
    """Raises UnreadableInput for a pod, or what makes pods, of another namespace, as kubectl."""
    for item in every_item(documents):
        own = (item.manifest.get("metadata") or {}).get("namespace")
        if own and own != namespace and workloads.pod_paths(item.manifest):
            raise UnreadableInput(
                f"{item.place}: the namespace {own!r} of the object does not match the"
                f" namespace {namespace!r} of -n; leave out -n, or write -n {own}"
            )


def remarks(document: Document) -> Iterator[str]:
    """What in a document may be a pod and is not read as one, in sentences."""
    for item in flattened(document):
        yield from (_of(item, text) for text in workloads.not_understood(item.manifest))


def guesses(document: Document) -> Iterator[str]:
    """What in a document is taken for a pod template, in an object of another's kind."""
    for item in flattened(document):
        if kinds.find(*workloads.kind_of(item.manifest)):
            continue
        if any(workloads.not_understood(item.manifest)):
            continue
        for path in workloads.pod_paths(item.manifest):
            yield _of(item, f"{workloads.field(path)} is taken for a pod template")


def _of(item: Document, sentence: str) -> str:
    name = (item.manifest.get("metadata") or {}).get("name") or ""
    return f"{item.place}: {item.manifest['kind']}/{name}: {sentence}"


def file_name(path: str) -> str:
    """The name of a file in messages."""
    return "standard input" if path == STDIN else path


def _place(file: str, number: int) -> str:
    return f"{file}, document {number}"


def _text(path: str) -> str:
    return _decoded(path, _content(path))


def _content(path: str) -> bytes:
    try:
        if locations.is_address(path):
            return locations.fetched(path)
        return sys.stdin.buffer.read() if path == STDIN else Path(path).read_bytes()
    except (OSError, ValueError) as error:
        raise UnreadableInput(f"{file_name(path)}: {reason(error)}") from error


def reason(error: OSError | ValueError) -> str:
    """Why a file cannot be read or written; a ValueError is about its name."""
    return getattr(error, "strerror", None) or str(error)


def _decoded(path: str, content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise UnreadableInput(
            f"{file_name(path)}: is not UTF-8 text (byte {error.start})"
        ) from error


def parsed(file: str, text: str) -> list[Any]:
    """The documents of a text; `file` is its name in messages. Raises UnreadableInput."""
    with _in_file(file):
        return list(yaml_documents.load_all(text))


@contextlib.contextmanager
def _in_file(file: str) -> Iterator[None]:
    """Errors of the text as errors of the file."""
    try:
        yield
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise UnreadableInput(f"{file}{place}: is not valid YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        message = " ".join(str(error).split())
        raise UnreadableInput(f"{file}: is not valid YAML: {message}") from error


def checked(place: str, content: Any) -> dict[str, Any]:
    """The content as a Kubernetes object. Raises UnreadableInput if it is none."""
    if not isinstance(content, dict):
        raise UnreadableInput(f"{place}: is not a Kubernetes object but {_kind(content)}")
    for field in ("apiVersion", "kind"):
        if not isinstance(content.get(field), str) or not content[field]:
            raise UnreadableInput(
                f"{place}: field {field} must be a text, and is {_kind(content.get(field))};"
                " without it this is not a Kubernetes object"
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
    manifest = yaml_styles.plain(document.manifest)
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
