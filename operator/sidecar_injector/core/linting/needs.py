"""What a pod must have so that it can take an injection, where most pods do not have it.

An injection is refused only if no pod could take it. So the example pod gets everything that the
template needs of a pod, and a warning says what that is.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from sidecar_injector.core.merging import render
from sidecar_injector.core.pods import lenient
from sidecar_injector.core.validity import container as container_rules
from sidecar_injector.core.validity import security as security_rules

Json = dict[str, Any]
IMAGE = "example/application:1"


@dataclasses.dataclass(frozen=True, slots=True)
class Need:
    """One thing that a pod must have."""

    text: str
    """Completes "fits only pods with …"; empty if most pods have it."""
    meet: Callable[[Json], None]
    """Gives it to the spec of a pod."""


def of(parts: render.Parts, spec: Mapping[str, Any]) -> Iterator[Need]:
    """What the parts of an injection need of a pod; `spec` is that of the injection."""
    containers = (*parts.init_containers, *parts.containers)
    yield from _of_lifecycle(containers)
    yield from _of_resources(containers)
    yield from _of_volumes(parts, containers, spec)
    yield from _of_security(containers, spec)
    yield from _of_annotations(parts)
    if spec.get("onConflict") == "Merge":
        yield from _of_merge(parts.containers)


def _sets(**fields: Any) -> Callable[[Json], None]:
    return lambda spec: spec.update(fields)


def _of_lifecycle(containers: tuple[Json, ...]) -> Iterator[Need]:
    seconds = 0
    for container in containers:
        lifecycle = lenient.child(container, "lifecycle")
        for moment in ("postStart", "preStop"):
            sleep = lenient.child(lenient.child(lifecycle, moment), "sleep").get("seconds")
            seconds = max(seconds, sleep if isinstance(sleep, int) else 0)
        if lifecycle.get("stopSignal"):
            yield Need("os.name", _sets(os={"name": security_rules.LINUX}))
    if seconds > container_rules.DEFAULT_GRACE_SECONDS:
        meet = _sets(terminationGracePeriodSeconds=seconds)
        yield Need(f"terminationGracePeriodSeconds of at least {seconds}", meet)


def _of_resources(containers: tuple[Json, ...]) -> Iterator[Need]:
    claims = dict.fromkeys(
        str(claim.get("name"))
        for container in containers
        for claim in lenient.objects(lenient.child(container, "resources"), "claims")
    )
    if claims:
        items = [{"name": name, "resourceClaimName": name} for name in claims]
        yield Need(f"resourceClaims {', '.join(claims)}", _sets(resourceClaims=items))


def _of_volumes(
    parts: render.Parts, containers: tuple[Json, ...], spec: Mapping[str, Any]
) -> Iterator[Need]:
    """Volumes that the template does not define; one that is only mounted may be of any kind."""
    defined = set(parts.names["volumes"])
    devices = {
        device["name"]
        for container in containers
        for device in lenient.objects(container, "volumeDevices")
    }
    variables = [
        variable
        for container in (*containers, lenient.child(spec, "applicationContainers"))
        for variable in lenient.objects(container, "env")
    ]
    files = {
        str(lenient.child(variable.get("valueFrom"), "fileKeyRef").get("volumeName"))
        for variable in variables
        if lenient.child(variable.get("valueFrom"), "fileKeyRef")
    }
    claims = {
        name: {"persistentVolumeClaim": {"claimName": name}} for name in sorted(devices - defined)
    }
    empty: dict[str, Json] = {name: {"emptyDir": {}} for name in sorted(files - defined - devices)}
    yield from _of_items("a claim or ephemeral volume", "volumes", claims)
    yield from _of_items("an emptyDir volume", "volumes", empty)


def _of_items(text: str, field: str, items: Mapping[str, Json]) -> Iterator[Need]:
    """Items in a list of the spec, by name, instead of those of the same names."""

    def meet(spec: Json) -> None:
        others = [item for item in spec.get(field) or () if item["name"] not in items]
        spec[field] = [*others, *({"name": name, **item} for name, item in items.items())]

    if items:
        yield Need(f"{text} {', '.join(map(repr, items))}", meet)


def _of_security(containers: tuple[Json, ...], spec: Mapping[str, Any]) -> Iterator[Need]:
    contexts = [lenient.child(container, "securityContext") for container in containers]
    if any(context.get("procMount") == "Unmasked" for context in contexts):
        yield Need("hostUsers: false", _sets(hostUsers=False))
    windows = [lenient.child(context, "windowsOptions") for context in contexts]
    if any(options.get("hostProcess") is True for options in windows):
        yield Need("host processes of Windows only (windowsOptions)", _be_host_processes)
    mounts = lenient.objects(spec.get("applicationContainers"), "volumeMounts")
    if any(map(_is_bidirectional, mounts)):
        yield Need("privileged containers", _be_privileged)


def _be_host_processes(spec: Json) -> None:
    spec["securityContext"] = {"windowsOptions": {"hostProcess": True}}
    spec["hostNetwork"] = True


def _be_privileged(spec: Json) -> None:
    for container in spec["containers"]:
        container["securityContext"] = {"privileged": True}


def _of_annotations(parts: render.Parts) -> Iterator[Need]:
    """The API server looks for the containers that annotations of AppArmor name.

    What an annotation says about seccomp must agree with the container's own field.
    """
    own = {*parts.names["containers"], *parts.names["initContainers"]}
    for key in parts.annotations:
        name = key.partition("/")[2]
        if key.startswith(security_rules.APP_ARMOR_PREFIX) and name not in own:
            yield Need(f"a container {name!r}", functools.partial(_have_container, name=name))
        if key.startswith(security_rules.SECCOMP_PREFIX) and name not in own:
            yield Need("", functools.partial(_leave_seccomp, name=name))


def _have_container(spec: Json, *, name: str) -> None:
    if name not in {container["name"] for container in spec["containers"]}:
        spec["containers"].append({"name": name, "image": IMAGE})


def _leave_seccomp(spec: Json, *, name: str) -> None:
    for container in spec["containers"]:
        if container["name"] == name:
            context = lenient.child(container, "securityContext")
            rest = {key: value for key, value in context.items() if key != "seccompProfile"}
            container["securityContext"] = rest


def _of_merge(containers: tuple[Json, ...]) -> Iterator[Need]:
    """A container that is merged into the pod's own may rely on what that one sets."""
    privileged = {
        container["name"]: {"image": IMAGE, "securityContext": {"privileged": True}}
        for container in containers
        if any(map(_is_bidirectional, lenient.objects(container, "volumeMounts")))
        and lenient.child(container, "securityContext").get("privileged") is not True
    }
    yield from _of_items("a privileged container", "containers", privileged)


def _is_bidirectional(mount: Json) -> bool:
    return mount.get("mountPropagation") == "Bidirectional"
