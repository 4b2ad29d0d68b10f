"""What the pod's own containers receive: env, envFrom, volume mounts, and text after a variable."""

from __future__ import annotations

import bisect
import dataclasses
import functools
import itertools
import posixpath
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Self

from sidecar_injector.core import patch
from sidecar_injector.core.merging import additions, defaults
from sidecar_injector.core.merging.claims import Claims
from sidecar_injector.core.merging.status_annotation import (
    Entry,
    ItemKey,
    Record,
    RecordsByPath,
    json_text,
)
from sidecar_injector.core.pods import fields as pod_fields
from sidecar_injector.core.pods import globs, lenient, references
from sidecar_injector.core.reasons import Conflict, Reason

Json = dict[str, Any]
Pod = Mapping[str, Any]


def additions_of(
    spec: Mapping[str, Any], *, pod: Pod, injected_names: Collection[str], claims: Claims
) -> Iterator[additions.Addition]:
    """What `spec` (applicationContainers) adds to the containers of `pod`.

    Containers that injections added receive nothing.
    """
    overrides = spec.get("onEnvFrom") == "Override"
    appended = functools.partial(AppendedTexts, records=claims.records)
    parts: Mapping[str, Callable[..., additions.Addition]] = {**_PARTS, "appendEnv": appended}
    fields = ["containers"]
    if spec.get("initContainers") == "Include":
        fields.append("initContainers")
    for field in fields:
        for index, container in enumerate(pod_fields.items(pod, field)):
            name = container["name"]
            if name not in injected_names and is_selected(name, spec.get("names") or {}):
                target = Target(field, index, name)
                added: dict[str, tuple[Json, ...]] = {}
                for key, part in parts.items():
                    added[key] = values = tuple(spec.get(key) or ())
                    left_out: tuple[str, ...] = ()
                    if values and key in _OF_ENV and not overrides:
                        added[key], left_out = without_uncertain(values, container, target, claims)
                    if values:
                        yield part(target, values=added[key], left_out=left_out)
                _check_references(spec, added, container)


def is_selected(name: str, selection: Mapping[str, Any]) -> bool:
    """Whether a container is among the included and not among the excluded; `*` is all."""
    include, exclude = selection.get("include"), selection.get("exclude") or ()
    is_included = include is None or globs.matches(name, include)
    return is_included and not globs.matches(name, exclude)


def clean_path(path: object) -> str:
    """A mount path as it is compared: `/a/` is `/a`."""
    return posixpath.normpath(path) if isinstance(path, str) and path else ""


@dataclasses.dataclass(frozen=True, slots=True)
class Target:
    """A container of the pod that receives something."""

    field: str
    """The list of the pod's spec that the container is in."""
    index: int
    """The container's position in that list."""
    name: str

    def find(self, pod: Pod) -> Json:
        """The container."""
        return pod_fields.items(pod, self.field)[self.index]

    def steps(self, *steps: str) -> patch.Path:
        """The steps to something in the container, as the editor takes them."""
        return ("spec", self.field, self.index, *steps)

    def path(self, *steps: str) -> str:
        """The path of the container, or of something in it."""
        return patch.pointer(("spec", self.field, self.name, *steps))


def _check_references(
    spec: Mapping[str, Any], added: Mapping[str, Sequence[Json]], container: Json
) -> None:
    """Raises Conflict if something that is added refers to a variable that will not be there."""
    wanted, kept = (
        {variable["name"] for key in _OF_ENV for variable in lists.get(key) or ()}
        for lists in (spec, added)
    )
    needed = references.of_items(added["volumeMounts"], "subPathExpr")
    if wanted != kept:
        values = (*added["env"], *added["appendEnv"])
        needed |= references.of_items(values, "value") & (wanted - kept)
    if needed:
        present = {variable["name"] for variable in container.get("env") or ()}
        if missing := sorted(needed - kept - present):
            message = f"container {container['name']!r} may have no variable {missing[0]} in env"
            raise Conflict(Reason.MISSING_VALUE, message)


