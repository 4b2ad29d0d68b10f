"""The files of `test`: objects, injections, and what is expected of the objects' pods."""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from sidecar_injector import names
from sidecar_injector.cli.input import locations, manifests, yaml_documents, yaml_styles
from sidecar_injector.core.injections import model, schema
from sidecar_injector.core.reasons import BY_CODE, PodVerdict, Verdict

NAME: Final = f"{names.PRODUCT}-test.yaml"
CASES: Final = "cases"
IDENTITY: Final = ("name", "object")
"""What a case has besides its expectations."""
LISTS: Final = ("injections", "words")
"""The expectations that have reasons of their own."""

_TEXT: Final = {"type": "string"}
_OBJECT: Final = {"type": "object"}
_SOURCES: Final = {"type": "array", "items": {}}


def _fields(*texts: str, **others: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": {**dict.fromkeys(texts, _TEXT), **others}}


def _words(verdicts: type[PodVerdict | Verdict]) -> dict[str, Any]:
    return {"type": "string", "enum": [verdict.value for verdict in verdicts]}


_ADVICE: Final = ("reason", "message", "remedy", "command")
_LINE: Final = _fields("kind", "name", *_ADVICE, verdict=_words(Verdict), details=_OBJECT)
_CASE: Final = _fields(
    *IDENTITY, "reason", "remedy", "command", verdict=_words(PodVerdict), pod=_OBJECT,
    result=_OBJECT, injections={"type": "array", "items": _LINE},
    words={"type": "array", "items": _fields("subject", *_ADVICE)},
)  # fmt: skip
SCHEMA: Final = {
    **_fields("namespace", "manifests", injections=_SOURCES, objects=_SOURCES,
              cases={"type": "array", "items": _CASE}),
    "required": ["injections", "objects"],
}  # fmt: skip
"""A case expects parts of what `inject --report json` says about a pod, and of the pod itself."""
_HEADS: Final = {
    "objects": {"apiVersion": "v1", "kind": "Pod"},
    "injections": {"apiVersion": names.API_VERSION, "kind": names.KIND},
}
"""Of objects in a test file that have no kind."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CaseFile:
    """One file, and what it names."""

    path: Path
    content: dict[str, Any]
    """As it is written, with its styles."""
    layout: yaml_styles.Layout
    injections: list[model.Injection]
    objects: list[manifests.Document]

    @property
    def namespace(self) -> str:
        """Of objects that carry none."""
        namespace: str = self.content.get("namespace") or "default"
        return namespace

    @property
    def cases(self) -> list[dict[str, Any]]:
        """The cases as they are written."""
        cases: list[dict[str, Any]] = self.content.get(CASES) or []
        return cases

    @property
    def printed(self) -> Path | None:
        """The file with what `inject` prints for the objects."""
        name = self.content.get("manifests")
        return self.path.parent / name if name else None

    def error(self, field: str, sentence: str) -> locations.UnreadableInput:
        """The error about a field."""
        return locations.UnreadableInput(f"{self.path}: field {field}: {sentence}")

    def with_cases(self, cases: list[dict[str, Any]]) -> str:
        """The text with other cases; what is before them is kept as it is written."""
        text = self.path.read_text(encoding="utf-8")
        content = {**self.content, CASES: cases}
        begin = re.search(rf"^{CASES}:", text, flags=re.MULTILINE)
        if not begin or [*content][-1] != CASES:
            return yaml_documents.dump_all([content], [self.layout])
        layout = dataclasses.replace(self.layout, has_start=False)
        return text[: begin.start()] + yaml_documents.dump_all([{CASES: cases}], [layout])


def paths(folders: Iterable[str]) -> list[Path]:
    """The test files in folders and in theirs. Raises UnreadableInput for a folder without one."""
    result: dict[Path, None] = {}
    for folder in folders:
        path = Path(folder)
        files = [path] if path.is_file() else sorted(path.rglob(NAME))
        if not files:
            if not path.is_dir():
                raise locations.UnreadableInput(f"{folder}: there is no such folder")
            raise locations.UnreadableInput(
                f"{folder}: contains no file {NAME}, which lists injections, objects and {CASES}"
            )
        result |= dict.fromkeys(files)
    return [*result]


def read(path: Path) -> CaseFile:
    """The file with the injections and objects that it names. Raises UnreadableInput."""
    documents = manifests.written(str(path))
    if not documents:
        raise locations.UnreadableInput(
            f"{path}: is empty; write fields {', '.join(SCHEMA['required'])} and {CASES}"
        )
    if len(documents) > 1:
        raise locations.UnreadableInput(
            f"{path}: contains {len(documents)} documents; write each into a file of its own, in"
            " another folder"
        )
    ((content, layout),) = documents
    for problem in schema.problems(SCHEMA, yaml_styles.plain(content), tokens=False):
        field = f"field {problem.path}: " if problem.path else ""
        raise locations.UnreadableInput(f"{path}: {field}{problem.sentence}")
    file = CaseFile(path=path, content=content, layout=layout, injections=[], objects=[])
    file.objects.extend(_documents(file, "objects"))
    own = [*manifests.of_our_group(_documents(file, "injections"))]
    if not own:
        raise file.error("injections", f"there is no {names.KIND} or {names.CLUSTER_KIND} in it")
    file.injections.extend(manifests.injections(own, namespace=file.namespace))
    _check(file)
    return file


def text(file: CaseFile, *, must_exist: bool) -> str:
    """The expected manifests; empty if they may be missing and are."""
    path = file.printed
    try:
        return path.read_text(encoding="utf-8") if path else ""
    except FileNotFoundError as error:
        if not must_exist:
            return ""
        raise file.error("manifests", f"there is no file {path}; --update writes it") from error
    except (OSError, ValueError) as error:
        raise file.error("manifests", f"{path}: {manifests.reason(error)}") from error


def _documents(file: CaseFile, field: str) -> Iterator[manifests.Document]:
    """The objects of a list of names of files and of objects."""
    for index, item in enumerate(file.content[field]):
        if isinstance(item, str):
            try:
                yield from manifests.read_files(
                    locations.files([str(file.path.parent / item)]), notes=[]
                )
            except locations.UnreadableInput as error:
                raise file.error(f"{field}[{index}]", error.message) from error
        elif isinstance(item, dict):
            place = f"{file.path}: field {field}[{index}]"
            head = _HEADS[field] if "kind" not in item else {}
            yield manifests.Document(place, manifests.checked(place, {**head, **item}))
        else:
            sentence = f"{item!r} must be the name of a file, or an object"
            raise file.error(f"{field}[{index}]", sentence)


def _check(file: CaseFile) -> None:
    """Raises UnreadableInput for a reason or an injection that does not exist."""
    injections = {injection.name for injection in file.injections}
    for index, case in enumerate(file.cases):
        lines = [
            (f".{key}[{i}]", line) for key in LISTS for i, line in enumerate(case.get(key) or ())
        ]
        for where, part in [("", case), *lines]:
            code, name = part.get("reason"), part.get("name")
            if code and code not in BY_CODE:
                sentence = f"{str(code)!r} is no reason; {hint(code, BY_CODE)}"
                raise file.error(f"{CASES}[{index}]{where}.reason", sentence)
            if where.startswith(".injections") and name and name not in injections:
                sentence = f"{str(name)!r} is none of the injections; {hint(name, injections)}"
                raise file.error(f"{CASES}[{index}]{where}.name", sentence)


def hint(text: str, choices: Iterable[str]) -> str:
    """What to write instead of a word that is none of the choices."""
    choices = sorted(choices)
    near = difflib.get_close_matches(text, choices, n=1)
    return f"did you mean {near[0]!r}?" if near else f"there are {', '.join(choices)}"
