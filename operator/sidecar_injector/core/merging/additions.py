"""Parts of a pod that are neither containers nor volumes: one class for each way of merging them.

`Addition.apply` returns what the status annotation records and what `uninject` undoes:

    {"op": "set", "path": …, "value": …, "previous": …}   a field that was unset, or had `previous`
    {"op": "add", "path": …, "value": …}                  an item of a list; no value if the path
                                                          ends in the item's own key
    {"op": "append", "path": …, "suffix": …}              text at the end of a string

In these paths a list item goes by its key (a container's name, a mount's path), not by an index.
"""

from __future__ import annotations

import abc
import dataclasses
import itertools
import math
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Self

from sidecar_injector.core import patch
from sidecar_injector.core.merging import defaults
from sidecar_injector.core.merging.status_annotation import (
    Entry,
    ItemKey,
    Record,
    RecordsByPath,
    json_text,
)
from sidecar_injector.core.pods import api_fields, lenient
from sidecar_injector.core.pods import fields as pod_fields
from sidecar_injector.core.reasons import Conflict, Reason

Json = dict[str, Any]
Pod = Mapping[str, Any]

SCALARS = ("serviceAccountName", "shareProcessNamespace", "hostNetwork", "hostPID")
LISTS: Mapping[str, tuple[str, ...]] = {
    "imagePullSecrets": ("name",),
    "tolerations": (),
    "topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
}
"""Each with the keys that identify its items; none where an item is one value."""
DNS_LIMITS = {"nameservers": 3, "searches": 32}
"""https://github.com/kubernetes/kubernetes/blob/master/pkg/apis/core/validation/validation.go"""
HOST_ALIASES = "/spec/hostAliases"
MAX_PREVIOUS = 64
"""The most bytes of an overwritten value that are recorded for `uninject`."""


def of_pod(spec: Mapping[str, Any]) -> Iterator[Addition]:
    """What the fields of a template's spec add, besides containers and volumes."""
    for field in SCALARS:
        if (value := spec.get(field)) is not None and not is_unset(field, value):
            yield Scalar(field, value)
    for field, keys in LISTS.items():
        if values := spec.get(field):
            yield ListItems((field,), keys, values=tuple(values))
    if aliases := spec.get("hostAliases"):
        yield HostAliases(values=tuple(aliases))
    dns = spec.get("dnsConfig") or {}
    for field, limit in DNS_LIMITS.items():
        if values := dns.get(field):
            yield ListItems(("dnsConfig", field), limit=limit, values=tuple(values))
    if options := dns.get("options"):
        yield ListItems(("dnsConfig", "options"), ("name",), values=tuple(options))


class Addition(abc.ABC):
    """What an injection wants in one place of a pod: a field, or some items of one list.

    Most additions mount nothing, keep no other value, and nothing excludes them. `records` are
    those of other injections.
    """

    __slots__ = ()

    @property
    @abc.abstractmethod
    def paths(self) -> Sequence[str]:
        """Where the parts are, one path for each."""

    @property
    def mounts(self) -> Sequence[tuple[str, str]]:
        """The volumes that the parts mount, each after the path of its mount."""
        return ()

    @property
    def left_out(self) -> Sequence[str]:
        """The paths of what is not added, because the author may have set it elsewhere."""
        return ()

    def settled_parts(self, settled: Collection[ItemKey]) -> Iterable[ItemKey]:
        """The parts that were added before, for others that want the same."""
        return ()

    def unsettled(self, pod: Pod, settled: Collection[ItemKey]) -> Addition | None:
        """The same without the parts that were added before and are there, changed or not.

        `settled` has the records of this injection, and what injections before it want.
        """
        return self

    @abc.abstractmethod
    def missing(self, pod: Pod) -> Addition | None:
        """The same with only those parts that the pod lacks; None if it lacks nothing."""

    def preserved_paths(self, pod: Pod) -> Sequence[str]:
        """The paths at which the pod keeps a value other than the wanted one."""
        return ()

    def conflicts_with_author(self, pod: Pod, records: RecordsByPath) -> Iterator[Conflict]:
        """What the pod's author wrote and what excludes the parts."""
        return iter(())

    def conflicts_with_injections(self, pod: Pod, records: RecordsByPath) -> Iterator[Conflict]:
        """What other injections added and what excludes the parts."""
        return iter(())

    @abc.abstractmethod
    def apply(self, editor: patch.Editor, recorded: set[ItemKey]) -> list[Record]:
        """Add what the pod lacks now; `recorded` are the items that injections added before."""


def scalar(pod: Pod, field: str) -> Any:
    """A field of the pod's spec as the API server reads it.

    For `serviceAccountName` that is the old alias `serviceAccount` where the name is empty.
    """
    spec = pod.get("spec") or {}
    if field == "serviceAccountName":
        return spec.get("serviceAccountName") or spec.get("serviceAccount")
    return spec.get(field)


def is_unset(field: str, value: Any) -> bool:
    """Whether a field of the spec is as the API server makes it where the author sets nothing."""
    kind = api_fields.TEMPLATE.member(field)
    return bool(kind.read(value) == kind.default)