def without_uncertain(
    values: Iterable[Json], container: Json, target: Target, claims: Claims
) -> tuple[tuple[Json, ...], tuple[str, ...]]:
    """The values without the variables that the author may set through `envFrom`; their paths.

    What a ConfigMap or a Secret has is not known here, and a variable of `env` would win over it. A
    source with a prefix sets only variables that begin with it.
    """
    sources = container.get("envFrom")
    if not sources:
        return tuple(values), ()
    path, added = target.path("envFrom"), claims.item_keys
    if added:
        sources = [source for source in sources if (path, json_text(source)) not in added]
    prefixes = _shortest(lenient.text(source, "prefix") for source in sources)
    present = {variable["name"] for variable in container.get("env") or ()}
    kept, left_out = [], []
    for value in values:
        name = value["name"]
        position = bisect.bisect_right(prefixes, name) - 1
        if name in present or position < 0 or not name.startswith(prefixes[position]):
            kept.append(value)
        else:
            left_out.append(target.path("env", name))
    return tuple(kept), tuple(left_out)


def _shortest(prefixes: Iterable[str]) -> list[str]:
    """The prefixes in order, without those that begin with another one.

    Of these, only the last that is not behind a text can be its beginning.
    """
    shortest: list[str] = []
    for prefix in sorted(prefixes):
        if not shortest or not prefix.startswith(shortest[-1]):
            shortest.append(prefix)
    return shortest


@dataclasses.dataclass(frozen=True, slots=True)
class ContainerItems(additions.Items):
    """Items for one list of one container."""

    target: Target
    left_out: tuple[str, ...] = dataclasses.field(default=(), kw_only=True)

    def _present(self, pod: Pod, list_name: str) -> Sequence[Json]:
        return self.target.find(pod).get(list_name) or ()

    def _paths(self, list_name: str, key: str) -> list[str]:
        prefix = self.target.path(list_name)
        return [f"{prefix}{patch.pointer((value[key],))}" for value in self.values]

    def _leading_variables(self, pod: Pod, recorded: set[ItemKey]) -> int:
        """How many variables at the front injections added; the next is placed behind them."""
        prefix = self.target.path("env")
        return _leading(
            ((f"{prefix}{patch.pointer((variable['name'],))}", "")
             for variable in self._present(pod, "env")),
            recorded,
        )  # fmt: skip


@dataclasses.dataclass(frozen=True, slots=True)
class KeyedItems(ContainerItems):
    """Items for a list in which each key occurs once."""

    list_name: ClassVar[str]
    key: ClassVar[str]

    @property
    def paths(self) -> Sequence[str]:
        return self._paths(self.list_name, self.key)

    def missing(self, pod: Pod) -> Self | None:
        present = self._by_key(pod)
        return self.narrowed(value for value in self.values if self._key_of(value) not in present)

    def _presence(self, pod: Pod) -> Callable[[Any], bool]:
        present = self._by_key(pod)
        return lambda value: self._key_of(value) in present

    def _is_settled(self, key: ItemKey, settled: Collection[ItemKey]) -> bool:
        return key in settled or (key[0], "") in settled

    def apply(self, editor: patch.Editor, recorded: set[ItemKey]) -> list[Record]:
        taken = set(self._by_key(editor.document))
        position = self._position(editor.document, recorded)
        records: list[Record] = []
        for path, value in zip(self.paths, self.values, strict=True):
            if (key := self._key_of(value)) not in taken:
                taken.add(key)
                editor.insert(self.target.steps(self.list_name), position, value)
                position += 1
                records.append({"op": "add", "path": path})
        return records

    def _position(self, pod: Pod, recorded: set[ItemKey]) -> int:
        """Where the first of them is placed: behind what the container has."""
        return len(self._present(pod, self.list_name))

    def _by_key(self, pod: Pod) -> dict[str, Json]:
        """The container's items; of two with one key the first."""
        items = reversed(self._present(pod, self.list_name))
        return {self._key_of(item): item for item in items}

    def _key_of(self, item: Json) -> str:
        key: str = item[self.key]
        return key


@dataclasses.dataclass(frozen=True, slots=True)
class Variables(KeyedItems):
    """Variables of `env`; where the container has one of that name, its own is kept.

    They are placed before the author's, which may refer to them.
    """

    list_name = "env"
    key = "name"

    def preserved_paths(self, pod: Pod) -> Sequence[str]:
        by_key = self._by_key(pod)
        return [
            path
            for path, value in zip(self.paths, self.values, strict=True)
            if value["name"] in by_key and not _same_variable(by_key[value["name"]], value)
        ]

    def conflicts_with_injections(self, pod: Pod, records: RecordsByPath) -> Iterator[Conflict]:
        by_key = self._by_key(pod)
        for path, value in zip(self.paths, self.values, strict=True):
            present = by_key.get(value["name"])
            if present is None or path not in records:
                continue
            if not _same_variable(without_appended(present, path, records), value):
                yield additions.belongs_to(path, records[path][0][0])

    def _position(self, pod: Pod, recorded: set[ItemKey]) -> int:
        return self._leading_variables(pod, recorded)


