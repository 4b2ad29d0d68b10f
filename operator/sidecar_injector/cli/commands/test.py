"""`test`: whether pods get what files expect of their injections."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from sidecar_injector import names
from sidecar_injector.cli import options
from sidecar_injector.cli.commands import inject
from sidecar_injector.cli.input import case_files, manifests, yaml_documents, yaml_styles
from sidecar_injector.cli.output import differences, projection, report, tables
from sidecar_injector.core.merging import marks
from sidecar_injector.core.pods import workloads
from sidecar_injector.observability import logs

STATUS = ("annotations", names.STATUS_ANNOTATION)
UPDATE = "write verdict, reason, injections, words, pod or result, or run it with --update"

Json = dict[str, Any]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TestedPod:
    """A pod, and what became of it."""

    label: str
    """By which it can be told from all others."""
    references: frozenset[str]
    """By which a case may name it."""
    actual: Json
    """All that a case may expect."""


@dataclasses.dataclass(frozen=True, slots=True)
class Result:
    """What a case expects, and what there is instead, as texts."""

    name: str
    object: str
    expected: str
    actual: str

    @property
    def difference(self) -> list[str]:
        """The lines of a unified diff; none if everything is as expected."""
        return [*differences.unified(self.expected, self.actual, "expected", "now")]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FileResult:
    """The results of a file, and its texts with what there is instead."""

    path: Path
    results: list[Result]
    notes: list[str]
    texts: dict[Path, str]

    @property
    def failed(self) -> list[Result]:
        """The results that are not as expected."""
        return [result for result in self.results if result.difference]


@click.command(epilog="Example: sidecar-injector test tests/ --junit report.xml")
@click.argument("folders", nargs=-1, required=True, metavar="DIR…", type=click.Path())
@click.option("--update", is_flag=True, help="Write what is so now into the files.")
@click.option("--junit", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path),
              help="Write the results as JUnit XML, too.")  # fmt: skip
@options.kind_paths()
@options.output()
def test(*, folders: tuple[str, ...], update: bool, junit: Path | None, form: str) -> None:
    """Check that pods get what is expected of their injections.

    Runs every file sidecar-injector-test.yaml of the folders and of theirs. Such a file names
    injections and objects, decides about the objects' pods as `inject` does, and compares what it
    expects. Reads files only, never a cluster. docs/testing.md has the format and an example. Exit
    status 1 if something is not as expected, 2 if a file cannot be used.
    """
    paths = case_files.paths(folders)
    files = [run(case_files.read(path), update=update) for path in _with_progress(paths)]
    if junit:
        _write(junit, _junit(files))
    written = [path for file in files for path in _written(file)] if update else None
    if form == options.TABLE:
        _print(files, written=written)
    else:
        cases = [_as_json(file, result) for file in files for result in file.results]
        shape = {"cases": cases, "written": [str(path) for path in written or ()]}
        tables.structured(shape, form=form)
    sys.exit(1 if not update and any(file.failed for file in files) else 0)


def run(file: case_files.CaseFile, *, update: bool = False) -> FileResult:
    """The results of a file's cases. Raises UnreadableInput for a case that is about no pod.

    With `update`, a file without cases and a case without expectations are filled in.
    """
    injector = inject.offline(file.injections, namespace=file.namespace, namespace_labels={})
    manifests_now = injector.documents(file.objects)
    pods = tested_pods(file, injector.entries, manifests_now)
    results: list[Result] = []
    texts: dict[Path, str] = {}
    if file.printed:
        texts[file.printed] = now = manifests.printed(file.objects, manifests_now)
        printed = case_files.text(file, must_exist=not update)
        results.append(Result(file.printed.name, "", printed, now))
    cases = file.cases or ([{"object": pod.label} for pod in pods] if update else [])
    if not results and not cases:
        raise file.error(case_files.CASES, "contains no case; --update writes one for each pod")
    cases_now: list[Json] = []
    case_names = {result.name for result in results}
    by_reference = _by_reference(pods)
    for index, case in enumerate(cases):
        place = f"{case_files.CASES}[{index}]"
        pod = _pod_of(file, place, case, by_reference)
        expected = _expected(case)
        if not expected and not update:
            raise file.error(place, f"expects nothing; {UPDATE}")
        name = str(case.get("name") or case.get("object") or pod.label)
        if name in case_names:
            sentence = f"{name!r} is given twice; give each case a name of its own"
            raise file.error(f"{place}.name", sentence)
        case_names.add(name)
        cases_now.append(_now(case, pod))
        now = _text(_expected(cases_now[-1]))
        results.append(Result(name, pod.label, _text(expected), now))
    if _text(cases_now) != _text(file.cases):
        texts[file.path] = file.with_cases(cases_now)
    notes = [*injector.notes_on_namespaces(only_changed=True), *injector.notes]
    return FileResult(path=file.path, results=results, notes=notes, texts=texts)


def _expected(case: Json) -> Json:
    """What a case says of its pod."""
    return {key: value for key, value in case.items() if key not in case_files.IDENTITY}


def _now(case: Json, pod: TestedPod) -> Json:
    """The case as it would be as expected; filled in if it expects nothing."""
    expected = _expected(case)
    if not expected:
        actual = pod.actual
        lines = [{key: line[key] for key in ("name", "reason")} for line in actual["injections"]]
        reason = {"reason": actual["reason"]} if actual["reason"] else {}
        return {**case, "verdict": actual["verdict"], **reason, "injections": lines}
    parts = {
        key: projection.of(pod.actual[key], value, whole=key == "result")
        for key, value in expected.items()
    }
    return type(case)({**case, **parts})


def _text(value: Json | list[Json]) -> str:
    return yaml_documents.dump_all([yaml_styles.plain(value)])


def tested_pods(
    file: case_files.CaseFile,
    entries: Sequence[report.ReportEntry],
    manifests_now: Sequence[Json],
) -> list[TestedPod]:
    """The pods of a file's objects, each with what became of it."""
    remaining = iter(entries)
    pods = []
    for document, manifest in zip(file.objects, manifests_now, strict=True):
        after = manifests.flattened(dataclasses.replace(document, manifest=manifest))
        for before, now in zip(manifests.flattened(document), after, strict=True):
            paths = workloads.pod_paths(before.manifest)
            for path in paths:
                entry, pod = next(remaining), workloads.at(now.manifest, path)
                whole = _whole(pod, workloads.at(before.manifest, path))
                actual = {"words": [], **report.pod(entry), "pod": pod, "result": whole}
                end = f"/{workloads.field(path)}" if len(paths) > 1 else ""
                short, label = f"{entry.kind}/{entry.name}", f"{entry.place}{end}"
                references = frozenset({short, short + end, entry.place, label})
                pods.append(TestedPod(label=label, references=references, actual=actual))
    return pods


