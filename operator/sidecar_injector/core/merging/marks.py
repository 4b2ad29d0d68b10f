"""The marks of a pod: two short annotations and a label that say what its status annotation says.

`kubectl describe` prints them whole, and `kubectl get -l` selects by the label. They belong to the
status annotation: they are written and removed together with it, and ignored like it when
injections are matched. A mark whose key the author has set is the author's and stays what it is;
the status annotation records that. So a pod without a status annotation has no marks of ours.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from sidecar_injector import names
from sidecar_injector.core.merging.status_annotation import MAPS, Entry, Provenance, Skipped

LONGEST: Final = 138
"""Characters of a line of an annotation that `kubectl describe` prints.
https://github.com/kubernetes/kubectl/blob/master/pkg/describe/describe.go"""

COUNT_CHARACTERS: Final = len("+100000 more")

Place = tuple[str, str]
"""The field of the metadata, and the key in it."""

PLACES: Final[Mapping[str, Place]] = {
    "label": ("labels", names.INJECTED_LABEL),
    "injected": ("annotations", names.INJECTED_ANNOTATION),
    "skipped": ("annotations", names.SKIPPED_ANNOTATION),
}
"""By the words with which the status annotation names those of the author."""
_STALE: Final[Mapping[str, str]] = {"label": "false", "injected": "", "skipped": ""}
"""The values of marks that are there and no longer true: a patch of ours removes nothing."""


def of_author(metadata: Mapping[str, Any]) -> tuple[str, ...]:
    """The words of the marks that are in the metadata of a pod without a status annotation."""
    return tuple(
        [word for word, (field, key) in PLACES.items() if key in (metadata.get(field) or ())]
    )


def ours(recorded: Provenance) -> Iterator[Place]:
    """Where the marks are that are not the author's."""
    return (place for word, place in PLACES.items() if word not in recorded.kept)


def changes(provenance: Provenance, metadata: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """By field, the marks that the metadata lacks or has with another value."""
    entries, skipped = provenance.entries, provenance.skipped
    texts = {
        "label": names.INJECTED_LABEL_VALUE if entries else "",
        "injected": shortened([_reference(entry) for entry in entries]) if entries else "",
        "skipped": shortened([f"{_reference(each)}={each.reason}" for each in skipped])
        if skipped
        else "",
    }
    result: dict[str, dict[str, str]] = {field: {} for field in MAPS}
    for word, (field, key) in PLACES.items():
        present = (metadata.get(field) or {}).get(key)
        text = texts[word] or ("" if present is None else _STALE[word])
        if text != (present or "") and word not in provenance.kept:
            result[field][key] = text
    return result


def shortened(items: Sequence[str]) -> str:
    """The items with commas between them: as many as there is room for, and how many more."""
    text = ",".join(items)
    if len(text) <= LONGEST and text.isascii() and text.isprintable():
        return text
    shown: list[str] = []
    room = LONGEST - COUNT_CHARACTERS
    for item in items:
        room -= len(item) + 1
        # A forged record may have any text as a name.
        if room < 0 or not (item.isascii() and item.isprintable()):
            break
        shown.append(item)
    return ",".join([*shown, f"+{len(items) - len(shown)} more"])


def _reference(injection: Entry | Skipped) -> str:
    kind, name = injection.kind, injection.name
    return f"{names.CLUSTER_PREFIX}{name}" if kind == names.CLUSTER_KIND else name
