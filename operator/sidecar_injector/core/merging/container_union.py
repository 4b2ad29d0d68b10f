"""`onConflict: Merge`: a container of the pod gets the template's fields that it leaves unset."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from sidecar_injector.core import patch
from sidecar_injector.core.merging import additions, container_additions, defaults
from sidecar_injector.core.merging.status_annotation import ItemKey, Record, json_text

Json = dict[str, Any]
Missing = tuple[tuple[str, ...], str, Any]
"""The steps below the container, the key of a list's item (empty for a field), and the value."""

ALWAYS_SET = frozenset(
    {"name", "image", "imagePullPolicy", "terminationMessagePath", "terminationMessagePolicy"}
)
"""Never added: the author sets it, or the API server does before it calls the webhook. Otherwise a
pod from a file would come out differently."""
KEYED = {"env": "name", "ports": "containerPort", "volumeMounts": "mountPath"}
BY_VALUE = frozenset({"envFrom", "ports"})
"""Lists that may contain a key twice (a port of TCP and of UDP): an item is recorded as a whole."""
MERGED = frozenset({"resources", "limits", "requests", "securityContext"})
"""Objects whose members are added one by one; any other object is added as a whole."""


@dataclasses.dataclass(frozen=True, slots=True)
class Union(additions.Addition):
    """What the template's container has and the pod's container of that name leaves unset."""

    target: container_additions.Target
    template: Json
    settled: tuple[Collection[ItemKey], ...] = ()
    """What was added before: it is there, changed or not, or the API server has dropped it."""
    left_out: tuple[str, ...] = ()

    @property
    def paths(self) -> Sequence[str]:
        return (self.target.path(),)

    @property
    def mounts(self) -> Sequence[tuple[str, str]]:
        return [
            (self.target.path(), mount["name"]) for mount in self.template.get("volumeMounts") or ()
        ]

    def missing(self, pod: Mapping[str, Any]) -> Union | None:
        return self if any(self._missing(pod)) else None

    def unsettled(self, pod: Mapping[str, Any], settled: Collection[ItemKey]) -> Union:
        return dataclasses.replace(self, settled=(*self.settled, settled))

    def _missing(self, pod: Mapping[str, Any]) -> Iterator[Missing]:
        container = self.target.find(pod)
        for steps, key, value in _missing(container, self.template):
            if not self._is_settled(steps, key, value, container):
                yield steps, key, value

    def _is_settled(
        self, steps: tuple[str, ...], key: str, value: Any, container: Mapping[str, Any]
    ) -> bool:
        """Whether an earlier call added it, and it is not to be added again."""
        if not self.settled:
            return False
        path = self.target.path(*steps)
        if steps[-1] in BY_VALUE:
            part = (path, json_text(value))
            return bool(container.get(steps[-1])) and any(part in keys for keys in self.settled)
        if key:
            return False
        # An API server drops a field that it does not know: a pod has it between two calls only.
        return any((path, "") in keys for keys in self.settled)

    def preserved_paths(self, pod: Mapping[str, Any]) -> Sequence[str]:
        rest = {key: value for key, value in self.template.items() if key not in ALWAYS_SET}
        return (
            () if defaults.contains(self.target.find(pod), rest, defaults.CONTAINER) else self.paths
        )

    def apply(self, editor: patch.Editor, recorded: set[ItemKey]) -> list[Record]:
        records: list[Record] = []
        # Of two sources that have a variable the last one counts, which is the author's.
        first = container_additions.leading_sources(self.target, editor.document, recorded)
        for steps, key, value in list(self._missing(editor.document)):
            if steps == ("envFrom",):
                editor.insert(self.target.steps(*steps), first, value)
                first += 1
            else:
                is_item = key or steps[-1] in BY_VALUE
                (editor.append if is_item else editor.set)(self.target.steps(*steps), value)
            if steps[-1] in BY_VALUE:
                records.append({"op": "add", "path": self.target.path(*steps), "value": value})
            elif key:
                records.append({"op": "add", "path": self.target.path(*steps, key)})
            else:
                records.append({"op": "set", "path": self.target.path(*steps)})
        return records


def _missing(
    container: Mapping[str, Any], template: Mapping[str, Any], *, steps: tuple[str, ...] = ()
) -> Iterator[Missing]:
    for field, wanted in template.items():
        path = (*steps, field)
        present = container.get(field)
        if path == ("resources", "requests"):
            # The API server copies limits to requests, also before it calls the webhook.
            present = {**(container.get("limits") or {}), **(present or {})}
        kind = defaults.CONTAINER.at(path)
        if (not steps and field in ALWAYS_SET) or kind.is_absent(wanted):
            continue
        if field in KEYED and not steps:
            yield from _missing_items(present or (), wanted, path, key=KEYED[field])
        elif field == "envFrom":
            index = defaults.ItemIndex(present or ())
            yield from ((path, "", source) for source in wanted if not index.find(source))
        elif field in MERGED and isinstance(wanted, dict):
            # Also where the object is absent: the API server writes an empty one.
            yield from _missing(present or {}, wanted, steps=path)
        elif kind.is_absent(present):
            yield path, "", wanted


def _missing_items(
    present: Sequence[Json], wanted: Sequence[Json], steps: tuple[str, ...], *, key: str
) -> Iterator[Missing]:
    identities = {_identity(item, key) for item in present}
    for item in wanted:
        if _identity(item, key) not in identities:
            yield steps, str(item[key]), item


def _identity(item: Json, key: str) -> object:
    if key == "mountPath":
        return container_additions.clean_path(item.get(key))
    return (
        (item.get(key), item.get("protocol") or "TCP") if key == "containerPort" else item.get(key)
    )
