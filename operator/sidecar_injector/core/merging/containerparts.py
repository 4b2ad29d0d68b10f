"""A part of one container of the pod's own: finding it, naming it, placing it."""

from __future__ import annotations

import dataclasses
import fnmatch
import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sidecar_injector.core import patch
from sidecar_injector.core.merging import additions
from sidecar_injector.core.merging.conflict import Conflict
from sidecar_injector.core.merging.status_annotation import Entry
from sidecar_injector.core.pods import fields as pod_fields

Json = dict[str, Any]
Pod = Mapping[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class ContainerPart(additions.Quiet):
    """Something in one container."""

    field: str
    """The list of the pod's spec that the container is in."""
    container: str
    index: int = dataclasses.field(default=0, kw_only=True, compare=False)
    """Where to look first: searching a hundred containers for each part of each is quadratic."""

    def find(self, pod: Pod) -> tuple[int, Json]:
        """The container and its index."""
        containers = pod_fields.items(pod, self.field)
        if self.index < len(containers) and containers[self.index]["name"] == self.container:
            return self.index, containers[self.index]
        for index, one in enumerate(containers):
            if one["name"] == self.container:
                return index, one
        raise KeyError(self.container)

    def items(self, pod: Pod, what: str) -> list[Json]:
        """A list of the container; empty where it is absent or null."""
        found: list[Json] = self.find(pod)[1].get(what) or []
        return found

    def pointer(self, *steps: str) -> str:
        """A path below the container."""
        return patch.pointer(("spec", self.field, self.container, *steps))

    def place(
        self, editor: patch.Editor, what: str, value: Json, *, ours: Iterable[Entry], key: str
    ) -> None:
        """Put an item in front of the author's, behind what injections put there before."""
        index, _ = self.find(editor.document)
        prefix = self.pointer(what)
        known = [one for entry in ours for one in entry.patched if one.get("op") == "add"]
        start = 0
        for item in self.items(editor.document, what):
            if not any(_is_record_of(one, item, prefix=prefix, key=key) for one in known):
                break
            start += 1
        editor.insert(("spec", self.field, index, what), start, value)


def is_named(name: str, globs: Mapping[str, Any]) -> bool:
    """Whether a container is among the included and not among the excluded; `*` is all."""
    include, exclude = globs.get("include"), globs.get("exclude") or ()
    return matches(name, ["*"] if include is None else include) and not matches(name, exclude)


def matches(name: str, globs: Iterable[str]) -> bool:
    """Whether one of the globs matches, in the case as written."""
    return any(fnmatch.fnmatchcase(name, glob) for glob in globs)


def rivals_at(path: str, others: Sequence[Entry]) -> Iterator[Conflict]:
    """Other injections that put something at exactly this path."""
    for entry in others:
        if any(one.get("path") == path for one in entry.patched):
            yield additions.held(path, entry)


def clean(path: object) -> str:
    """A mount path as it is compared: `/a/` is `/a`."""
    return posixpath.normpath(path) if isinstance(path, str) and path else ""


def _is_record_of(record: Mapping[str, Any], item: Json, *, prefix: str, key: str) -> bool:
    if key:
        return bool(record.get("path") == f"{prefix}{patch.pointer((item.get(key) or '',))}")
    return record.get("path") == prefix and record.get("value") == item
