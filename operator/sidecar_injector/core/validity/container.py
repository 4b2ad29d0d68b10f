"""What the API server requires of one container in a given pod.

https://github.com/kubernetes/kubernetes/blob/master/pkg/apis/core/validation/validation.go
(validateContainers, validateInitContainers, validateContainerCommon, validateContainerPorts,
validatePullPolicy, validateResizePolicy, validateContainerRestartPolicy,
validateInitContainerRestartPolicy, validateLifecycle, validateLivenessProbe,
validateReadinessProbe, validateStartupProbe, validateProbe, validateHandler, validateExecAction,
validateHTTPGetAction, validateTCPSocketAction, validateGRPCAction, validateSleepAction,
ValidatePortNumOrName, validateContainersOnlyForPod, validateContainerOnlyForPod)
"""

from __future__ import annotations

import copy
import dataclasses
import functools
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from sidecar_injector import names
from sidecar_injector.core.pods import formats, lenient
from sidecar_injector.core.pods.lenient import Json
from sidecar_injector.core.validity import env as env_rules
from sidecar_injector.core.validity import resources as resource_rules
from sidecar_injector.core.validity import security as security_rules
from sidecar_injector.core.validity import volume_sources
from sidecar_injector.core.validity import volumes as volume_rules

PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_LIVE_FIELDS = ("lifecycle", *PROBES)
_PROBE_HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc")
_LIFECYCLE_HANDLERS = ("exec", "httpGet", "tcpSocket", "sleep")
_COUNTS = (
    "initialDelaySeconds",
    "timeoutSeconds",
    "periodSeconds",
    "successThreshold",
    "failureThreshold",
)
_SCHEMES = ("HTTP", "HTTPS")
_DEFAULT_THRESHOLD = (None, 0, 1)
DEFAULT_GRACE_SECONDS = 30
_PROTOCOLS = ("TCP", "UDP", "SCTP")
_MESSAGE_POLICIES = ("File", "FallbackToLogsOnError")
_RESTART_POLICIES = ("Always", "Never", "OnFailure")
_SYSTEMS = ("linux", "windows")
_RESTART_ACTIONS = ("Restart", "RestartAllContainers")
_EXIT_CODE_OPERATORS = ("In", "NotIn")
_RESIZED = ("cpu", "memory")
_RESIZE_POLICIES = ("NotRequired", "RestartContainer")
_MOST_RESTART_RULES = 20
MOST_CONTEXTS = 64
"""Kinds of pods for which the problems of a template's container are kept."""

_NONE: frozenset[str] = frozenset()
_CLAIMING = frozenset({"ephemeral", "persistentVolumeClaim"})
"""Volumes of these kinds must not use the same claim."""
CONTEXT_FIELDS = (
    "hostUsers", "os", "resourceClaims", "restartPolicy", "terminationGracePeriodSeconds"
)  # fmt: skip
"""Fields of a pod's spec that decide, besides its volumes, whether its containers are valid."""


class PodSettings(NamedTuple):
    """The scalar fields of a pod on which the validity of its containers depends."""

    restart_policy: str
    grace_seconds: int
    os: str
    host_users: bool


@dataclasses.dataclass(frozen=True, slots=True)
class PodContext:
    """Everything outside of a container on which its validity depends."""

    volumes: Mapping[str, Json]
    claims: Collection[str]
    settings: PodSettings


def context_of(spec: Mapping[str, Any]) -> PodContext:
    """The context of the containers in the spec of a pod."""
    return PodContext(
        volumes={volume["name"]: volume for volume in lenient.objects(spec, "volumes")
                 if volume.get("name")},
        claims={str(claim.get("name")) for claim in lenient.objects(spec, "resourceClaims")},
        settings=settings_of(spec),
    )  # fmt: skip


def settings_of(spec: Mapping[str, Any]) -> PodSettings:
    """The settings in the spec of a pod."""
    grace = spec.get("terminationGracePeriodSeconds")
    if isinstance(grace, int) and grace < 0:
        # The API server makes 1 of it: SetDefaults_Pod, and a conversion before 1.37.
        grace = 1
    return PodSettings(
        restart_policy=_known(lenient.text(spec, "restartPolicy"), _RESTART_POLICIES, "Always"),
        grace_seconds=DEFAULT_GRACE_SECONDS if not isinstance(grace, int) else grace,
        os=_known(lenient.text(spec.get("os"), "name"), _SYSTEMS, ""),
        host_users=spec.get("hostUsers") is not False,
    )


