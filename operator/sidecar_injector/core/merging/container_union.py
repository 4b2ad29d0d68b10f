"""`onConflict: Merge`: a container of the pod's own takes what it leaves unset."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sidecar_injector.core import patch
from sidecar_injector.core.merging import additions, containerparts, defaults
from sidecar_injector.core.merging.status_annotation import Entry

Json = dict[str, Any]
Missing = tuple[tuple[str, ...], str, Any]
"""The steps below the container, the key of a list's item (empty for a field), and the value."""

ALWAYS_SET = frozenset(
    {"name", "image", "imagePullPolicy", "terminationMessagePath", "terminationMessagePolicy"}
)
"""Never taken: the author sets it, or the API server does before we are asked, so that a pod from
a file and the same pod from a call would come out differently."""
KEYED = {"env": "name", "ports": "containerPort", "volumeMounts": "mountPath"}
BY_VALUE = frozenset({"envFrom", "ports"})
"""Lists in which a key may stand twice (a port of TCP and of UDP): an item is known as a whole."""
MERGED = frozenset({"resources", "limits", "requests", "securityContext"})
"""Objects whose members are taken one by one; any other object is one thing."""


@dataclasses.dataclass(frozen=True, slots=True)
class Union(containerparts.ContainerPart):
    """The template of a container that the pod has."""

    template: Json

    @property
    def path(self) -> str:
        return self.pointer()

    @property
    def mounts(self) -> Sequence[str]:
        return [one["name"] for one in self.template.get("volumeMounts") or ()]

    def is_lacking(self, pod: Mapping[str, Any]) -> bool:
        return any(_missing(self.find(pod)[1], self.template))

    def is_kept(self, pod: Mapping[str, Any]) -> bool:
        rest = {key: value for key, value in self.template.items() if key not in ALWAYS_SET}
        return not defaults.contains(self.find(pod)[1], rest, defaults.CONTAINER)

    def apply(self, editor: patch.Editor, ours: Iterable[Entry]) -> list[additions.Patched]:
        index, container = self.find(editor.document)
        root = ("spec", self.field, index)
        patched = []
        for steps, key, value in list(_missing(container, self.template)):
            if steps[-1] in BY_VALUE:
                editor.append((*root, *steps), value)
                patched.append({"op": "add", "path": self.pointer(*steps), "value": value})
            elif key:
                editor.append((*root, *steps), value)
                patched.append({"op": "add", "path": self.pointer(*steps, key)})
            else:
                editor.set((*root, *steps), value)
                patched.append({"op": "set", "path": self.pointer(*steps)})
        return patched


def _missing(
    container: Mapping[str, Any], template: Mapping[str, Any], *, steps: tuple[str, ...] = ()
) -> Iterator[Missing]:
    for field, wanted in template.items():
        here = (*steps, field)
        present = container.get(field)
        if here == ("resources", "requests"):
            # The API server makes requests of limits, also before we are asked.
            present = {**(container.get("limits") or {}), **(present or {})}
        if (not steps and field in ALWAYS_SET) or defaults.is_empty(wanted):
            continue
        if field in KEYED and not steps:
            yield from _missing_items(present or [], wanted, here, key=KEYED[field])
        elif field == "envFrom":
            yield from (
                (here, "", one)
                for one in wanted
                if not any(defaults.same(one, item) for item in present or ())
            )
        elif field in MERGED and isinstance(wanted, dict):
            # Member by member also where there is none: the API server writes an empty object.
            yield from _missing(present or {}, wanted, steps=here)
        elif defaults.is_empty(present):
            yield here, "", wanted


def _missing_items(
    present: Sequence[Json], wanted: Sequence[Json], steps: tuple[str, ...], *, key: str
) -> Iterator[Missing]:
    known = {_identity(item, key) for item in present}
    for item in wanted:
        if _identity(item, key) not in known:
            yield steps, str(item[key]), item


def _identity(item: Json, key: str) -> object:
    if key == "mountPath":
        return containerparts.clean(item.get(key))
    return (
        (item.get(key), item.get("protocol") or "TCP") if key == "containerPort" else item.get(key)
    )
