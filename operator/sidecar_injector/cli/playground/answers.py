"""What becomes of the pods of a text with the injections of another, as `explain` and `diff` say.

The texts come at each keystroke, so all that they can cost is bounded here. What one pod costs is
bounded in `core.merging.budget`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import yaml

from sidecar_injector.cli.commands import diff, explain, inject
from sidecar_injector.cli.input import manifests, yaml_documents
from sidecar_injector.cli.output import report
from sidecar_injector.core.pods import workloads

INJECTIONS: Final = "injections"
PODS: Final = "pods"
"""The two editors; messages name them as those of a verb name files."""
MOST: Final[Mapping[str, int]] = {INJECTIONS: 100, PODS: 20}
MOST_VALUES: Final = 500_000
"""Values and characters of a text with its aliases expanded: a short text can exceed any memory."""
MOST_LINES: Final = 3_000
"""Of a pod that is compared: difflib takes the square of the lines."""

Json = dict[str, Any]


def answer(texts: Mapping[str, str], *, namespace: str) -> Json:
    """`pods` and `notes` as `explain -o json` has them, or `mistakes` by editor.

    A pod also has the lines of `explain` and of `diff`.
    """
    documents: dict[str, list[manifests.Document]] = {}
    mistakes: Json = {}
    for editor in (INJECTIONS, PODS):
        try:
            documents[editor] = _documents(editor, texts.get(editor, ""))
        except manifests.UnreadableInput as error:
            mistakes[editor] = _mistake(error)
    if mistakes:
        return {"mistakes": mistakes}
    editor = INJECTIONS
    try:
        injections = manifests.injections(documents[editor], namespace=namespace)
        injector = inject.offline(injections, namespace=namespace, namespace_labels={})
        editor = PODS
        subjects = inject.read_subjects([PODS], documents[PODS], injector)
    except manifests.UnreadableInput as error:
        return {"mistakes": {editor: _mistake(error)}}
    notes = dict.fromkeys((*injector.notes_on_namespaces(), *injector.notes))
    pods = [_pod(subject) for subject in subjects]
    return {"pods": pods, "notes": list(notes), "styles": explain.STYLES}


def _mistake(error: manifests.UnreadableInput) -> Json:
    cause = error.__cause__
    mark = cause.problem_mark if isinstance(cause, yaml.MarkedYAMLError) else None
    place = {"line": mark.line + 1, "column": mark.column + 1} if mark else {}
    return {"message": error.message, **place}


def _documents(editor: str, text: str) -> list[manifests.Document]:
    """What the editor is about, if it is not too much. Raises UnreadableInput."""
    documents = manifests.from_text(editor, text)
    left, values = MOST_VALUES, [document.manifest for document in documents]
    while values:
        value: Any = values.pop()
        left -= 1 + (len(value) if isinstance(value, str) else 0)
        if left < 0:
            raise manifests.UnreadableInput(f"{editor}: the text is too long for this page")
        values += (*value, *value.values()) if isinstance(value, dict) else ()
        values += value if isinstance(value, list) else ()
    if editor == INJECTIONS:
        documents = list(manifests.of_our_group(documents))
        if not documents:
            raise manifests.without_injection(editor)
        count = len(documents)
    else:
        items = manifests.every_item(documents)
        count = sum(len(workloads.pod_paths(item.manifest)) for item in items)
    if count > MOST[editor]:
        raise manifests.UnreadableInput(
            f"{editor}: contains {count} {editor}; this page takes {MOST[editor]}, and `explain`"
            " and `diff` take more"
        )
    return documents


def _pod(subject: inject.Subject) -> Json:
    result = explain.explanation(subject)
    pods = [dict(pod) for pod in (subject.request.pod, subject.entry.decision.pod)]
    lines = max(yaml_documents.dump_all([pod]).count("\n") for pod in pods)
    return {
        **explain.as_json(result),
        "headline": f"{subject.entry.place}: {report.headline(subject.entry.decision)}",
        "help": list(explain.below_headline(result, subject.entry.subject)),
        "answers": list(explain.answers_of(result)),
        "lines": lines,
        "diff": list(diff.difference(subject)) if lines <= MOST_LINES else None,
    }