@dataclasses.dataclass(frozen=True, slots=True)
class Scalar(Addition):
    """A field of the pod's spec that is set where the pod leaves it unset."""

    field: str
    value: Any

    @property
    def paths(self) -> Sequence[str]:
        return (patch.pointer(("spec", self.field)),)

    def missing(self, pod: Pod) -> Scalar | None:
        return self if is_unset(self.field, scalar(pod, self.field)) else None

    def preserved_paths(self, pod: Pod) -> Sequence[str]:
        is_other = not self.missing(pod) and scalar(pod, self.field) != self.value
        return self.paths if is_other else ()

    def conflicts_with_injections(self, pod: Pod, records: RecordsByPath) -> Iterator[Conflict]:
        current = scalar(pod, self.field)
        for entry, record in records.get(self.paths[0], ()):
            if record["op"] == "set" and record.get("value") == current != self.value:
                yield belongs_to(f"spec.{self.field}", entry)

    def apply(self, editor: patch.Editor, recorded: set[ItemKey]) -> list[Record]:
        spec = editor.document.get("spec") or {}
        fields = [self.field]
        if self.field == "serviceAccountName" and "serviceAccount" in spec:
            fields.append("serviceAccount")
        records: list[Record] = []
        for field in fields:
            path = ("spec", field)
            previous = _previous(spec.get(field))
            editor.set(path, self.value)
            records.append(
                {"op": "set", "path": patch.pointer(path), "value": self.value, **previous}
            )
        return records


@dataclasses.dataclass(frozen=True, slots=True)
class Items(Addition):
    """Several items for one list."""

    values: tuple[Any, ...] = dataclasses.field(kw_only=True)

    def narrowed(self, values: Iterable[Any]) -> Self | None:
        """The same with only these of its items; None if there are none."""
        kept = tuple(values)
        return dataclasses.replace(self, values=kept) if kept else None

    def settled_parts(self, settled: Collection[ItemKey]) -> Iterable[ItemKey]:
        return (key for key in self._keys if self._is_settled(key, settled))

    @property
    def _keys(self) -> Iterable[ItemKey]:
        return zip(self.paths, map(json_text, self.values), strict=True)

    def unsettled(self, pod: Pod, settled: Collection[ItemKey]) -> Self | None:
        is_present = self._presence(pod)
        return self.narrowed(
            value
            for value, key in zip(self.values, self._keys, strict=True)
            if not (is_present(value) and self._is_settled(key, settled))
        )

    @abc.abstractmethod
    def _presence(self, pod: Pod) -> Callable[[Any], bool]:
        """Whether the pod has something that an item may have become.

        An item without a key cannot be found again once it was changed: any item counts.
        """

    def _is_settled(self, key: ItemKey, settled: Collection[ItemKey]) -> bool:
        """Whether the item was added before; some records have no value."""
        return key in settled


@dataclasses.dataclass(frozen=True, slots=True)
class ListItems(Items):
    """Items of a list of the pod's spec (or of a part of it) that the pod does not have yet.

    With `keys`, an item of the pod with the same keys counts as the wanted one and stays as it is;
    without, only an equal item does. `limit` is the API server's: what does not fit is not added.
    """

    parents: tuple[str, ...]
    keys: tuple[str, ...] = ()
    limit: int | None = None

    @property
    def paths(self) -> Sequence[str]:
        return [self._path] * len(self.values)

    @property
    def _path(self) -> str:
        return patch.pointer(("spec", *self.parents))

    def missing(self, pod: Pod) -> ListItems | None:
        items = self._items(pod)
        index, room = self._index(items), self._room(items)
        return self.narrowed(value for value in self.values if room > 0 and not index.find(value))

    def preserved_paths(self, pod: Pod) -> Sequence[str]:
        items = self._items(pod)
        index, room = self._index(items), self._room(items)
        paths = []
        for value in self.values:
            matches = index.find(value)
            is_other = bool(self.keys) and not any(
                defaults.contains(item, value, self._field) for item in matches
            )
            if is_other if matches else room <= 0:
                paths.append(self._path)
        return paths

    def conflicts_with_injections(self, pod: Pod, records: RecordsByPath) -> Iterator[Conflict]:
        if not self.keys or self._path not in records:
            return
        by_identity: dict[Hashable, list[tuple[Entry, Any]]] = {}
        for entry, record in records[self._path]:
            item = record.get("value")
            by_identity.setdefault(defaults.identity(item, self.keys), []).append((entry, item))
        for value in self.values:
            for entry, item in by_identity.get(defaults.identity(value, self.keys), ()):
                if not defaults.contains(item, value, self._field):
                    yield belongs_to(f"an item of spec.{'.'.join(self.parents)}", entry)

    def apply(self, editor: patch.Editor, recorded: set[ItemKey]) -> list[Record]:
        items = self._items(editor.document)
        index, room = self._index(items), self._room(items)
        records: list[Record] = []
        for value in self.values:
            if len(records) < room and not index.find(value):
                editor.append(("spec", *self.parents), value)
                index.add(value)
                records.append({"op": "add", "path": self._path, "value": value})
        return records

    def _presence(self, pod: Pod) -> Callable[[Any], bool]:
        has_items = bool(self._items(pod))
        return lambda value: has_items

    @property
    def _field(self) -> api_fields.Field:
        return api_fields.of_template(self.parents)

    def _index(self, items: Sequence[Any]) -> defaults.ItemIndex:
        return defaults.ItemIndex(items, field=self._field, keys=self.keys)

    def _items(self, pod: Pod) -> Sequence[Any]:
        parent: Any = pod.get("spec")
        for step in self.parents:
            parent = (parent or {}).get(step)
        return parent or ()

    def _room(self, items: Sequence[Any]) -> float:
        """How many items more the API server accepts."""
        return math.inf if self.limit is None else self.limit - len(items)


