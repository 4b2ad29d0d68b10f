"""Reading pods, which stay plain dicts whose members may be absent or null."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from sidecar_injector import names
from sidecar_injector.core.pods import lenient

_EXIT_CODES: Final = frozenset(range(256))
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


def can_end(container: Mapping[str, Any], pod_policy: str) -> bool:
    """Whether one of the main containers of a pod ends for good with some exit code.

    https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#container-level-restart
    """
    policy = container.get("restartPolicy") or pod_policy
    if policy == names.CONTAINER_RESTART_ALWAYS:
        return False
    final = _EXIT_CODES if policy == "Never" else frozenset({0})
    for rule in lenient.objects(container, "restartPolicyRules"):
        # Each rule restarts: there is no rule that ends a container.
        on = lenient.child(rule, "exitCodes")
        codes = {code for code in lenient.items(on, "values") if isinstance(code, int)}
        final = final & codes if on.get("operator") == "NotIn" else final - codes
    return bool(final)


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
