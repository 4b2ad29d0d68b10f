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


def containers(pod: Mapping[str, Any]) -> list[dict[str, Any]]:
    """All containers of both lists."""
    return [*items(pod, "initContainers"), *items(pod, "containers")]


def with_host_ports(container: Mapping[str, Any]) -> dict[str, Any]:
    """The container as the API server completes it in a pod on the host network."""
    completed = [
        {**port, "hostPort": port.get("hostPort") or port.get("containerPort")}
        for port in container.get("ports") or ()
    ]
    return {**container, "ports": completed}


Port = tuple[str, int]
"""Protocol and number."""


def ports(container: Mapping[str, Any]) -> Iterator[Port]:
    """The ports that a container declares."""
    for port in container.get("ports") or ():
        yield port.get("protocol") or "TCP", port.get("containerPort")