def _known(text: str, accepted: Collection[str], default: str) -> str:
    """The text, or the default in the place of any other: no text of a client becomes a key."""
    return text if text in accepted else default


class TemplateProblems:
    """The problems of a template's containers and volumes, which are the same for most pods.

    A part of a pod is compared by its content with a copy that only this object has, so a part that
    was changed is judged again. Several threads may use it.
    """

    def __init__(
        self,
        containers: Sequence[Json],
        volumes: Sequence[Json],
        *,
        init_containers: Sequence[Json] = (),
    ) -> None:
        self._containers = {
            container["name"]: _TemplateContainer(container, is_init=is_init)
            for is_init, group in ((True, init_containers), (False, containers))
            for container in group
            if _depends_on_names_only(container)
        }
        self._volumes = {
            volume["name"]: (copy.deepcopy(volume), tuple(volume_rules.problems(volume)))
            for volume in volumes
        }
        everything = (*containers, *init_containers)
        self._is_plain = (
            len(self._containers) == len(everything)
            and not any(port.get("hostPort") for container in everything
                        for port in lenient.objects(container, "ports"))
            and not any(sentences for _, sentences in self._volumes.values())
            and not any(_CLAIMING.intersection(volume) for volume in volumes)
        )  # fmt: skip

    def are_none_in(self, settings: PodSettings) -> bool:
        """Whether all containers and volumes, added to a pod with these settings, surely have none.

        The pod must have the volumes that they mount, and not be on the host network.
        """
        return self._is_plain and not any(
            container.problems(_NONE, settings, container.is_init)
            for container in self._containers.values()
        )

    def of_volume(self, volume: Json) -> Iterable[str]:
        """The same as `volumes.problems`."""
        same, sentences = self._volumes.get(volume["name"], ({}, ()))
        return sentences if same == volume else volume_rules.problems(volume)

    def of_container(self, container: Json, context: PodContext, *, is_init: bool) -> Iterable[str]:
        """The same as `problems`."""
        same = self._containers.get(container["name"])
        if same is None or same.container != container:
            return problems(container, context, is_init=is_init, previous={})
        missing = same.mounted.difference(context.volumes)
        return same.problems(missing, context.settings, is_init)


class _TemplateContainer:
    """A container of a template, with its problems in the contexts of the latest pods."""

    __slots__ = ("container", "is_init", "mounted", "problems")

    def __init__(self, container: Json, *, is_init: bool) -> None:
        self.is_init = is_init
        self.container = copy.deepcopy(container)
        self.mounted = frozenset(
            str(mount.get("name")) for mount in lenient.objects(container, "volumeMounts")
        )
        # The author of a pod chooses the grace period, so the number of contexts has no limit.
        self.problems = functools.lru_cache(maxsize=MOST_CONTEXTS)(
            functools.partial(_problems_without, self.container, self.mounted)
        )


def _problems_without(
    container: Json,
    mounted: frozenset[str],
    missing: frozenset[str],
    settings: PodSettings,
    is_init: bool,  # noqa: FBT001 - lru_cache
) -> tuple[str, ...]:
    """The problems of a container in a pod that lacks some of the volumes that it mounts."""
    volumes: dict[str, Json] = {name: {} for name in mounted - missing}
    context = PodContext(volumes=volumes, claims=(), settings=settings)
    return tuple(problems(container, context, is_init=is_init, previous={}))


def _depends_on_names_only(container: Json) -> bool:
    """Whether only the names of the volumes that it mounts matter, and no other part of them."""
    variables = lenient.objects(container, "env")
    return not (
        container.get("volumeDevices")
        or lenient.child(container, "resources").get("claims")
        or any("fileKeyRef" in lenient.child(variable, "valueFrom") for variable in variables)
    )