@dataclasses.dataclass(frozen=True, slots=True)
class Sources(ContainerItems):
    """Sources of `envFrom`, each of which is the same only as a whole.

    They are placed before the author's: of two equal keys the last one counts.
    """

    @property
    def paths(self) -> Sequence[str]:
        return [self.target.path("envFrom")] * len(self.values)

    def missing(self, pod: Pod) -> Sources | None:
        index = defaults.ItemIndex(self._present(pod, "envFrom"))
        return self.narrowed(value for value in self.values if not index.find(value))

    def _presence(self, pod: Pod) -> Callable[[Any], bool]:
        has_sources = bool(self._present(pod, "envFrom"))
        return lambda value: has_sources

    def apply(self, editor: patch.Editor, recorded: set[ItemKey]) -> list[Record]:
        path, items = self.target.path("envFrom"), self._present(editor.document, "envFrom")
        index = defaults.ItemIndex(items)
        position = leading_sources(self.target, editor.document, recorded)
        records: list[Record] = []
        for value in self.values:
            if not index.find(value):
                index.add(value)
                source = stored_source(value)
                editor.insert(self.target.steps("envFrom"), position, source)
                position += 1
                records.append({"op": "add", "path": path, "value": source})
        return records


@dataclasses.dataclass(frozen=True, slots=True)
class Mounts(KeyedItems):
    """Volume mounts; another mount at the same path is a conflict."""

    list_name = "volumeMounts"
    key = "mountPath"

    @property
    def mounts(self) -> Sequence[tuple[str, str]]:
        return [(path, value["name"]) for path, value in zip(self.paths, self.values, strict=True)]

    def conflicts_with_author(self, pod: Pod, records: RecordsByPath) -> Iterator[Conflict]:
        for path, value in self._differing(pod):
            if path not in records:
                yield Conflict(
                    Reason.MOUNT_PATH_CONFLICT,
                    f"{value['mountPath']!r} of container {self.target.name!r}",
                )

    def conflicts_with_injections(self, pod: Pod, records: RecordsByPath) -> Iterator[Conflict]:
        for path, _ in self._differing(pod):
            for entry, _ in records.get(path, ()):
                yield additions.belongs_to(path, entry)

    def _differing(self, pod: Pod) -> Iterator[tuple[str, Json]]:
        """The mounts at whose path the container mounts something else."""
        by_key = self._by_key(pod)
        for path, value in zip(self.paths, self.values, strict=True):
            present = by_key.get(self._key_of(value))
            if present is not None and (
                present.get("name") != value["name"]
                or (present.get("subPath") or "") != (value.get("subPath") or "")
            ):
                yield path, value

    def _key_of(self, item: Json) -> str:
        return clean_path(item.get(self.key))


