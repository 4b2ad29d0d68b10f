"""Two injections that may meet on one pod and would both want the same part."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sidecar_injector import names
from sidecar_injector.core.injections import model
from sidecar_injector.core.injections.schema import Problem
from sidecar_injector.core.linting import trial
from sidecar_injector.core.merging import additions, containerparts, defaults, pod_additions

Json = dict[str, Any]
Wanted = tuple[str, str, Any]
"""What it is for people, its field path, its value."""


def warnings(injection: model.Injection, others: Sequence[model.Injection]) -> Iterator[Problem]:
    """The parts that an injection and one of the others want differently.

    None where no pod can be selected by both. Others that are suspended or have errors are applied
    to no pod, and so say nothing.
    """
    own = _wanted(injection)
    near = _not_for_another_label(injection, others)
    met = [other for other in near if _is_at_work_beside(injection, other)]
    for other in sorted(met, key=lambda one: one.order):
        theirs = _wanted(other)
        yielding = "that" if injection.order < other.order else "this"
        for key, (what, path, value) in own.items():
            if key in theirs and not _is_same(key[0], value, theirs[key][2]):
                yield path, f"{what} is not as in {other.reference}: {yielding} one yields"


def _is_at_work_beside(injection: model.Injection, other: model.Injection) -> bool:
    if not can_meet(injection, other) or other.errors or other.spec.get("suspend"):
        return False
    return other.identity != injection.identity or other.namespace != injection.namespace


def can_meet(one: model.Injection, other: model.Injection) -> bool:
    """Whether some pod might be selected by both; False only if there can be none."""
    if one.namespace and other.namespace and one.namespace != other.namespace:
        return False
    both = (one, other)
    namespace = [
        {"matchLabels": {names.NAMESPACE_NAME_LABEL: injection.namespace}}
        if injection.namespace
        else injection.spec.get("namespaceSelector")
        for injection in both
    ]
    pod = [injection.spec.get("selector") for injection in both]
    return _is_satisfiable(namespace) and _is_satisfiable(pod)


def _not_for_another_label(
    one: model.Injection, others: Sequence[model.Injection]
) -> list[model.Injection]:
    """Without those with which it differs as most pairs do: in the value that both want of a label.

    An injection is held against each of its namespace whenever it changes, so with a thousand of
    them this is what that costs.
    """
    mine = (one.spec.get("selector") or {}).get("matchLabels") or {}
    return [
        other
        for other in others
        if (label := other.required_label) is None or mine.get(label[0], label[1]) == label[1]
    ]


@dataclasses.dataclass(slots=True)
class _Requirement:
    """All that several selectors say about one label."""

    allowed: set[str] | None = None
    """None: any value."""
    denied: set[str] = dataclasses.field(default_factory=set)
    present: bool = False
    absent: bool = False

    def allow(self, values: Iterable[str]) -> None:
        self.present = True
        self.allowed = set(values) if self.allowed is None else self.allowed & set(values)

    @property
    def is_satisfiable(self) -> bool:
        if self.present and self.absent:
            return False
        return self.allowed is None or bool(self.allowed - self.denied)


def _is_satisfiable(selectors: Iterable[Mapping[str, Any] | None]) -> bool:
    """Whether some labels match all of the selectors: every key can be judged by itself."""
    requirements: dict[str, _Requirement] = {}
    for selector in selectors:
        for key, value in ((selector or {}).get("matchLabels") or {}).items():
            requirements.setdefault(key, _Requirement()).allow([value])
        for one in (selector or {}).get("matchExpressions") or ():
            requirement = requirements.setdefault(one["key"], _Requirement())
            match one["operator"]:
                case "In":
                    requirement.allow(one["values"])
                case "NotIn":
                    requirement.denied.update(one["values"])
                case "Exists":
                    requirement.present = True
                case "DoesNotExist":
                    requirement.absent = True
    return all(one.is_satisfiable for one in requirements.values())


def _wanted(injection: model.Injection) -> dict[tuple[str, str], Wanted]:
    """The parts of which a pod can have only one, by kind and key."""
    found: dict[tuple[str, str], Wanted] = {}
    for path, container in trial.containers(injection):
        name = container["name"]
        found["container", name] = (f"container {name!r}", path, container)
    spec = injection.template_spec
    for index, volume in enumerate(spec.get("volumes") or ()):
        name, path = volume["name"], f"spec.template.spec.volumes[{index}]"
        found["volume", name] = (f"volume {name!r}", path, volume)
    for addition in pod_additions.of_pod(spec):
        if isinstance(addition, additions.Scalar):
            path = f"spec.template.spec.{addition.field}"
            found["scalar", addition.field] = (addition.field, path, addition.value)
    for field in ("labels", "annotations"):
        for key, value in (injection.template_metadata.get(field) or {}).items():
            path = f"spec.template.metadata.{field}[{key}]"
            found[field, key] = (f"{field.removesuffix('s')} {key!r}", path, value)
    applied = injection.spec.get("applicationContainers") or {}
    for index, mount in enumerate(applied.get("volumeMounts") or ()):
        where = containerparts.clean(mount["mountPath"])
        path = f"spec.applicationContainers.volumeMounts[{index}]"
        found["mount", where] = (f"mount at {where!r}", path, mount)
    for index, variable in enumerate(applied.get("env") or ()):
        path = f"spec.applicationContainers.env[{index}]"
        found["env", variable["name"]] = (f"variable {variable['name']!r}", path, variable)
    return found


def _is_same(kind: str, one: Any, other: Any) -> bool:
    match kind:
        case "container":
            return defaults.same(one, other, defaults.CONTAINER)
        case "volume":
            return defaults.same_volume(one, other)
        case "mount":
            # What `application` takes for another mount: the rest is the first one's choice.
            keys = ("name", "subPath")
            return all((one.get(key) or "") == (other.get(key) or "") for key in keys)
        case _:
            return defaults.same(one, other)
