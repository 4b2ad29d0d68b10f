"""Reading pods, which stay plain dicts whose members may be absent or null."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

CONTAINER_LISTS = ("initContainers", "containers")


def items(pod: Mapping[str, Any], field: str) -> list[dict[str, Any]]:
    """A list of the pod's spec; empty where it is absent or null."""
    return (pod.get("spec") or {}).get(field) or []


def metadata_map(pod: Mapping[str, Any], field: str) -> dict[str, str]:
    """Labels or annotations; empty where they are absent or null."""
    return (pod.get("metadata") or {}).get(field) or {}


def containers(pod: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """All containers of both lists."""
    for field in CONTAINER_LISTS:
        yield from items(pod, field)


def uses_host_network(pod: Mapping[str, Any]) -> bool:
    """Whether its containers share the node's ports."""
    return (pod.get("spec") or {}).get("hostNetwork") is True


def problems(pod: Any) -> Iterator[tuple[str, str]]:
    """Shapes that the API server would refuse and that we therefore never see from it.

    Pods from files are judged by this before anything else reads them.
    """
    if not isinstance(pod, dict):
        yield "", "must be an object"
        return
    metadata, spec = pod.get("metadata") or {}, pod.get("spec") or {}
    for path, part in (("metadata", metadata), ("spec", spec)):
        if not isinstance(part, dict):
            yield path, "must be an object"
            return
    for field in ("labels", "annotations"):
        yield from _string_map(metadata.get(field) or {}, path=f"metadata.{field}")
    for field in (*CONTAINER_LISTS, "volumes"):
        yield from _named(spec.get(field) or [], path=f"spec.{field}")


def _string_map(value: Any, *, path: str) -> Iterator[tuple[str, str]]:
    if not isinstance(value, dict):
        yield path, "must be an object"
        return
    for key, item in value.items():
        if not isinstance(item, str):
            yield f"{path}[{key}]", f"{item!r} must be a string: put it in quotes"


def _named(value: Any, *, path: str) -> Iterator[tuple[str, str]]:
    if not isinstance(value, list):
        yield path, "must be a list"
        return
    for index, item in enumerate(value):
        where = f"{path}[{index}]"
        if not isinstance(item, dict):
            yield where, "must be an object"
        elif not isinstance(item.get("name"), str):
            yield f"{where}.name", "is required and must be a string"
        else:
            for field in ("volumeMounts", "volumeDevices", "ports", "env"):
                yield from _objects(item.get(field) or [], path=f"{where}.{field}")


def _objects(value: Any, *, path: str) -> Iterator[tuple[str, str]]:
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        yield path, "must be a list of objects"
        return
    mounts = path.endswith(("volumeMounts", "volumeDevices"))
    for index, item in enumerate(value):
        if mounts and not isinstance(item.get("name"), str):
            yield f"{path}[{index}].name", "is required and must be a string"
