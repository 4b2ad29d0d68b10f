"""Injections that may select the same pod and that want the same part differently."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sidecar_injector import names
from sidecar_injector.core.injections import model, namespace_view
from sidecar_injector.core.injections.schema import Problem
from sidecar_injector.core.linting import trial
from sidecar_injector.core.merging import additions, container_additions, defaults

MAX_COMPETING = 100
"""Injections that one is compared with; on pods of more than these nobody can follow the order."""

Json = dict[str, Any]
Wanted = tuple[str, str, Any]
"""The part in words, its field path, its value."""


def warnings(
    injection: model.Injection,
    others: Sequence[model.Injection],
    namespaces: Sequence[namespace_view.Namespace] = (),
) -> Iterator[Problem]:
    """The parts that an injection and one of the others want differently.

    Others that cannot select the same pod, are suspended or have errors, are skipped, and dry runs
    unless this one is one too. So are those
    that do not apply in any of the `namespaces` together with it; without any, all may.
    """
    own = _wanted(injection)
    candidates = _with_compatible_labels(injection, others)
    competing = [other for other in candidates if _competes(injection, other)]
    if len(competing) > MAX_COMPETING:
        sentence = f"may meet {len(competing)} injections on a pod: it is compared with the first"
        yield Problem("spec", f"{sentence} {MAX_COMPETING} of them")
    for other in sorted(competing, key=lambda other: other.order)[:MAX_COMPETING]:
        differences = list(_differences(injection, own, other))
        # This is a comparison with each namespace, so it comes last.
        if differences and _have_namespace(injection, other, namespaces):
            yield from differences


def _differences(
    injection: model.Injection, own: Mapping[tuple[str, str], Wanted], other: model.Injection
) -> Iterator[Problem]:
    theirs = _wanted(other)
    for key, (what, path, value) in own.items():
        if key[0] == "port" and key in theirs and value != theirs[key][2]:
            sentence = f"{what} is also of {theirs[key][2]!r} in {other.reference}"
            yield Problem(path, f"{sentence}: in one pod only one can listen")
        elif key in theirs and not _is_same(key[0], value, theirs[key][2]):
            sentence = f"{other.reference} also has {what}, but another one"
            yield Problem(
                path, f"{sentence}: pods that both select get only {_first(injection, other)}"
            )


def _first(injection: model.Injection, other: model.Injection) -> str:
    """Whose part a pod gets that both select, and why."""
    winner = "this one's" if injection.order < other.order else f"{other.reference}'s"
    if injection.spec.get("priority") != other.spec.get("priority"):
        return f"{winner} (higher priority)"
    rule = "by name" if injection.is_cluster == other.is_cluster else "as of the cluster"
    return f"{winner} (same priority, first {rule})"


def _have_namespace(
    injection: model.Injection,
    other: model.Injection,
    namespaces: Sequence[namespace_view.Namespace],
) -> bool:
    """Whether both apply in one of the namespaces; labels that no namespace has meet nowhere."""
    return not namespaces or any(
        all(
            each.namespace == namespace.name
            if each.namespace
            else each.namespace_selector(namespace.labels)
            for each in (injection, other)
        )
        for namespace in namespaces
    )


def _competes(injection: model.Injection, other: model.Injection) -> bool:
    # An injection with errors comes first: its selectors may have any shape.
    if other.errors or other.spec.get("suspend") or not can_meet(injection, other):
        return False
    if other.is_dry_run and not injection.is_dry_run:
        return False
    return other.identity != injection.identity or other.namespace != injection.namespace


def can_meet(injection: model.Injection, other: model.Injection) -> bool:
    """Whether both may select the same pod; False only if that is impossible."""
    if injection.namespace and other.namespace and injection.namespace != other.namespace:
        return False
    both = (injection, other)
    namespace = [
        {"matchLabels": {names.NAMESPACE_NAME_LABEL: each.namespace}}
        if each.namespace
        else each.spec.get("namespaceSelector")
        for each in both
    ]
    if {each.spec.get("operatingSystem") for each in both} == {"Linux", "Windows"}:
        return False
    pod = [each.spec.get("selector") for each in both]
    return _is_satisfiable(namespace) and _is_satisfiable(pod)


def _with_compatible_labels(
    injection: model.Injection, others: Sequence[model.Injection]
) -> list[model.Injection]:
    """The others without those that require another value of the same label.

    That is a cheap test, and it excludes most of the injections in a namespace with a thousand.
    """
    labels = (injection.spec.get("selector") or {}).get("matchLabels") or {}
    return [
        other
        for other in others
        if (label := other.required_label) is None or labels.get(label[0], label[1]) == label[1]
    ]


@dataclasses.dataclass(slots=True)
class _Requirement:
    """What several selectors together require of one label."""

    allowed: set[str] | None = None
    """None means any value."""
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
    """Whether some labels match all selectors; every key is checked independently."""
    requirements: dict[str, _Requirement] = {}
    for selector in selectors:
        for key, value in ((selector or {}).get("matchLabels") or {}).items():
            requirements.setdefault(key, _Requirement()).allow([value])
        for expression in (selector or {}).get("matchExpressions") or ():
            requirement = requirements.setdefault(expression["key"], _Requirement())
            match expression["operator"]:
                case "In":
                    requirement.allow(expression["values"])
                case "NotIn":
                    requirement.denied.update(expression["values"])
                case "Exists":
                    requirement.present = True
                case "DoesNotExist":
                    requirement.absent = True
    return all(requirement.is_satisfiable for requirement in requirements.values())


def _wanted(injection: model.Injection) -> dict[tuple[str, str], Wanted]:
    """The parts that a pod can have only once, by kind and key."""
    parts: dict[tuple[str, str], Wanted] = {}
    for path, container in trial.containers(injection):
        name = container["name"]
        parts["container", name] = (f"container {name!r}", path, container)
    for path, port, name in trial.ports(injection):
        parts["port", f"{port[0]} {port[1]}"] = (f"port {port[0]} {port[1]}", path, name)
    spec = injection.template_spec
    for index, volume in enumerate(spec.get("volumes") or ()):
        name, path = volume["name"], f"spec.template.spec.volumes[{index}]"
        parts["volume", name] = (f"volume {name!r}", path, volume)
    for addition in additions.of_pod(spec):
        if isinstance(addition, additions.Scalar):
            path = f"spec.template.spec.{addition.field}"
            parts["scalar", addition.field] = (addition.field, path, addition.value)
    for field in ("labels", "annotations"):
        for key, value in (injection.template_metadata.get(field) or {}).items():
            path = f"spec.template.metadata.{field}[{key}]"
            parts[field, key] = (f"{field.removesuffix('s')} {key!r}", path, value)
    applied = injection.spec.get("applicationContainers") or {}
    for index, mount in enumerate(applied.get("volumeMounts") or ()):
        where = container_additions.clean_path(mount["mountPath"])
        path = f"spec.applicationContainers.volumeMounts[{index}]"
        parts["mount", where] = (f"mount at {where!r}", path, mount)
    for index, variable in enumerate(applied.get("env") or ()):
        path = f"spec.applicationContainers.env[{index}]"
        parts["env", variable["name"]] = (f"variable {variable['name']!r}", path, variable)
    return parts


def _is_same(kind: str, value: Any, other: Any) -> bool:
    match kind:
        case "container":
            return defaults.same(value, other, defaults.CONTAINER)
        case "volume":
            return defaults.same_volume(value, other)
        case "mount":
            # The merge compares only these fields; for the others the first injection wins.
            keys = ("name", "subPath")
            return all((value.get(key) or "") == (other.get(key) or "") for key in keys)
        case "env":
            return defaults.same(value, other, defaults.CONTAINER.member("env"))
        case _:
            return defaults.same(value, other)
