"""Whether the API server would refuse a pod because of what was added to it.

The rules are those of Kubernetes 1.37 with its default feature gates. They cover what an injection
can add, and what an addition can break in the author's part. They are a copy in Python of
https://github.com/kubernetes/kubernetes/blob/master/pkg/apis/core/validation/validation.go
(ValidatePodCreate, validatePodMetadataAndSpec, ValidatePodSpec, validatePodHostNetworkDeps)
and tests compare them with a real API server. docs/validity.md lists them.

Not checked here, because the pod does not show it: quotas and LimitRanges (`core.limits`), policies
of other webhooks, whether a ServiceAccount exists, and whether the cluster allows privileged
containers.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sidecar_injector.core.pods import fields as pod_fields
from sidecar_injector.core.pods import formats, lenient
from sidecar_injector.core.pods.lenient import Json
from sidecar_injector.core.validity import container as container_rules
from sidecar_injector.core.validity import resources as resource_rules
from sidecar_injector.core.validity import security as security_rules
from sidecar_injector.core.validity import spec as spec_rules

Pod = Mapping[str, Any]
Spec = Mapping[str, Any]

_EMPTY: Pod = {}
_NOTHING = container_rules.TemplateProblems((), ())


def problem(
    *, before: Pod, after: Pod, precomputed: container_rules.TemplateProblems | None = None
) -> str | None:
    """The first thing that the API server would refuse in `after` and not already in `before`.

    One sentence, or None. Mistakes in the author's own pod do not count: a sentence names its
    subject by key and never by index, so that it is the same for both pods. Parts that are equal in
    both pods are skipped; comparing them is cheap where both pods share the same objects.
    """
    problems = _problems(after, previous=before, precomputed=precomputed or _NOTHING)
    first = next(problems, None)
    if first is None:
        return None
    old = set(_problems(before, previous=_EMPTY, precomputed=_NOTHING))
    return next(
        (sentence for sentence in itertools.chain((first,), problems) if sentence not in old), None
    )


def is_surely_valid(
    *, before: Pod, after: Pod, precomputed: container_rules.TemplateProblems | None
) -> bool:
    """Whether `problem` is None, found out without a look at each container and each volume.

    `after` must be `before` with containers and volumes of the template, with all volumes that
    these containers mount, and with other annotations. So all else is as valid as before, but for
    the rules that are applied here.
    """
    spec = after.get("spec") or {}
    if precomputed is None or spec.get("hostNetwork") or spec.get("resources"):
        return False
    if not precomputed.are_none_in(container_rules.settings_of(spec)):
        return False
    metadata = lenient.child(before, "metadata")
    problems = itertools.chain(
        _names(after),
        spec_rules.metadata_problems(after, previous=metadata),
        security_rules.pod_problems(after),
        security_rules.annotation_problems(after),
    )
    return next(problems, None) is None


def _problems(
    pod: Pod, *, previous: Pod, precomputed: container_rules.TemplateProblems
) -> Iterator[str]:
    """The problems of a pod, without those of the parts that are equal in `previous`.

    A rule for which one part of the pod is not enough must have its place in `is_surely_valid` too.
    """
    spec, old = pod.get("spec") or {}, previous.get("spec") or {}
    changed = list(_changed_containers(spec, old))
    affected = changed if _is_same_context(spec, old) else list(_changed_containers(spec, _EMPTY))
    yield from _names(pod)
    yield from _containers(affected, spec, precomputed)
    yield from _volumes(pod, old, precomputed)
    yield from _host_ports(spec, old, [container for _, container, _ in changed])
    yield from spec_rules.metadata_problems(pod, previous=lenient.child(previous, "metadata"))
    yield from spec_rules.problems(pod, previous=previous)
    yield from security_rules.pod_problems(pod)
    yield from security_rules.annotation_problems(pod)
    yield from resource_rules.pod_problems(spec)


def _changed_containers(spec: Spec, old: Spec) -> Iterator[tuple[str, Json, Json]]:
    """The list, the container, and the container that was there before; empty if it is new."""
    for field in pod_fields.CONTAINER_LISTS:
        before = _by_name(old.get(field))
        for container in spec.get(field) or ():
            same = before.get(container["name"]) or {}
            if same != container:
                yield field, container, same


def _is_same_context(spec: Spec, old: Spec) -> bool:
    """Whether everything on which the validity of the old containers depends is still there."""
    for field in container_rules.CONTEXT_FIELDS:
        if spec.get(field) != old.get(field):
            return False
    volumes = _by_name(spec.get("volumes"))
    return all(volumes.get(volume["name"]) == volume for volume in old.get("volumes") or ())


def _by_name(items: list[Json] | None) -> dict[str, Json]:
    return {item["name"]: item for item in items or ()}


def _names(pod: Pod) -> Iterator[str]:
    if not pod_fields.items(pod, "containers"):
        yield "there must be a container"
    yield from _repeated("container", pod_fields.containers(pod))
    yield from _repeated("volume", pod_fields.items(pod, "volumes"))


def _repeated(kind: str, items: Sequence[Json]) -> Iterator[str]:
    if len({item["name"] for item in items}) == len(items):
        return
    names = set()
    for item in items:
        if (name := item["name"]) in names:
            yield f"{kind} {name!r} must be there only once"
        names.add(name)


def _containers(
    affected: list[tuple[str, Json, Json]],
    spec: Spec,
    precomputed: container_rules.TemplateProblems,
) -> Iterator[str]:
    if not affected:
        return
    context = container_rules.context_of(spec)
    for field, container, before in affected:
        is_init = field != "containers"
        problems = (
            container_rules.problems(container, context, is_init=is_init, previous=before)
            if before
            else precomputed.of_container(container, context, is_init=is_init)
        )
        for sentence in problems:
            yield f"container {container['name']!r}: {sentence}"


def _volumes(pod: Pod, old: Spec, precomputed: container_rules.TemplateProblems) -> Iterator[str]:
    before = _by_name(old.get("volumes"))
    volumes = pod_fields.items(pod, "volumes")
    for volume in volumes:
        if before.get(volume["name"]) != volume:
            for sentence in precomputed.of_volume(volume):
                yield f"volume {volume['name']!r}: {sentence}"
    # The controller creates a claim of this name with the pod, and refuses to use another claim.
    # https://kubernetes.io/docs/concepts/storage/ephemeral-volumes/
    pod_name = lenient.child(pod, "metadata").get("name")
    created = {
        f"{pod_name}-{volume['name']}" for volume in volumes if volume.get("ephemeral") is not None
    }
    for volume in volumes if created and pod_name else ():
        claim = f"{pod_name}-{volume['name']}"
        if claim in created and not formats.DNS_SUBDOMAIN.accepts(claim):
            yield f"volume {volume['name']!r}: its claim {formats.DNS_SUBDOMAIN.refusal(claim)}"
        claim = str(lenient.child(volume, "persistentVolumeClaim").get("claimName"))
        if claim in created:
            yield f"volume {volume['name']!r}: claim {claim!r} is made for an ephemeral volume"


def _host_ports(spec: Spec, old: Spec, changed: Iterable[Json]) -> Iterator[str]:
    """Init containers run one after another, so each may use the ports of the others."""
    on_host = spec.get("hostNetwork") is True
    if on_host is (old.get("hostNetwork") is True) and not any(
        port.get("hostPort") or on_host
        for container in changed
        for port in lenient.objects(container, "ports")
    ):
        return
    users: dict[tuple[object, object, object], str] = {}
    for container in spec.get("containers") or ():
        yield from _ports_used_twice(container, users, on_host=on_host)
        for port in lenient.objects(container, "ports"):
            number, host = port.get("containerPort"), port.get("hostPort")
            if on_host and host and host != number:
                yield (
                    f"container {container['name']!r}: ports[{number}].hostPort {host} must be"
                    f" {number} on the host network"
                )
    for container in spec.get("initContainers") or ():
        yield from _ports_used_twice(container, {}, on_host=on_host)


def _ports_used_twice(
    container: Json, users: dict[tuple[object, object, object], str], *, on_host: bool
) -> Iterator[str]:
    own_ports = set()
    for port in lenient.objects(container, "ports"):
        # On the host network the API server sets the host ports that are missing.
        host = port.get("hostPort") or (port.get("containerPort") if on_host else 0)
        if not host:
            continue
        key = (port.get("protocol") or "TCP", str(port.get("hostIP") or ""), host)
        if key in own_ports:
            yield f"container {container['name']!r}: host port {host} must be there only once"
        elif (user := users.setdefault(key, container["name"])) != container["name"]:
            yield f"container {container['name']!r}: host port {host} is taken by {user!r}"
        own_ports.add(key)
