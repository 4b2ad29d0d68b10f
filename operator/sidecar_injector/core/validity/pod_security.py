"""What the enforced Pod Security level of a namespace forbids, as in the admission plugin.

The rules are those of the newest version, a copy in Python of
https://github.com/kubernetes/pod-security-admission/tree/master/policy
https://kubernetes.io/docs/concepts/security/pod-security-standards/
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sidecar_injector.core.pods import fields as pod_fields
from sidecar_injector.core.pods import formats, lenient
from sidecar_injector.core.pods.lenient import Json
from sidecar_injector.core.validity import container as container_rules
from sidecar_injector.core.validity import security as security_rules
from sidecar_injector.core.validity import volumes as volume_rules

PRIVILEGED, BASELINE = "privileged", "baseline"

_BASELINE_CAPABILITIES = frozenset({
    "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD",
    "NET_BIND_SERVICE", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
})  # fmt: skip
_RESTRICTED_CAPABILITIES = frozenset({"NET_BIND_SERVICE"})
_SELINUX_TYPES = ("", "container_t", "container_init_t", "container_kvm_t", "container_engine_t")
_PROFILES = ("RuntimeDefault", "Localhost")
_VOLUMES = frozenset({
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim",
    "projected", "secret",
})  # fmt: skip
_SYSCTLS = frozenset(
    {
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.ping_group_range",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_notsent_lowat",
        "net.ipv4.tcp_rmem",
        "net.ipv4.tcp_slow_start_after_idle",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.tcp_wmem",
    }
)
_HOST_NAMESPACES = ("hostNetwork", "hostPID", "hostIPC")


def violations(level: str, pod: Mapping[str, Any]) -> list[str]:
    """Short sentences, each about one container, volume or field; none for `privileged`.

    An unknown level counts as `restricted`, as in the admission plugin. The plugin has one sentence
    for each rule, with a list of containers. Here each container has its own sentence, with the
    values that break the rule and without its position. So the new sentences of a changed pod are
    what the change broke: in another container, or by another value in the same container.
    """
    if level == PRIVILEGED:
        return []
    restricted = level != BASELINE
    violations = list(_pod(pod, restricted=restricted))
    for container in pod_fields.containers(pod):
        sentences = _container(container, pod, restricted=restricted)
        violations += (f"container {container['name']!r} {text}" for text in sentences)
    return violations


def _pod(pod: Mapping[str, Any], *, restricted: bool) -> Iterator[str]:
    spec = pod.get("spec") or {}
    yield from (f"{field}=true" for field in _HOST_NAMESPACES if spec.get(field) is True)
    for volume in pod_fields.items(pod, "volumes"):
        kinds = volume_rules.kinds(volume)
        if "hostPath" in kinds or (restricted and kinds and not _VOLUMES.intersection(kinds)):
            yield f"volume {volume['name']!r} uses {', '.join(kinds)}"
    context = lenient.child(spec, "securityContext")
    for sysctl in lenient.objects(context, "sysctls"):
        if (name := str(sysctl.get("name"))) not in _SYSCTLS:
            yield f"sysctl {name!r} is set"
    yield from (f"pod {text}" for text in _either(context, restricted=restricted, spec=spec))
    yield from _annotations(pod)


def _annotations(pod: Mapping[str, Any]) -> Iterator[str]:
    """Annotations of AppArmor; Kubernetes has not read those of seccomp since version 1.19."""
    for key, value in pod_fields.metadata_map(pod, "annotations").items():
        is_set = key.startswith(security_rules.APP_ARMOR_PREFIX) and value
        if is_set and value != "runtime/default" and not value.startswith("localhost/"):
            yield f"annotation {key!r} is {formats.quoted(value)}"


def _either(context: Json, *, restricted: bool, spec: Mapping[str, Any]) -> Iterator[str]:
    """Rules for the security context of the pod and of each container."""
    for field in ("appArmorProfile", "seccompProfile"):
        kind = lenient.child(context, field).get("type")
        if context.get(field) is not None and kind not in _PROFILES:
            yield f"sets securityContext.{field}.type to {kind}"
    options = lenient.child(context, "seLinuxOptions")
    if (kind := options.get("type") or "") not in _SELINUX_TYPES:
        yield f"sets securityContext.seLinuxOptions.type to {formats.quoted(kind)}"
    for field in ("user", "role"):
        if options.get(field):
            yield f"sets securityContext.seLinuxOptions.{field}"
    if lenient.child(context, "windowsOptions").get("hostProcess") is True:
        yield "sets securityContext.windowsOptions.hostProcess=true"
    # Root in a user namespace has no rights on the host.
    if restricted and spec.get("hostUsers") is not False:
        if context.get("runAsNonRoot") is False:
            yield "sets securityContext.runAsNonRoot=false"
        if context.get("runAsUser") == 0 and context.get("runAsUser") is not False:
            yield "sets securityContext.runAsUser=0"


def _container(container: Json, pod: Mapping[str, Any], *, restricted: bool) -> Iterator[str]:
    spec = pod.get("spec") or {}
    context = lenient.child(container, "securityContext")
    if context.get("privileged") is True:
        yield "sets securityContext.privileged=true"
    yield from _either(context, restricted=restricted, spec=spec)
    mount = context.get("procMount") or "Default"
    if mount != "Default" and (restricted or spec.get("hostUsers") is not False):
        yield f"sets securityContext.procMount to {formats.quoted(mount)}"
    is_windows = lenient.child(spec, "os").get("name") == security_rules.WINDOWS
    allowed = _BASELINE_CAPABILITIES
    if restricted and not is_windows:
        allowed = _RESTRICTED_CAPABILITIES
    for capability in lenient.items(lenient.child(context, "capabilities"), "add"):
        if str(capability) not in allowed:
            yield f"adds {formats.quoted(capability)} to securityContext.capabilities"
    on_host = spec.get("hostNetwork") is True
    for port in lenient.objects(container, "ports"):
        # On the host network the API server sets the host ports that are missing.
        if host := port.get("hostPort") or (port.get("containerPort") if on_host else 0):
            yield f"uses hostPort {host}"
    yield from _hosts(container)
    if restricted:
        yield from _must_set(context, spec, is_windows=is_windows)


def _hosts(container: Json) -> Iterator[str]:
    """Probes and lifecycle handlers that call a host outside of the pod."""
    lifecycle = lenient.child(container, "lifecycle")
    handlers = [lenient.child(container, field) for field in container_rules.PROBES]
    handlers += [lenient.child(lifecycle, moment) for moment in ("postStart", "preStop")]
    for handler in handlers:
        for kind in ("httpGet", "tcpSocket"):
            if host := lenient.child(handler, kind).get("host"):
                yield f"uses host {formats.quoted(host)} in a probe or lifecycle handler"


def _must_set(context: Json, spec: Mapping[str, Any], *, is_windows: bool) -> Iterator[str]:
    """Fields that the level `restricted` requires of the container or of the pod."""
    pod_context = lenient.child(spec, "securityContext")
    is_unset = context.get("runAsNonRoot") is None and pod_context.get("runAsNonRoot") is not True
    if spec.get("hostUsers") is not False and is_unset:
        yield "must set securityContext.runAsNonRoot=true (or the pod must)"
    if is_windows:
        return
    if context.get("allowPrivilegeEscalation") is not False:
        yield "must set securityContext.allowPrivilegeEscalation=false"
    if "ALL" not in lenient.items(lenient.child(context, "capabilities"), "drop"):
        yield 'must set securityContext.capabilities.drop=["ALL"]'
    inherited = lenient.child(pod_context, "seccompProfile").get("type")
    if context.get("seccompProfile") is None and inherited not in _PROFILES:
        yield (
            "must set securityContext.seccompProfile.type to RuntimeDefault or Localhost"
            " (or the pod must)"
        )
