"""Where a manifest contains its pod or pod template."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

_TEMPLATE = ("spec", "template")
PATHS: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("", "Pod"): (),
    ("", "ReplicationController"): _TEMPLATE,
    ("apps", "DaemonSet"): _TEMPLATE,
    ("apps", "Deployment"): _TEMPLATE,
    ("apps", "ReplicaSet"): _TEMPLATE,
    ("apps", "StatefulSet"): _TEMPLATE,
    ("batch", "CronJob"): ("spec", "jobTemplate", *_TEMPLATE),
    ("batch", "Job"): _TEMPLATE,
}
"""API group and kind of everything that creates pods, and the path to its pod template."""


def pod_path(manifest: Mapping[str, Any]) -> tuple[str, ...] | None:
    """The path to the pod, or to the pod template, in a manifest; None if it has neither."""
    group, slash, _ = str(manifest.get("apiVersion")).partition("/")
    return PATHS.get((group if slash else "", str(manifest.get("kind"))))


def is_list(manifest: Mapping[str, Any]) -> bool:
    """Whether a manifest is a list of objects: `List`, or a kind's own, such as `PodList`."""
    return str(manifest.get("kind")).endswith("List") and isinstance(manifest.get("items"), list)


def at(manifest: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    """The value at a path; None if there is no value."""
    value: Any = manifest
    for step in path:
        value = value.get(step) if isinstance(value, dict) else None
    return value


def transformed(
    manifest: dict[str, Any], path: tuple[str, ...], transform: Callable[[Any], Any]
) -> dict[str, Any]:
    """A copy of the manifest with another value at the path; the original is not changed."""
    if not path:
        result: dict[str, Any] = transform(manifest)
        return result
    return {**manifest, path[0]: transformed(manifest[path[0]], path[1:], transform)}