@dataclasses.dataclass(frozen=True, slots=True)
class AppendedTexts(ContainerItems):
    """Texts at the end of variables, which are created where they are absent.

    `records` are those of all injections: another text may follow, with another separator.
    """

    records: RecordsByPath = dataclasses.field(repr=False)

    @property
    def paths(self) -> Sequence[str]:
        return [f"{path}/value" for path in self._paths("env", "name")]

    def missing(self, pod: Pod) -> AppendedTexts | None:
        variables = self._by_name(pod)
        return self.narrowed(
            value
            for value in self.values
            if value["name"] not in variables
            or not self._has_text(variables[value["name"]][1], value)
        )

    def conflicts_with_author(self, pod: Pod, records: RecordsByPath) -> Iterator[Conflict]:
        variables = self._by_name(pod)
        for name in (value["name"] for value in self.values):
            if name in variables and variables[name][1].get("valueFrom"):
                yield Conflict(
                    Reason.ENV_CONFLICT, f"{name} of container {self.target.name!r} has valueFrom"
                )

    def _presence(self, pod: Pod) -> Callable[[Any], bool]:
        variables = self._by_name(pod)
        return lambda value: value["name"] in variables

    def _is_settled(self, key: ItemKey, settled: Collection[ItemKey]) -> bool:
        # Either the text is recorded, or the variable that was created for it.
        path = key[0]
        keys = (key, (path, ""), (path.removesuffix("/value"), ""))
        return any(each in settled for each in keys)

    def apply(self, editor: patch.Editor, recorded: set[ItemKey]) -> list[Record]:
        root = self.target.steps("env")
        variables = self._by_name(editor.document)
        first = self._leading_variables(editor.document, recorded)
        created = 0
        records: list[Record] = []
        for path, value in zip(self._paths("env", "name"), self.values, strict=True):
            name, text = value["name"], value["value"]
            if name not in variables:
                editor.insert(root, first + created, {"name": name, "value": text})
                created += 1
                records.append({"op": "add", "path": path})
            elif not self._has_text(variables[name][1], value):
                position, variable = variables[name]
                # What was created since then moved the variables behind it.
                position += created if position >= first else 0
                before = variable.get("value") or ""
                suffix = f"{_separator(value)}{text}" if before else text
                editor.set((*root, position, "value"), f"{before}{suffix}")
                records.append({"op": "append", "path": f"{path}/value", "suffix": suffix})
        return records

    def _has_text(self, variable: Json, appended: Mapping[str, Any]) -> bool:
        """Whether the value has the text between separators, or had it before others appended."""
        value, separator = variable.get("value") or "", _separator(appended)
        wanted, padded = f"{separator}{appended['value']}", f"{separator}{value}"
        if f"{wanted}{separator}" in f"{padded}{separator}":
            return True
        path = self.target.path("env", variable["name"], "value")
        ends = itertools.islice(_ends(value, self.records.get(path, ())), _MOST_ENDS)
        return any(padded.endswith(wanted, 0, len(separator) + end) for end in ends)

    def _by_name(self, pod: Pod) -> dict[str, tuple[int, Json]]:
        """The container's variables with their positions; of two of one name the last counts."""
        variables = enumerate(self._present(pod, "env"))
        return {variable["name"]: (position, variable) for position, variable in variables}


_OF_ENV = ("env", "appendEnv")
"""Fields that add variables."""
_VARIABLE = defaults.CONTAINER.member("env")
_SOURCE = defaults.CONTAINER.member("envFrom")
_PARTS: Mapping[str, Callable[..., additions.Addition]] = {
    "envFrom": Sources,
    "env": Variables,
    "volumeMounts": Mounts,
}
"""The fields of applicationContainers, in the order in which they are added; `appendEnv` is the
last one, and needs the records of all injections."""
_MOST_ENDS = 64
"""Injections that append to one variable behind a text that must be found again."""


def stored_source(source: Json) -> Json:
    """A source as the API server writes it, so that the next call finds it among the records."""
    stored: Json = defaults.without_absent(source, _SOURCE)
    return stored


def leading_sources(target: Target, pod: Pod, recorded: set[ItemKey]) -> int:
    """How many sources at the front injections added; the next is placed behind them."""
    path, sources = target.path("envFrom"), target.find(pod).get("envFrom") or ()
    return _leading(((path, json_text(source)) for source in sources), recorded)


def _leading(keys: Iterable[ItemKey], recorded: set[ItemKey]) -> int:
    """How many of the first items are recorded as added."""
    return sum(1 for _ in itertools.takewhile(recorded.__contains__, keys))


def _same_variable(variable: Json, other: Json) -> bool:
    return defaults.same(variable, other, _VARIABLE)


def without_appended(variable: Json, path: str, records: RecordsByPath) -> Json:
    """The variable without what the injections of `records` appended to it.

    On a second call these texts are there, on the first they were not.
    """
    value = variable.get("value")
    if not value:
        return variable
    *_, end = _ends(value, records.get(f"{path}/value", ()))
    return variable if end == len(value) else {**variable, "value": value[:end]}


def _ends(value: str, records: Iterable[tuple[Entry, Record]]) -> Iterator[int]:
    """Where the value ended after each text that was appended, from the last to the first."""
    end = len(value)
    yield end
    for _, record in reversed([*records]):
        suffix = str(record.get("suffix", "")) if record["op"] == "append" else ""
        if suffix and value.endswith(suffix, 0, end):
            end -= len(suffix)
            yield end


def _separator(appended: Mapping[str, Any]) -> str:
    return str(appended.get("separator", " "))
