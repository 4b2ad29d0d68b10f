"""What the API server requires of one container, in the pod that it stands in.

https://github.com/kubernetes/kubernetes/blob/master/pkg/apis/core/validation/validation.go
(validateContainerCommon, validateContainers, validateInitContainers)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

from sidecar_injector import names
from sidecar_injector.core.pods import formats, lenient
from sidecar_injector.core.pods.lenient import Json
from sidecar_injector.core.validity import env as env_rules
from sidecar_injector.core.validity import mounts as mount_rules
from sidecar_injector.core.validity import probes as probe_rules
from sidecar_injector.core.validity import resources as resource_rules
from sidecar_injector.core.validity import security as security_rules
from sidecar_injector.core.validity import volumes as volume_rules

_DEFAULT_GRACE_SECONDS = 30
_PROTOCOLS = ("TCP", "UDP", "SCTP")
_PULL_POLICIES = ("Always", "IfNotPresent", "Never")
_MESSAGE_POLICIES = ("File", "FallbackToLogsOnError")
_RESTART_POLICIES = ("Always", "Never", "OnFailure")
_RESTART_ACTIONS = ("Restart", "RestartAllContainers")
_EXIT_CODE_OPERATORS = ("In", "NotIn")
_RESIZED = ("cpu", "memory")
_RESIZE_POLICIES = ("NotRequired", "RestartContainer")
_MOST_RESTART_RULES = 20

SURROUNDING_FIELDS = (
    "hostUsers", "os", "resourceClaims", "restartPolicy", "terminationGracePeriodSeconds"
)  # fmt: skip
"""Fields of a pod's spec that decide, besides its volumes, whether its containers are valid."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PodContext:
    """What a container's validity depends on outside of it."""

    volumes: Mapping[str, Json]
    claims: Collection[str]
    restart_policy: str
    grace_seconds: int
    os: str
    host_users: bool


def surroundings(spec: Mapping[str, Any]) -> PodContext:
    """Those of a pod's containers."""
    grace = spec.get("terminationGracePeriodSeconds")
    return PodContext(
        volumes={one["name"]: one for one in lenient.objects(spec, "volumes") if one.get("name")},
        claims={str(one.get("name")) for one in lenient.objects(spec, "resourceClaims")},
        restart_policy=spec.get("restartPolicy") or "Always",
        grace_seconds=_DEFAULT_GRACE_SECONDS if not isinstance(grace, int) else grace,
        os=lenient.child(spec, "os").get("name") or "",
        host_users=spec.get("hostUsers") is not False,
    )


class Judged:
    """What was found about a template's containers and volumes, which come with every pod.

    Only the same objects count, so they are kept; whoever hands them over never changes them.
    """

    _MOST = 64

    def __init__(self, containers: Iterable[Json], volumes: Iterable[Json] = ()) -> None:
        self._volumes = {id(one): (one, list(volume_rules.problems(one))) for one in volumes}
        self._containers = {id(one): (one, frozenset(_mounted(one)))
                            for one in containers if _is_plain(one)}  # fmt: skip
        self._found: dict[tuple[object, ...], list[str]] = {}

    def volume_problems(self, volume: Json) -> Iterable[str]:
        """As `validity_volumes.problems`, which depend on the volume alone."""
        known = self._volumes.get(id(volume))
        return volume_rules.problems(volume) if known is None else known[1]

    def problems(self, container: Json, around: PodContext, *, is_init: bool) -> Iterable[str]:
        """As the function of that name."""
        known = self._containers.get(id(container))
        if known is None:
            return problems(container, around, is_init=is_init, settled={})
        missing = known[1].difference(around.volumes)
        # As text, since nobody has looked at their types.
        where = repr((around.restart_policy, around.grace_seconds, around.os, around.host_users))
        key = (id(container), is_init, missing, where)
        found = self._found.get(key)
        if found is None:
            # A pod's author chooses the grace period and could fill our memory with them.
            if len(self._found) >= self._MOST:
                self._found.clear()
            found = list(problems(container, around, is_init=is_init, settled={}))
            self._found[key] = found
        return found


def _mounted(container: Json) -> Iterator[str]:
    return (str(one.get("name")) for one in lenient.objects(container, "volumeMounts"))


def _is_plain(container: Json) -> bool:
    """Whether of the pod's volumes and claims only the names of those that it mounts count."""
    variables = lenient.objects(container, "env")
    return not (
        container.get("volumeDevices")
        or lenient.child(container, "resources").get("claims")
        or any("fileKeyRef" in lenient.child(one, "valueFrom") for one in variables)
    )


