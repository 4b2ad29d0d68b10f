"""Whether the API server would refuse a pod because of what was added to it.

The rules are those of Kubernetes 1.37 with its feature gates as they are by default, for what an
injection can add and for what that can upset in the author's part. They are written anew from
https://github.com/kubernetes/kubernetes/blob/master/pkg/apis/core/validation/validation.go
and compared with a real API server by tests.

Not judged here, because the pod does not show it: quotas, LimitRanges and other people's policies,
whether a ServiceAccount exists, and whether the cluster allows privileged containers at all.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

from sidecar_injector.core.pods import fields as pod_fields
from sidecar_injector.core.pods import lenient
from sidecar_injector.core.pods.lenient import Json
from sidecar_injector.core.validity import container as container_rules
from sidecar_injector.core.validity import resources as resource_rules
from sidecar_injector.core.validity import security as security_rules
from sidecar_injector.core.validity import spec as spec_rules

Pod = Mapping[str, Any]

_EMPTY: Pod = {}
_NOBODY = container_rules.Judged(())


def problem(*, before: Pod, after: Pod, judged: container_rules.Judged | None = None) -> str | None:
    """The first thing that the API server would refuse in `after` and not already in `before`.

    One sentence, or None. What the author's own pod violates is not held against what is added:
    a sentence names its subject by key and never by index, so that it is the same in both pods.
    Parts that are the same object in both, which is what the editor leaves them, are passed over.
    """
    found = _problems(after, settled=before, judged=judged or _NOBODY)
    first = next(found, None)
    if first is None:
        return None
    old = set(_problems(before, settled=_EMPTY, judged=_NOBODY))
    return next((one for one in itertools.chain((first,), found) if one not in old), None)


def _problems(pod: Pod, *, settled: Pod, judged: container_rules.Judged) -> Iterator[str]:
    """Everything wrong with a pod, apart from the parts that it shares with `settled`."""
    spec = pod.get("spec") or {}
    yield from _names(pod)
    yield from _containers(pod, settled, judged)
    yield from _volumes(pod, settled, judged)
    yield from _host_ports(pod, settled)
    yield from spec_rules.metadata_problems(pod, settled=lenient.child(settled, "metadata"))
    yield from spec_rules.problems(pod, settled=settled)
    yield from security_rules.pod_problems(pod)
    yield from security_rules.annotation_problems(pod)
    yield from resource_rules.pod_problems(spec)


def _names(pod: Pod) -> Iterator[str]:
    if not pod_fields.items(pod, "containers"):
        yield "there must be a container"
    taken = set()
    for container in pod_fields.containers(pod):
        if (name := container["name"]) in taken:
            yield f"container {name!r} must be there only once"
        taken.add(name)
    taken = set()
    for volume in pod_fields.items(pod, "volumes"):
        if (name := volume["name"]) in taken:
            yield f"volume {name!r} must be there only once"
        taken.add(name)


def _containers(pod: Pod, settled: Pod, judged: container_rules.Judged) -> Iterator[str]:
    spec, old = pod.get("spec") or {}, settled.get("spec") or {}
    known = _settled_containers(spec, old)
    around = None
    for field in pod_fields.CONTAINER_LISTS:
        for container in pod_fields.items(pod, field):
            twin = known.get((field, container["name"]))
            if twin is container:
                continue
            around = around or container_rules.surroundings(spec)
            is_init = field != "containers"
            found = (
                container_rules.problems(container, around, is_init=is_init, settled=twin)
                if twin
                else judged.problems(container, around, is_init=is_init)
            )
            for why in found:
                yield f"container {container['name']!r}: {why}"


def _settled_containers(
    spec: Mapping[str, Any], old: Mapping[str, Any]
) -> dict[tuple[str, str], Json]:
    """The containers of `old` that are where they were; none if what they depend on changed."""
    if any(spec.get(key) != old.get(key) for key in container_rules.SURROUNDING_FIELDS):
        return {}
    volumes = _ids(spec, "volumes")
    if not _ids(old, "volumes") <= volumes:
        return {}
    return {
        (field, container["name"]): container
        for field in pod_fields.CONTAINER_LISTS
        for container in pod_fields.items({"spec": old}, field)
    }


def _ids(spec: Mapping[str, Any], field: str) -> set[int]:
    return set(map(id, spec.get(field) or ()))


def _volumes(pod: Pod, settled: Pod, judged: container_rules.Judged) -> Iterator[str]:
    known = _ids(settled.get("spec") or {}, "volumes")
    volumes = pod_fields.items(pod, "volumes")
    for volume in volumes:
        if id(volume) not in known:
            for why in judged.volume_problems(volume):
                yield f"volume {volume['name']!r}: {why}"
    # A claim of this name is made with the pod and is no other claim.
    # https://kubernetes.io/docs/concepts/storage/ephemeral-volumes/
    pod_name = lenient.child(pod, "metadata").get("name")
    made = {f"{pod_name}-{one['name']}" for one in volumes if one.get("ephemeral") is not None}
    for volume in volumes if made and pod_name else ():
        claim = str(lenient.child(volume, "persistentVolumeClaim").get("claimName"))
        if claim in made:
            yield f"volume {volume['name']!r}: claim {claim!r} is made for an ephemeral volume"


def _host_ports(pod: Pod, settled: Pod) -> Iterator[str]:
    """Init containers run one by one, so each may take what another one takes."""
    spec, old = lenient.child(pod, "spec"), lenient.child(settled, "spec")
    on_host = spec.get("hostNetwork") is True
    if on_host is (old.get("hostNetwork") is True):
        known = {
            id(one) for field in pod_fields.CONTAINER_LISTS for one in lenient.items(old, field)
        }
        fresh = [one for one in pod_fields.containers(pod) if id(one) not in known]
        if not any(port.get("hostPort") or on_host for one in fresh
                   for port in lenient.objects(one, "ports")):  # fmt: skip
            return
    taken: dict[tuple[object, object, object], str] = {}
    for container in pod_fields.items(pod, "containers"):
        yield from _taken_twice(container, taken, on_host=on_host)
        for port in lenient.objects(container, "ports"):
            number, host = port.get("containerPort"), port.get("hostPort")
            if on_host and host and host != number:
                yield (
                    f"container {container['name']!r}: ports[{number}].hostPort {host} must be"
                    f" {number} on the host network"
                )
    for container in pod_fields.items(pod, "initContainers"):
        yield from _taken_twice(container, {}, on_host=on_host)


def _taken_twice(
    container: Json, taken: dict[tuple[object, object, object], str], *, on_host: bool
) -> Iterator[str]:
    own = set()
    for port in lenient.objects(container, "ports"):
        # On the host network the API server sets those that are missing.
        host = port.get("hostPort") or (port.get("containerPort") if on_host else 0)
        if not host:
            continue
        key = (port.get("protocol") or "TCP", str(port.get("hostIP") or ""), host)
        if key in own:
            yield f"container {container['name']!r}: host port {host} must be there only once"
        elif (holder := taken.setdefault(key, container["name"])) != container["name"]:
            yield f"container {container['name']!r}: host port {host} is taken by {holder!r}"
        own.add(key)
