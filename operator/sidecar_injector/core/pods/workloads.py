"""Where a manifest contains its pod or pod templates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sidecar_injector import names
from sidecar_injector.core.pods import kinds

Path = kinds.Path
PATHS: Mapping[tuple[str, str], Path] = {
    (entry.group, entry.kind): entry.paths[0] for entry in kinds.BUILT_IN.values()
}
"""API group and kind of everything in Kubernetes that has pods, and the path to its pod template.

In an object of a kind that `kinds` does not know, what looks like a pod template is one.
"""
_VERSION = "v1"
_NOT_ITS_OWN = frozenset({("apps", "ControllerRevision")})
"""Kinds with templates that a controller keeps as history."""


def kind_of(manifest: Mapping[str, Any]) -> tuple[str, str]:
    """API group and kind."""
    group, slash, _ = str(manifest.get("apiVersion")).partition("/")
    return group if slash else "", str(manifest.get("kind"))


def pod_paths(manifest: Mapping[str, Any]) -> list[Path]:
    """The paths to the pod, or to the pod templates, in a manifest."""
    group, kind = kind_of(manifest)
    if (group, kind) in PATHS:
        return [PATHS[group, kind]]
    entry = kinds.find(group, kind)
    if entry and (places := _of_entry(manifest, entry)):
        return [path for path, is_template in places.items() if is_template]
    if entry and entry.is_declared:
        return []
    return [path[:-1] for path, spec in _pod_specs(manifest) if _is_template(path, spec)]


def not_understood(manifest: Mapping[str, Any]) -> Iterator[str]:
    """What may be a mistake in the kind, or what may be a pod and is not read as one."""
    group, kind = kind_of(manifest)
    version = manifest.get("apiVersion")
    if (group, kind) in PATHS:
        if str(version).rpartition("/")[2] != _VERSION:
            right = f"{group}/{_VERSION}".lstrip("/")
            yield f"apiVersion {version} is not Kubernetes' own, which is {right}"
        return
    entry = kinds.find(group, kind)
    if entry and (entry.is_declared or not entry.paths or _of_entry(manifest, entry)):
        yield from _missing_in(manifest, entry)
        return
    paths = [(path, _is_template(path, spec)) for path, spec in _pod_specs(manifest)]
    # The groups of custom resources have a dot.
    if paths and "." not in group and kinds.is_like_own(group, kind):
        yield f"apiVersion {version} has no kind {kind} that makes pods"
    for path, is_template in paths:
        if not is_template:
            yield _left_alone(path)


def _of_entry(manifest: Mapping[str, Any], entry: kinds.Kind) -> dict[Path, bool]:
    """What is at the paths of a custom kind, and whether it is a whole pod template."""
    return {
        place: _has_whole_containers(at(manifest, (*place, "spec")))
        for path in entry.paths
        for place in kinds.present(manifest, path)
    }


def _missing_in(manifest: Mapping[str, Any], entry: kinds.Kind) -> Iterator[str]:
    places = _of_entry(manifest, entry)
    for place, is_template in places.items():
        if not is_template and at(manifest, (*place, "spec", "containers")):
            yield _left_alone((*place, "spec"))
    if entry.is_declared and not any(places.values()):
        paths = " or ".join(map(field, entry.paths))
        yield f"there is no pod template, with metadata and spec.containers, at {paths}"


def _left_alone(path: Path) -> str:
    return f"{field(path)} looks like a pod, and is no pod template: it is left as it is"


def field(path: Path) -> str:
    """A path as people write it."""
    steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return "".join(steps).lstrip(".")


def is_list(manifest: Mapping[str, Any]) -> bool:
    """Whether a manifest is a list of objects: `List`, or a kind's own, such as `PodList`."""
    return str(manifest.get("kind")).endswith("List") and isinstance(manifest.get("items"), list)


def at(manifest: Mapping[str, Any], path: Path) -> Any:
    """The value at a path; None if there is no value."""
    value: Any = manifest
    for step in path:
        if isinstance(step, int):
            value = value[step]
        else:
            value = value.get(step) if isinstance(value, dict) else None
    return value


def replaced(manifest: Any, path: Path, value: Any) -> Any:
    """A copy of the manifest with this value at the path; the original is not changed."""
    if not path:
        return value
    result = manifest.copy()
    result[path[0]] = replaced(manifest[path[0]], path[1:], value)
    return result


def _pod_specs(manifest: Mapping[str, Any]) -> Iterator[tuple[Path, dict[str, Any]]]:
    """What looks like the spec of a pod in an object of a kind that we do not know."""
    if manifest.get("kind") is None or kind_of(manifest) in _NOT_ITS_OWN:
        return
    if kind_of(manifest)[0] == names.GROUP:
        return
    for key, member in manifest.items():
        if key not in ("metadata", "status"):
            yield from _below(member, (key,))


def _below(value: Any, path: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    if isinstance(value, dict):
        if _looks_like_a_spec(path, value):
            yield path, value
            return
        for key, member in value.items():
            yield from _below(member, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _below(item, (*path, index))


def _looks_like_a_spec(path: Path, value: dict[str, Any]) -> bool:
    containers = value.get("containers")
    if not isinstance(containers, list) or not containers:
        return False
    needed = ("name", "image") if _is_in_template(path) else ("image",)
    return all(
        isinstance(container, dict) and any(isinstance(container.get(key), str) for key in needed)
        for container in containers
    )


def _is_in_template(path: Path) -> bool:
    return len(path) > 1 and path[-1] == "spec" and str(path[-2]).lower().endswith("template")


def _is_template(path: Path, spec: dict[str, Any]) -> bool:
    """Whether the pods are as the template says; a controller adds to one without images."""
    return _is_in_template(path) and _has_whole_containers(spec)


def _has_whole_containers(spec: Any) -> bool:
    containers = spec.get("containers") if isinstance(spec, dict) else None
    return (
        isinstance(containers, list)
        and bool(containers)
        and all(
            isinstance(container, dict) and isinstance(container.get(key), str)
            for container in containers
            for key in ("name", "image")
        )
    )