@dataclasses.dataclass(frozen=True, slots=True)
class HostAliases(Items):
    """Host names for addresses; those of the pod's own alias of an address are united with them."""

    @property
    def paths(self) -> Sequence[str]:
        return [HOST_ALIASES] * len(self.values)

    @property
    def _keys(self) -> Iterable[ItemKey]:
        return itertools.chain.from_iterable(map(_alias_keys, self.values))

    def unsettled(self, pod: Pod, settled: Collection[ItemKey]) -> HostAliases | None:
        has_aliases = self._presence(pod)(None)
        return self.narrowed(
            alias
            for alias in self.values
            if not (has_aliases and all(key in settled for key in _alias_keys(alias)))
        )

    def _presence(self, pod: Pod) -> Callable[[Any], bool]:
        has_aliases = bool(pod_fields.items(pod, "hostAliases"))
        return lambda value: has_aliases

    def missing(self, pod: Pod) -> HostAliases | None:
        present = _hostnames(pod)
        return self.narrowed(alias for alias in self.values if _lacking(alias, present))

    def apply(self, editor: patch.Editor, recorded: set[ItemKey]) -> list[Record]:
        present = _hostnames(editor.document)
        aliases = pod_fields.items(editor.document, "hostAliases")
        indices = {alias.get("ip"): index for index, alias in reversed([*enumerate(aliases)])}
        count = len(aliases)
        records: list[Record] = []
        for alias in self.values:
            ip = alias["ip"]
            if not (hostnames := _lacking(alias, present)):
                continue
            value = {"ip": ip, "hostnames": hostnames}
            if ip in indices:
                path = patch.pointer(("spec", "hostAliases", ip, "hostnames"))
                for hostname in hostnames:
                    editor.append(("spec", "hostAliases", indices[ip], "hostnames"), hostname)
                    records.append({"op": "add", "path": path, "value": hostname})
            else:
                editor.append(("spec", "hostAliases"), value)
                records.append({"op": "add", "path": HOST_ALIASES, "value": value})
                indices[ip], count = count, count + 1
            present.setdefault(ip, set()).update(hostnames)
        return records


def settled_keys(records: Iterable[Record]) -> Iterator[ItemKey]:
    """What `unsettled` compares with the parts: a key for each part that the records name."""
    for record in records:
        value = record.get("value")
        if record["path"] == HOST_ALIASES and isinstance(value, dict):
            yield from _alias_keys(value)
        elif record["path"].startswith(f"{HOST_ALIASES}/"):
            _, _, ip, *_ = patch.steps_of(record["path"])
            yield from _alias_keys({"ip": ip, "hostnames": [value]})
        else:
            yield record["path"], json_text(value) if "value" in record else ""


def belongs_to(part: str, entry: Entry) -> Conflict:
    """The conflict with another injection, which added the part."""
    return Conflict(Reason.INJECTION_CONFLICT, f"{part} is of {entry.name}")


def _previous(value: Any) -> Json:
    """What `uninject` puts back; nothing for a value that is absent, too long, or empty: the editor
    remembers the latter."""
    if not value:
        return {}
    text = value if isinstance(value, str) else str(value)
    return {"previous": value} if len(text.encode()) <= MAX_PREVIOUS else {}


def _hostnames(pod: Pod) -> dict[Any, set[str]]:
    """The host names that the pod has for each address."""
    hostnames: dict[Any, set[str]] = {}
    for alias in pod_fields.items(pod, "hostAliases"):
        hostnames.setdefault(alias.get("ip"), set()).update(alias.get("hostnames") or ())
    return hostnames


def _alias_keys(alias: Mapping[str, Any]) -> Iterator[ItemKey]:
    """A key for each host name: an alias is recorded with those that the pod lacked."""
    for hostname in lenient.strings(alias, "hostnames"):
        yield HOST_ALIASES, json_text([alias.get("ip"), hostname])


def _lacking(alias: Mapping[str, Any], present: Mapping[Any, set[str]]) -> list[str]:
    """The host names of an alias that the pod does not have."""
    names = present.get(alias["ip"], ())
    return [name for name in alias.get("hostnames") or () if name not in names]