def problems(
    container: Json, context: PodContext, *, is_init: bool, previous: Json
) -> Iterator[str]:
    """Sentences without the container's name; variables that `previous` has too are skipped."""
    settings = context.settings
    if not formats.DNS_LABEL.accepts(name := container.get("name")):
        yield f"name {formats.DNS_LABEL.refusal(name)}"
    image = container.get("image") or ""
    if not image or image != image.strip():
        yield f"image {formats.quoted(image)} must not be empty nor have white space around it"
    yield from _one_of(container, "imagePullPolicy", volume_sources.PULL_POLICIES)
    yield from _one_of(container, "terminationMessagePolicy", _MESSAGE_POLICIES)
    for field, check in _PARTS:
        if container.get(field) is not None:
            yield from check(container)
    if container.get("env") or container.get("envFrom"):
        yield from env_rules.problems(container, context.volumes, previous=previous)
    if container.get("volumeMounts") or container.get("volumeDevices"):
        yield from volume_rules.mount_problems(
            container, context.volumes, host_users=settings.host_users
        )
    if resources := lenient.child(container, "resources"):
        yield from resource_rules.problems(resources, claims=context.claims)
    if security := lenient.child(container, "securityContext"):
        yield from security_rules.problems(security, os=settings.os, host_users=settings.host_users)
    yield from _lifetime(container, settings, is_init=is_init)


def _one_of(parent: Json, field: str, accepted: tuple[str, ...]) -> Iterator[str]:
    if value := parent.get(field):
        yield from formats.one_of(value, accepted, where=field)


def _lifetime(container: Json, settings: PodSettings, *, is_init: bool) -> Iterator[str]:
    """The problems of probes, of lifecycle handlers and of resize policies."""
    is_plain = is_init and container.get("restartPolicy") != names.CONTAINER_RESTART_ALWAYS
    if is_plain:
        for field in _LIVE_FIELDS:
            if container.get(field) is not None:
                yield f"{field} is not for init containers without restartPolicy: Always"
    else:
        yield from _probes(container, grace_seconds=settings.grace_seconds, os=settings.os)
    for policy in lenient.objects(container, "resizePolicy"):
        if policy.get("restartPolicy") == _RESIZE_POLICIES[1]:
            if settings.restart_policy == "Never":
                yield "resizePolicy must be NotRequired in a pod with restartPolicy: Never"
            elif is_plain:
                yield "resizePolicy must be NotRequired in an init container that ends"


def _probes(container: Json, *, grace_seconds: int, os: str) -> Iterator[str]:
    """Problems of the probes and lifecycle handlers of a container that may have them.

    A `stopSignal` needs `os.name` only if the feature gate ContainerStopSignals is on; otherwise
    the API server drops the field. The pod does not show which, so `os.name` is always required.
    """
    lifecycle = lenient.child(container, "lifecycle")
    for moment in ("postStart", "preStop"):
        if lifecycle.get(moment) is not None:
            yield from _handler(
                lenient.child(lifecycle, moment),
                where=f"lifecycle.{moment}",
                kinds=_LIFECYCLE_HANDLERS,
                grace_seconds=grace_seconds,
            )
    if lifecycle.get("stopSignal") is not None and not os:
        yield "lifecycle.stopSignal needs the pod to set os.name"
    for field in PROBES:
        if container.get(field) is not None:
            yield from _probe(lenient.child(container, field), field=field)


def _probe(probe: Json, *, field: str) -> Iterator[str]:
    yield from _handler(probe, where=field, kinds=_PROBE_HANDLERS, grace_seconds=0)
    for count in _COUNTS:
        value = probe.get(count)
        if isinstance(value, int) and value < 0:
            yield f"{field}.{count} {value} must not be negative"
    grace = probe.get("terminationGracePeriodSeconds")
    if field == "readinessProbe":
        if grace is not None:
            yield f"{field}.terminationGracePeriodSeconds must not be set"
        return
    if isinstance(grace, int) and grace <= 0:
        yield f"{field}.terminationGracePeriodSeconds {grace} must be greater than 0"
    if (threshold := probe.get("successThreshold")) not in _DEFAULT_THRESHOLD:
        yield f"{field}.successThreshold {threshold} must be 1"


