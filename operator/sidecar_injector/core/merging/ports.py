"""Ports of the containers that are added, against those that the pod's containers declare.

Only a port that is added can be in the way: two containers of the author may declare the same one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from sidecar_injector import names
from sidecar_injector.core.merging import order
from sidecar_injector.core.pods import fields as pod_fields

Json = dict[str, Any]
ORDINARY, NATIVE, PLAIN = "ordinary", "native", "plain"
RUNNING_TOGETHER: Mapping[str, tuple[str, ...]] = {
    ORDINARY: (ORDINARY, NATIVE),
    NATIVE: (ORDINARY, NATIVE, PLAIN),
    PLAIN: (NATIVE,),
}
"""Init containers that end (plain ones) run alone, but for the native sidecars before them."""


class Subject(Protocol):
    """What is added to which pod: a `fit.Fit`."""

    pod: Mapping[str, Any]
    host_network: bool
    placement: Mapping[str, str]

    @property
    def lacking(self) -> Sequence[tuple[str, Json]]:
        """The containers that are added, each with its list."""

    def is_claimed(self, name: str) -> bool:
        """Whether an injection added the container."""


def taken(subject: Subject) -> Iterator[tuple[pod_fields.Port, str, str]]:
    """Ports on the host network that are wanted twice, with the names of both containers."""
    if not (subject.host_network and subject.lacking):
        return
    holders: dict[tuple[pod_fields.Port, str], str] = {}
    for field, container in _containers(subject.pod):
        for port in pod_fields.ports(container):
            holders.setdefault((port, kind_of(field, container)), container["name"])
    for field, container in subject.lacking:
        kind = kind_of(field, container)
        for port in pod_fields.ports(container):
            for other in RUNNING_TOGETHER[kind]:
                if holders.get((port, other), container["name"]) != container["name"]:
                    yield port, container["name"], holders[port, other]
            holders.setdefault((port, kind), container["name"])


def redirected(subject: Subject) -> Iterator[tuple[str, str, str]]:
    """Names of ports by which a Service would reach an added container instead of the author's.

    Returns each name with the names of both containers. A Service takes the first container that
    has the name, and native sidecars after all ordinary containers:
    https://github.com/kubernetes/kubernetes/blob/master/pkg/api/v1/pod/util.go (FindPort)
    """
    has_init_containers = bool(pod_fields.items(subject.pod, "initContainers"))
    added = [
        (field, container, port)
        for field, container in subject.lacking
        if has_init_containers or order.is_first(subject.placement, field)
        for port in container.get("ports") or ()
        if port.get("name")
    ]
    if not added:
        return
    holders = _by_name(subject.pod, subject.is_claimed)
    for field, container, port in added:
        kind = kind_of(field, container)
        holder_kind, number, holder = holders.get(_named(port), ("", None, ""))
        if not holder or kind == PLAIN or number == port.get("containerPort"):
            continue
        # A native sidecar never comes before an ordinary container, whatever the lists say.
        is_first = order.is_first(subject.placement, field)
        is_before = is_first if kind == holder_kind else kind == ORDINARY
        if is_before:
            yield port["name"], container["name"], holder


def shared(
    pod: Mapping[str, Any], added_names: Iterable[str]
) -> Iterator[tuple[pod_fields.Port, str, str]]:
    """Ports of added containers that a container which runs at the same time declares, too.

    All containers of a pod have one network, so only one of them can listen at a port.
    """
    added = set(added_names)
    holders: dict[tuple[pod_fields.Port, str], str] = {}
    for field, container in _containers(pod):
        for port in pod_fields.ports(container):
            if container["name"] not in added:
                holders.setdefault((port, kind_of(field, container)), container["name"])
    for field, container in _containers(pod):
        if container["name"] in added:
            kind = kind_of(field, container)
            for port in dict.fromkeys(pod_fields.ports(container)):
                for other in RUNNING_TOGETHER[kind]:
                    if holder := holders.get((port, other)):
                        yield port, container["name"], holder


def _by_name(
    pod: Mapping[str, Any], is_claimed: Callable[[str], bool]
) -> dict[tuple[str, str], tuple[str, Any, str]]:
    """The author's ports by name and protocol: kind of the container, number, container."""
    holders: dict[tuple[str, str], tuple[str, Any, str]] = {}
    for field in ("containers", "initContainers"):
        for container in pod_fields.items(pod, field):
            kind = kind_of(field, container)
            if kind == PLAIN or is_claimed(container["name"]):
                continue
            for port in container.get("ports") or ():
                value = (kind, port.get("containerPort"), container["name"])
                holders.setdefault(_named(port), value)
    return holders


def _named(port: Mapping[str, Any]) -> tuple[str, str]:
    return port.get("name") or "", port.get("protocol") or "TCP"


def _containers(pod: Mapping[str, Any]) -> Iterator[tuple[str, Json]]:
    for field in pod_fields.CONTAINER_LISTS:
        for container in pod_fields.items(pod, field):
            yield field, container


def kind_of(field: str, container: Mapping[str, Any]) -> str:
    if field == "containers":
        return ORDINARY
    always = container.get("restartPolicy") == names.CONTAINER_RESTART_ALWAYS
    return NATIVE if always else PLAIN