def _whole(pod: Json, written: Json) -> Json:
    """Metadata and spec of a pod, without the marks that are not its author's."""
    metadata = {**(pod.get("metadata") or {})}
    before = written.get("metadata") or {}
    for field, key in (STATUS, *marks.PLACES.values()):
        values = metadata.get(field) or {}
        if key in values and key not in (before.get(field) or {}):
            metadata[field] = {name: value for name, value in values.items() if name != key}
    kept = {key: value for key, value in metadata.items() if value or key in before}
    return ({"metadata": kept} if kept else {}) | {"spec": pod.get("spec")}


def _by_reference(pods: Iterable[TestedPod]) -> dict[str, list[TestedPod]]:
    """The pods by what a case may call them, and all of them by the empty text."""
    result: dict[str, list[TestedPod]] = {}
    for pod in pods:
        for reference in ("", *pod.references):
            result.setdefault(reference, []).append(pod)
    return result


def _pod_of(
    file: case_files.CaseFile, place: str, case: Json, pods: Mapping[str, Sequence[TestedPod]]
) -> TestedPod:
    """The pod that a case is about."""
    reference = case.get("object") or ""
    matching = pods.get(reference, ())
    if len(matching) == 1:
        return matching[0]
    field, labels = f"{place}.object", {pod.label: None for pod in matching}
    if not pods:
        raise file.error("objects", "there is no pod in them, and nothing that makes pods")
    if not matching:
        hint = case_files.hint(reference, pods.keys() - {""})
        raise file.error(field, f"{str(reference)!r} is none of the objects; {hint}")
    if len(labels) == 1:
        raise file.error("objects", f"{matching[0].label!r} is there twice; keep one of them")
    if not reference:
        raise file.error(field, f"is missing; there are {report.few([*labels])}")
    raise file.error(field, f"{str(reference)!r} may be {report.few([*labels])}; write one of them")


def _with_progress(paths: Sequence[Path]) -> Iterator[Path]:
    """The paths one after the other, with a bar on a terminal."""
    if not sys.stderr.isatty():
        yield from paths
        return
    import rich.progress  # noqa: PLC0415 - for terminals alone

    yield from rich.progress.track(
        paths, description="testing", console=tables.console(stderr=True), transient=True
    )


def _written(file: FileResult) -> Iterator[Path]:
    """Write what is so now; the files that differ."""
    for path, text in file.texts.items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            _write(path, text.encode())
            yield path


def _write(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except (OSError, ValueError) as error:
        raise manifests.UnreadableInput(f"{path}: {manifests.reason(error)}") from error


def _junit(files: Sequence[FileResult]) -> bytes:
    from sidecar_injector.cli.output import junit  # noqa: PLC0415 - for those who want it

    suites = {
        str(file.path): {result.name: "\n".join(result.difference) for result in file.results}
        for file in files
    }
    return junit.text(suites, name=names.PRODUCT)


def _print(files: Sequence[FileResult], *, written: Sequence[Path] | None) -> None:
    """The differences, or the files that are written; the last line counts."""
    cases = _counted(sum(len(file.results) for file in files), "case")
    within = f"{cases} in {_counted(len(files), 'file')}"
    if written is not None:
        done = f"{_counted(len(written), 'file')} written" if written else "nothing to write"
        lines = [*(f"{path} written" for path in written), f"{within}: {done}"]
        click.echo("\n".join(map(logs.one_line, lines)))
        return
    for file in files:
        for result in file.failed:
            console = tables.console()
            tables.heading(f"FAILED {file.path}: {result.name}", to=console)
            differences.write(result.difference, to=console)
        tables.notes(file.notes if file.failed else ())
    failed = sum(len(file.failed) for file in files)
    click.echo(f"{within}: {f'{failed} failed' if failed else 'all as expected'}")


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _as_json(file: FileResult, result: Result) -> Json:
    """For programs; its shape is stable."""
    return {
        "file": str(file.path),
        "name": result.name,
        "object": result.object,
        "passed": not result.difference,
        "difference": result.difference,
    }
