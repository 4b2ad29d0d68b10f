"""What the pod's own containers receive: env, envFrom, volume mounts, and text after a variable."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sidecar_injector.core import patch
from sidecar_injector.core.merging import additions, containerparts, defaults
from sidecar_injector.core.merging.conflict import Conflict
from sidecar_injector.core.merging.status_annotation import Entry
from sidecar_injector.core.pods import fields as pod_fields
from sidecar_injector.core.reasons import Reason

Json = dict[str, Any]
Pod = Mapping[str, Any]


def wanted(
    spec: Mapping[str, Any], *, pod: Pod, ours: frozenset[str]
) -> Iterator[additions.Addition]:
    """The additions to the containers of `pod` that `spec` (applicationContainers) means.

    `ours` are containers that injections added; they receive nothing.
    """
    fields = ["containers"]
    if spec.get("initContainers") == "Include":
        fields.append("initContainers")
    for field in fields:
        for index, container in enumerate(pod_fields.items(pod, field)):
            name = container["name"]
            if name not in ours and containerparts.is_named(name, spec.get("names") or {}):
                yield from _of_container(spec, field=field, container=name, index=index)


def _of_container(
    spec: Mapping[str, Any], *, field: str, container: str, index: int
) -> Iterator[additions.Addition]:
    # The last of two equal keys wins in envFrom and in env, so ours stand in front of the author's.
    for source in spec.get("envFrom") or ():
        yield EnvFrom(field, container, source, index=index)
    for variable in spec.get("env") or ():
        yield Variable(field, container, variable, index=index)
    for mount in spec.get("volumeMounts") or ():
        yield Mount(field, container, mount, index=index)
    for appended in spec.get("appendEnv") or ():
        name, text, separator = appended["name"], appended["value"], appended.get("separator", " ")
        yield Appended(field, container, name, text, separator, index=index)


@dataclasses.dataclass(frozen=True, slots=True)
class Variable(containerparts.ContainerPart):
    """A variable of `env`; one of that name that the container has is kept."""

    value: Json

    @property
    def path(self) -> str:
        return self.pointer("env", self.value["name"])

    def _present(self, pod: Pod) -> Json | None:
        name = self.value["name"]
        return next((one for one in self.items(pod, "env") if one.get("name") == name), None)

    def is_lacking(self, pod: Pod) -> bool:
        return self._present(pod) is None

    def is_kept(self, pod: Pod) -> bool:
        present = self._present(pod)
        return present is not None and not _same_variable(present, self.value)

    def rivals(self, pod: Pod, others: Sequence[Entry]) -> Iterator[Conflict]:
        present = self._present(pod)
        if present is not None and not _same_variable(
            self._unextended(present, others), self.value
        ):
            yield from containerparts.rivals_at(self.path, others)

    def _unextended(self, present: Json, others: Sequence[Entry]) -> Json:
        """The variable without what other injections appended to it: on a second call that is
        there, on the first it was not."""
        value = present.get("value") or ""
        for entry in reversed(others):
            for one in reversed(entry.patched):
                if one.get("op") == "append" and one.get("path") == f"{self.path}/value":
                    value = value.removesuffix(str(one.get("suffix", "")))
        return {**present, "value": value} if present.get("value") else present

    def apply(self, editor: patch.Editor, ours: Iterable[Entry]) -> list[additions.Patched]:
        self.place(editor, "env", self.value, ours=ours, key="name")
        return [{"op": "add", "path": self.path}]


@dataclasses.dataclass(frozen=True, slots=True)
class EnvFrom(containerparts.ContainerPart):
    """A source of `envFrom`, which is the same only as a whole."""

    value: Json

    @property
    def path(self) -> str:
        return self.pointer("envFrom")

    def is_lacking(self, pod: Pod) -> bool:
        return not any(defaults.same(one, self.value) for one in self.items(pod, "envFrom"))

    def apply(self, editor: patch.Editor, ours: Iterable[Entry]) -> list[additions.Patched]:
        self.place(editor, "envFrom", self.value, ours=ours, key="")
        return [{"op": "add", "path": self.path, "value": self.value}]


@dataclasses.dataclass(frozen=True, slots=True)
class Mount(containerparts.ContainerPart):
    """A volume mount; another one at the same path is a conflict."""

    value: Json

    @property
    def path(self) -> str:
        return self.pointer("volumeMounts", self.value["mountPath"])

    @property
    def mounts(self) -> Sequence[str]:
        return (self.value["name"],)

    def _present(self, pod: Pod) -> Json | None:
        wanted = containerparts.clean(self.value["mountPath"])
        mounts = self.items(pod, "volumeMounts")
        return next(
            (one for one in mounts if containerparts.clean(one.get("mountPath")) == wanted), None
        )

    def is_lacking(self, pod: Pod) -> bool:
        return self._present(pod) is None

    def _differs(self, pod: Pod) -> bool:
        present = self._present(pod)
        return present is not None and (
            present.get("name") != self.value["name"]
            or (present.get("subPath") or "") != (self.value.get("subPath") or "")
        )

    def rivals(self, pod: Pod, others: Sequence[Entry]) -> Iterator[Conflict]:
        if not self._differs(pod):
            return
        yield from containerparts.rivals_at(self.path, others)

    def check(self, pod: Pod, others: Sequence[Entry]) -> None:
        """Raises Conflict if the author mounts something else there."""
        if self._differs(pod) and not any(containerparts.rivals_at(self.path, others)):
            raise Conflict(
                Reason.MOUNT_PATH_CONFLICT,
                f"{self.value['mountPath']!r} of container {self.container!r}",
            )

    def apply(self, editor: patch.Editor, ours: Iterable[Entry]) -> list[additions.Patched]:
        index, _ = self.find(editor.document)
        editor.append(("spec", self.field, index, "volumeMounts"), self.value)
        return [{"op": "add", "path": self.path}]


@dataclasses.dataclass(frozen=True, slots=True)
class Appended(containerparts.ContainerPart):
    """Text at the end of a variable, which is created where it is absent."""

    name: str
    text: str
    separator: str

    @property
    def path(self) -> str:
        return self.pointer("env", self.name, "value")

    def _present(self, pod: Pod) -> tuple[int, Json] | None:
        # Of two of one name the last one counts.
        found = [
            (index, one)
            for index, one in enumerate(self.items(pod, "env"))
            if one.get("name") == self.name
        ]
        return found[-1] if found else None

    def is_lacking(self, pod: Pod) -> bool:
        present = self._present(pod)
        if present is None:
            return True
        if present[1].get("valueFrom"):
            raise Conflict(
                Reason.ENV_CONFLICT, f"{self.name} of container {self.container!r} has valueFrom"
            )
        value = present[1].get("value") or ""
        return f"{self.separator}{self.text}{self.separator}" not in (
            f"{self.separator}{value}{self.separator}"
        )

    def apply(self, editor: patch.Editor, ours: Iterable[Entry]) -> list[additions.Patched]:
        index, _ = self.find(editor.document)
        present = self._present(editor.document)
        if present is None:
            variable = {"name": self.name, "value": self.text}
            self.place(editor, "env", variable, ours=ours, key="name")
            return [{"op": "add", "path": self.pointer("env", self.name)}]
        position, variable = present
        before = variable.get("value") or ""
        suffix = f"{self.separator}{self.text}" if before else self.text
        editor.set(("spec", self.field, index, "env", position, "value"), f"{before}{suffix}")
        return [{"op": "append", "path": self.path, "suffix": suffix}]


def _same_variable(one: Json, other: Json) -> bool:
    shape = defaults.CONTAINER["env"].shape
    return defaults.same(one, other, shape)
