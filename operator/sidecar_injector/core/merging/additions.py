"""Parts of a pod that are neither containers nor volumes: one class for each way of being merged.

An `Addition` is asked in this order: `is_lacking` (which raises Conflict for what the pod's author
has), `rivals` (what other injections have), `apply`. What `apply` returns goes into the status
annotation and is what `uninject` undoes:

    {"op": "set", "path": …, "value": …, "previous": …}   a field that was unset, or had `previous`
    {"op": "add", "path": …, "value": …}                  an item of a list; no value if the path
                                                          ends in the item's own key
    {"op": "append", "path": …, "suffix": …}              text at the end of a string

In these paths list items go by their key (a container's name, a mount's path), not by an index.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from sidecar_injector.core import patch
from sidecar_injector.core.merging import defaults
from sidecar_injector.core.merging.conflict import Conflict
from sidecar_injector.core.merging.status_annotation import Entry
from sidecar_injector.core.reasons import Reason

Json = dict[str, Any]
Pod = Mapping[str, Any]
Patched = Json

UNSET: Mapping[str, tuple[Any, ...]] = {
    "serviceAccountName": (None, "", "default"),
    "hostNetwork": (None, False),
    "hostPID": (None, False),
}
"""What counts as unset, where more than null does: the API server drops a false `hostNetwork`."""
MAX_PREVIOUS = 64
"""Bytes of an overwritten value that are kept for `uninject`."""


class Addition(Protocol):
    """One thing that an injection wants a pod to have."""

    def is_lacking(self, pod: Pod) -> bool:
        """Whether it is to be added. Raises Conflict where the author's pod forbids it."""
        ...

    def is_kept(self, pod: Pod) -> bool:
        """Whether the pod keeps another value against it."""
        ...

    def rivals(self, pod: Pod, others: Sequence[Entry]) -> Iterator[Conflict]:
        """Other injections that made of it something else."""
        ...

    def apply(self, editor: patch.Editor, ours: Iterable[Entry]) -> list[Patched]:
        """Add it; what to write down about it."""
        ...

    @property
    def path(self) -> str:
        """Where it stands, with list items by their key."""
        ...

    @property
    def mounts(self) -> Sequence[str]:
        """The volumes that it mounts."""
        ...


class Quiet:
    """What most additions answer: nothing is mounted, nothing kept, nobody can object."""

    __slots__ = ()

    @property
    def mounts(self) -> Sequence[str]:
        return ()

    def is_kept(self, pod: Pod) -> bool:
        return False

    def rivals(self, pod: Pod, others: Sequence[Entry]) -> Iterator[Conflict]:
        return iter(())


@dataclasses.dataclass(frozen=True, slots=True)
class Scalar(Quiet):
    """A field of the pod's spec that is set where the pod leaves it unset."""

    field: str
    value: Any

    @property
    def path(self) -> str:
        return patch.pointer(("spec", self.field))

    def current(self, pod: Pod) -> Any:
        """The value as the API server reads it: the old alias counts where the name is empty."""
        spec = pod.get("spec") or {}
        if self.field == "serviceAccountName":
            return spec.get("serviceAccountName") or spec.get("serviceAccount")
        return spec.get(self.field)

    def is_lacking(self, pod: Pod) -> bool:
        return self.current(pod) in UNSET.get(self.field, (None,))

    def is_kept(self, pod: Pod) -> bool:
        unset = UNSET.get(self.field, (None,))
        current = self.current(pod)
        return current not in unset and current != self.value

    def rivals(self, pod: Pod, others: Sequence[Entry]) -> Iterator[Conflict]:
        current = self.current(pod)
        for entry in others:
            for one in entry.patched:
                set_there = one.get("op") == "set" and one.get("path") == self.path
                if set_there and one.get("value") == current != self.value:
                    yield held(f"spec.{self.field}", entry)

    def apply(self, editor: patch.Editor, ours: Iterable[Entry]) -> list[Patched]:
        spec = editor.document.get("spec") or {}
        fields = [self.field]
        if self.field == "serviceAccountName" and "serviceAccount" in spec:
            fields.append("serviceAccount")
        patched = []
        for field in fields:
            path = ("spec", field)
            before = spec.get(field)
            editor.set(path, self.value)
            patched.append(
                {"op": "set", "path": patch.pointer(path), "value": self.value, **_previous(before)}
            )
        return patched


@dataclasses.dataclass(frozen=True, slots=True)
class ListItem(Quiet):
    """An item of a list of the pod's spec (or of a part of it) that the pod does not have yet.

    With `keys` the pod's item of the same keys counts as it, and stays as it is; without, only an
    equal one does. `limit` is the API server's: what does not fit is not added.
    """

    parents: tuple[str, ...]
    value: Any
    keys: tuple[str, ...] = ()
    limit: int | None = None

    @property
    def path(self) -> str:
        return patch.pointer(("spec", *self.parents))

    def items(self, pod: Pod) -> list[Any]:
        """The list as it stands."""
        here: Any = pod.get("spec") or {}
        for step in self.parents:
            here = (here or {}).get(step)
        return here or []

    def is_lacking(self, pod: Pod) -> bool:
        items = self.items(pod)
        full = self.limit is not None and len(items) >= self.limit
        return not full and not any(self._is_it(item) for item in items)

    def is_kept(self, pod: Pod) -> bool:
        items = self.items(pod)
        if not any(self._is_it(item) for item in items):
            return not self.is_lacking(pod)
        return bool(self.keys) and not any(defaults.contains(item, self.value) for item in items)

    def rivals(self, pod: Pod, others: Sequence[Entry]) -> Iterator[Conflict]:
        for entry in others:
            for one in entry.patched:
                value = one.get("value")
                is_it = one.get("path") == self.path and self.keys and self._is_it(value)
                if is_it and not defaults.contains(value, self.value):
                    yield held(f"an item of spec.{'.'.join(self.parents)}", entry)

    def apply(self, editor: patch.Editor, ours: Iterable[Entry]) -> list[Patched]:
        editor.append(("spec", *self.parents), self.value)
        return [{"op": "add", "path": self.path, "value": self.value}]

    def _is_it(self, item: Any) -> bool:
        if not self.keys:
            return defaults.same(item, self.value)
        return isinstance(item, dict) and all(
            item.get(key) == self.value.get(key) for key in self.keys
        )


def held(what: str, entry: Entry) -> Conflict:
    """The conflict with another injection."""
    return Conflict(Reason.INJECTION_CONFLICT, f"{what} belongs to {entry.name}")


def _previous(before: Any) -> Json:
    if before is None:
        return {}
    text = before if isinstance(before, str) else str(before)
    return {"previous": before} if len(text.encode()) <= MAX_PREVIOUS else {}