def problems(container: Json, around: PodContext, *, is_init: bool, settled: Json) -> Iterator[str]:
    """Sentences without the container's name; variables that `settled` has are passed over."""
    if not formats.DNS_LABEL.accepts(name := container.get("name")):
        yield f"name {formats.DNS_LABEL.refusal(name)}"
    image = container.get("image") or ""
    if not image or image != image.strip():
        yield f"image {formats.quoted(image)} must not be empty nor have white space around it"
    yield from _one_of(container, "imagePullPolicy", _PULL_POLICIES)
    yield from _one_of(container, "terminationMessagePolicy", _MESSAGE_POLICIES)
    for field, check in _PARTS:
        if container.get(field) is not None:
            yield from check(container)
    yield from env_rules.problems(container, around.volumes, settled=settled)
    yield from mount_rules.problems(container, around.volumes, host_users=around.host_users)
    yield from resource_rules.problems(lenient.child(container, "resources"), claims=around.claims)
    yield from security_rules.problems(
        lenient.child(container, "securityContext"), os=around.os, host_users=around.host_users
    )
    yield from _around_running(container, around, is_init=is_init)


def _one_of(parent: Json, field: str, words: tuple[str, ...]) -> Iterator[str]:
    if (value := parent.get(field) or words[0]) not in words:
        yield f"{field} {formats.quoted(value)} must be one of {', '.join(words)}"


def _around_running(container: Json, around: PodContext, *, is_init: bool) -> Iterator[str]:
    """How it starts, is watched and ends."""
    is_plain = is_init and container.get("restartPolicy") != names.CONTAINER_RESTART_ALWAYS
    if is_plain:
        for field in probe_rules.FIELDS:
            if container.get(field) is not None:
                yield f"{field} is not for init containers without restartPolicy: Always"
    else:
        yield from probe_rules.problems(container, grace_seconds=around.grace_seconds, os=around.os)
    for policy in lenient.objects(container, "resizePolicy"):
        if policy.get("restartPolicy") == _RESIZE_POLICIES[1]:
            if around.restart_policy == "Never":
                yield "resizePolicy must be NotRequired in a pod with restartPolicy: Never"
            elif is_plain:
                yield "resizePolicy must be NotRequired in an init container that ends"


def _ports(container: Json) -> Iterator[str]:
    taken: set[str] = set()
    for port in lenient.objects(container, "ports"):
        number = port.get("containerPort")
        if not lenient.is_integer(number, least=1, most=65535):
            yield f"ports: containerPort {number} must be from 1 to 65535"
        host = port.get("hostPort") or 0
        if not lenient.is_integer(host, least=0, most=65535):
            yield f"ports[{number}].hostPort {host} must be from 1 to 65535"
        if (protocol := port.get("protocol") or _PROTOCOLS[0]) not in _PROTOCOLS:
            words = ", ".join(_PROTOCOLS)
            yield f"ports[{number}].protocol {formats.quoted(protocol)} must be one of {words}"
        if name := port.get("name"):
            if not formats.PORT_NAME.accepts(name):
                yield f"ports[{number}].name {formats.PORT_NAME.refusal(name)}"
            if name in taken:
                yield f"ports[{number}].name {formats.quoted(name)} must be there only once"
            taken.add(name)


def _resize_policy(container: Json) -> Iterator[str]:
    taken: set[str] = set()
    for policy in lenient.objects(container, "resizePolicy"):
        yield from (f"resizePolicy: {one}" for one in _one_resize(policy))
        if (name := str(policy.get("resourceName"))) in taken:
            yield f"resizePolicy: {name} must be there only once"
        taken.add(name)


def _one_resize(policy: Json) -> Iterator[str]:
    for field, words in (("resourceName", _RESIZED), ("restartPolicy", _RESIZE_POLICIES)):
        if (value := policy.get(field)) not in words:
            yield f"{field} {formats.quoted(value)} must be one of {', '.join(words)}"


def _restart_rules(container: Json) -> Iterator[str]:
    rules = lenient.objects(container, "restartPolicyRules")
    if rules and container.get("restartPolicy") is None:
        yield "restartPolicyRules need the container's restartPolicy"
    if len(rules) > _MOST_RESTART_RULES:
        yield f"restartPolicyRules must not be more than {_MOST_RESTART_RULES}"
    for rule in rules:
        if (action := rule.get("action")) not in _RESTART_ACTIONS:
            words = ", ".join(_RESTART_ACTIONS)
            yield f"restartPolicyRules: action {formats.quoted(action)} must be one of {words}"
        codes = lenient.child(rule, "exitCodes")
        if codes.get("operator") not in _EXIT_CODE_OPERATORS:
            words = " or ".join(_EXIT_CODE_OPERATORS)
            yield f"restartPolicyRules: exitCodes.operator must be {words}"
        if len(lenient.items(codes, "values")) > 255:
            yield "restartPolicyRules: exitCodes.values must not be more than 255"


_PARTS: tuple[tuple[str, Callable[[Json], Iterator[str]]], ...] = (
    ("ports", _ports),
    ("resizePolicy", _resize_policy),
    ("restartPolicyRules", _restart_rules),
    ("restartPolicy", lambda container: _one_of(container, "restartPolicy", _RESTART_POLICIES)),
)