def _handler(
    handler: Json, *, where: str, kinds: tuple[str, ...], grace_seconds: int
) -> Iterator[str]:
    present = [kind for kind in kinds if handler.get(kind) is not None]
    if len(present) != 1:
        existing = " and ".join(present) or "none"
        yield f"{where} must have exactly one of {', '.join(kinds)}, and has {existing}"
        return
    kind, action = present[0], lenient.child(handler, present[0])
    where = f"{where}.{kind}"
    if kind == "exec" and not lenient.items(action, "command"):
        yield f"{where}.command must not be empty"
    elif kind == "httpGet":
        yield from _http(action, where=where)
    elif kind == "tcpSocket":
        yield from _port(action.get("port"), where=where)
    elif kind == "grpc" and not lenient.is_integer(action.get("port"), least=1, most=65535):
        yield f"{where}.port {action.get('port')} must be from 1 to 65535"
    elif kind == "sleep":
        seconds = action.get("seconds") or 0
        if not lenient.is_integer(seconds, least=0, most=grace_seconds):
            yield (
                f"{where}.seconds {seconds} must be from 0 to the pod's"
                f" terminationGracePeriodSeconds ({grace_seconds})"
            )


def _http(action: Json, *, where: str) -> Iterator[str]:
    yield from _port(action.get("port"), where=where)
    if scheme := action.get("scheme"):
        yield from formats.one_of(scheme, _SCHEMES, where=f"{where}.scheme")
    for header in lenient.objects(action, "httpHeaders"):
        if not formats.HEADER_NAME.accepts(name := header.get("name")):
            yield f"{where}.httpHeaders: name {formats.HEADER_NAME.refusal(name)}"


def _port(port: object, *, where: str) -> Iterator[str]:
    if isinstance(port, str):
        if not formats.PORT_NAME.accepts(port):
            yield f"{where}.port {formats.PORT_NAME.refusal(port)}"
    elif not lenient.is_integer(port, least=1, most=65535):
        yield f"{where}.port {port} must be from 1 to 65535, or a port's name"


def _ports(container: Json) -> Iterator[str]:
    port_names: set[str] = set()
    for port in lenient.objects(container, "ports"):
        number = port.get("containerPort")
        if not lenient.is_integer(number, least=1, most=65535):
            yield f"ports: containerPort {number} must be from 1 to 65535"
        host = port.get("hostPort") or 0
        if not lenient.is_integer(host, least=0, most=65535):
            yield f"ports[{number}].hostPort {host} must be from 1 to 65535"
        if protocol := port.get("protocol"):
            yield from formats.one_of(protocol, _PROTOCOLS, where=f"ports[{number}].protocol")
        if name := port.get("name"):
            if not formats.PORT_NAME.accepts(name):
                yield f"ports[{number}].name {formats.PORT_NAME.refusal(name)}"
            if name in port_names:
                yield f"ports[{number}].name {formats.quoted(name)} must be there only once"
            port_names.add(name)


def _resize_policy(container: Json) -> Iterator[str]:
    resources: set[str] = set()
    for policy in lenient.objects(container, "resizePolicy"):
        for field, accepted in (("resourceName", _RESIZED), ("restartPolicy", _RESIZE_POLICIES)):
            where = f"resizePolicy: {field}"
            yield from formats.one_of(policy.get(field), accepted, where=where)
        if (name := str(policy.get("resourceName"))) in resources:
            yield f"resizePolicy: {name} must be there only once"
        resources.add(name)


def _restart_rules(container: Json) -> Iterator[str]:
    rules = lenient.objects(container, "restartPolicyRules")
    if rules and container.get("restartPolicy") is None:
        yield "restartPolicyRules need the container's restartPolicy"
    if len(rules) > _MOST_RESTART_RULES:
        yield f"restartPolicyRules must not be more than {_MOST_RESTART_RULES}"
    for rule in rules:
        where = "restartPolicyRules: action"
        yield from formats.one_of(rule.get("action"), _RESTART_ACTIONS, where=where)
        codes = lenient.child(rule, "exitCodes")
        if codes.get("operator") not in _EXIT_CODE_OPERATORS:
            accepted = " or ".join(_EXIT_CODE_OPERATORS)
            yield f"restartPolicyRules: exitCodes.operator must be {accepted}"
        if len(lenient.items(codes, "values")) > 255:
            yield "restartPolicyRules: exitCodes.values must not be more than 255"


def _restart_policy(container: Json) -> Iterator[str]:
    """An empty policy is not an absent one: the API server keeps the field as a pointer."""
    yield from formats.one_of(container["restartPolicy"], _RESTART_POLICIES, where="restartPolicy")


_PARTS: tuple[tuple[str, Callable[[Json], Iterator[str]]], ...] = (
    ("ports", _ports),
    ("resizePolicy", _resize_policy),
    ("restartPolicyRules", _restart_rules),
    ("restartPolicy", _restart_policy),
)
