"""What the enforced Pod Security level of a namespace forbids, as in the admission plugin.

The rules of every version are a copy in Python of
https://github.com/kubernetes/pod-security-admission/tree/master/policy
https://kubernetes.io/docs/concepts/security/pod-security-standards/
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from sidecar_injector import names
from sidecar_injector.core.pods import fields as pod_fields
from sidecar_injector.core.pods import formats, lenient
from sidecar_injector.core.pods.lenient import Json
from sidecar_injector.core.validity import container as container_rules
from sidecar_injector.core.validity import security as security_rules
from sidecar_injector.core.validity import volumes as volume_rules

PRIVILEGED, BASELINE, RESTRICTED = "privileged", "baseline", "restricted"

_BASELINE_CAPABILITIES = frozenset({
    "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD",
    "NET_BIND_SERVICE", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
})  # fmt: skip
_RESTRICTED_CAPABILITIES = frozenset({"NET_BIND_SERVICE"})
_SELINUX_TYPES = {"": 0, "container_t": 0, "container_init_t": 0, "container_kvm_t": 0,
                  "container_engine_t": 31}  # fmt: skip
_PROFILES = ("RuntimeDefault", "Localhost")
VOLUMES = frozenset({
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim",
    "projected", "secret",
})  # fmt: skip
_SYSCTLS = {
    "kernel.shm_rmid_forced": 0,
    "net.ipv4.ip_local_port_range": 0,
    "net.ipv4.ip_unprivileged_port_start": 0,
    "net.ipv4.ping_group_range": 0,
    "net.ipv4.tcp_syncookies": 0,
    "net.ipv4.ip_local_reserved_ports": 27,
    "net.ipv4.tcp_fin_timeout": 29,
    "net.ipv4.tcp_keepalive_intvl": 29,
    "net.ipv4.tcp_keepalive_probes": 29,
    "net.ipv4.tcp_keepalive_time": 29,
    "net.ipv4.tcp_rmem": 32,
    "net.ipv4.tcp_wmem": 32,
    "net.ipv4.tcp_notsent_lowat": 37,
    "net.ipv4.tcp_slow_start_after_idle": 37,
}
"""What is allowed, with the minor version since which it is."""
_PRIVILEGE_ESCALATION = 8
_SECCOMP_FIELDS = 19
_CAPABILITIES = 22
_RUN_AS_USER = 23
_WINDOWS = 25
_HOSTS = 34
_USER_NAMESPACES = 35
"""The minor versions in which rules came or changed."""
_HOST_NAMESPACES = ("hostNetwork", "hostPID", "hostIPC")


NEWEST = 37
"""The minor version of the newest rules; 1.37 and what is newer have the same."""
_VERSION = re.compile(r"v1\.(0|[1-9][0-9]{0,4})")


class Policy(NamedTuple):
    """A level with the minor version of its rules.

    An unknown level counts as `restricted` and an unknown version as the newest, as in the
    admission plugin.
    """

    level: str = PRIVILEGED
    minor: int = NEWEST

    @property
    def is_restricted(self) -> bool:
        """Whether the rules of `restricted` apply besides those of `baseline`."""
        return self.level not in (PRIVILEGED, BASELINE)

    @classmethod
    def of(cls, labels: Mapping[str, str], *, newest: int = NEWEST) -> Policy:
        """What the labels of a namespace enforce in a cluster of the minor version `newest`."""
        newest = min(newest, NEWEST)
        match = _VERSION.fullmatch(labels.get(names.POD_SECURITY_VERSION_LABEL, ""))
        minor = min(int(match[1]), newest) if match else newest
        return cls(labels.get(names.POD_SECURITY_ENFORCE_LABEL, PRIVILEGED), minor)

    def relaxes(self, spec: Mapping[str, Any]) -> bool:
        """Whether more is allowed in this pod: root in a user namespace is none on the host."""
        return self.minor >= _USER_NAMESPACES and spec.get("hostUsers") is False


def violations(policy: Policy, pod: Mapping[str, Any]) -> list[str]:
    """Short sentences, each about one container, volume or field; none for `privileged`.

    The plugin has one sentence for each rule, with a list of containers. Here each container has
    its own sentence, with the values that break the rule and without its position. So the new
    sentences of a changed pod are what the change broke: in another container, or by another value
    in the same container.
    """
    if policy.level == PRIVILEGED:
        return []
    violations = list(_pod(pod, policy))
    for container in pod_fields.containers(pod):
        sentences = _container(container, pod, policy)
        violations += (f"container {container['name']!r} {text}" for text in sentences)
    return violations


def _pod(pod: Mapping[str, Any], policy: Policy) -> Iterator[str]:
    spec = pod.get("spec") or {}
    yield from (f"{field}=true" for field in _HOST_NAMESPACES if spec.get(field) is True)
    for volume in pod_fields.items(pod, "volumes"):
        kinds = volume_rules.kinds(volume)
        is_other = kinds and not VOLUMES.intersection(kinds)
        if "hostPath" in kinds or (policy.is_restricted and is_other):
            yield f"volume {volume['name']!r} uses {', '.join(kinds)}"
    context = lenient.child(spec, "securityContext")
    for sysctl in lenient.objects(context, "sysctls"):
        if not _is_allowed(name := str(sysctl.get("name")), _SYSCTLS, policy):
            yield f"sysctl {name!r} is set"
    yield from (f"pod {text}" for text in _either(context, policy, spec))
    yield from _annotations(pod, policy)


def _is_allowed(value: str, since: Mapping[str, int], policy: Policy) -> bool:
    return since.get(value, NEWEST + 1) <= policy.minor


def _annotations(pod: Mapping[str, Any], policy: Policy) -> Iterator[str]:
    """Annotations of AppArmor; those of seccomp are not read since there are fields for it."""
    seccomp_keys = set(_seccomp_keys(pod)) if policy.minor < _SECCOMP_FIELDS else ()
    for key, value in pod_fields.metadata_map(pod, "annotations").items():
        is_seccomp = key in seccomp_keys
        if not is_seccomp and not (key.startswith(security_rules.APP_ARMOR_PREFIX) and value):
            continue
        defaults = ("runtime/default", "docker/default")[: 1 + is_seccomp]
        if value not in defaults and not value.startswith("localhost/"):
            yield f"annotation {key!r} is {formats.quoted(value)}"


def _seccomp_keys(pod: Mapping[str, Any]) -> Iterator[str]:
    yield security_rules.SECCOMP_POD
    for container in pod_fields.containers(pod):
        yield security_rules.SECCOMP_PREFIX + container["name"]


def _either(context: Json, policy: Policy, spec: Mapping[str, Any]) -> Iterator[str]:
    """Rules for the security context of the pod and of each container; an empty one breaks none."""
    if not context:
        return
    for field, since in (("appArmorProfile", 0), ("seccompProfile", _SECCOMP_FIELDS)):
        kind = lenient.child(context, field).get("type")
        if policy.minor >= since and context.get(field) is not None and kind not in _PROFILES:
            yield f"sets securityContext.{field}.type to {kind}"
    options = lenient.child(context, "seLinuxOptions")
    if not _is_allowed(kind := str(options.get("type") or ""), _SELINUX_TYPES, policy):
        yield f"sets securityContext.seLinuxOptions.type to {formats.quoted(kind)}"
    for field in ("user", "role"):
        if options.get(field):
            yield f"sets securityContext.seLinuxOptions.{field}"
    if lenient.child(context, "windowsOptions").get("hostProcess") is True:
        yield "sets securityContext.windowsOptions.hostProcess=true"
    if policy.is_restricted and not policy.relaxes(spec):
        if context.get("runAsNonRoot") is False:
            yield "sets securityContext.runAsNonRoot=false"
        is_root = context.get("runAsUser") == 0 and context.get("runAsUser") is not False
        if is_root and policy.minor >= _RUN_AS_USER:
            yield "sets securityContext.runAsUser=0"


def _container(container: Json, pod: Mapping[str, Any], policy: Policy) -> Iterator[str]:
    spec = pod.get("spec") or {}
    context = lenient.child(container, "securityContext")
    if context.get("privileged") is True:
        yield "sets securityContext.privileged=true"
    yield from _either(context, policy, spec)
    mount = context.get("procMount") or "Default"
    if mount != "Default" and (policy.is_restricted or not policy.relaxes(spec)):
        yield f"sets securityContext.procMount to {formats.quoted(mount)}"
    is_windows = lenient.child(spec, "os").get("name") == security_rules.WINDOWS
    is_exempt = is_windows and policy.minor >= _WINDOWS
    drops_all = policy.is_restricted and policy.minor >= _CAPABILITIES and not is_exempt
    allowed = _RESTRICTED_CAPABILITIES if drops_all else _BASELINE_CAPABILITIES
    for capability in lenient.items(lenient.child(context, "capabilities"), "add"):
        if str(capability) not in allowed:
            yield f"adds {formats.quoted(capability)} to securityContext.capabilities"
    on_host = spec.get("hostNetwork") is True
    for port in lenient.objects(container, "ports"):
        # On the host network the API server sets the host ports that are missing.
        if host := port.get("hostPort") or (port.get("containerPort") if on_host else 0):
            yield f"uses hostPort {host}"
    if policy.minor >= _HOSTS:
        yield from _hosts(container)
    if policy.is_restricted:
        yield from _must_set(context, spec, policy, is_exempt=is_exempt)


def _hosts(container: Json) -> Iterator[str]:
    """Probes and lifecycle handlers that call a host outside of the pod."""
    lifecycle = lenient.child(container, "lifecycle")
    handlers = [lenient.child(container, field) for field in container_rules.PROBES]
    handlers += [lenient.child(lifecycle, moment) for moment in ("postStart", "preStop")]
    for handler in handlers:
        for kind in ("httpGet", "tcpSocket"):
            if host := lenient.child(handler, kind).get("host"):
                yield f"uses host {formats.quoted(host)} in a probe or lifecycle handler"


def _must_set(
    context: Json, spec: Mapping[str, Any], policy: Policy, *, is_exempt: bool
) -> Iterator[str]:
    """Fields that the level `restricted` requires of the container or of the pod."""
    pod_context = lenient.child(spec, "securityContext")
    is_unset = context.get("runAsNonRoot") is None and pod_context.get("runAsNonRoot") is not True
    if not policy.relaxes(spec) and is_unset:
        yield "must set securityContext.runAsNonRoot=true (or the pod must)"
    if is_exempt:
        return
    may_escalate = context.get("allowPrivilegeEscalation") is not False
    if may_escalate and policy.minor >= _PRIVILEGE_ESCALATION:
        yield "must set securityContext.allowPrivilegeEscalation=false"
    drops = lenient.items(lenient.child(context, "capabilities"), "drop")
    if "ALL" not in drops and policy.minor >= _CAPABILITIES:
        yield 'must set securityContext.capabilities.drop=["ALL"]'
    inherited = lenient.child(pod_context, "seccompProfile").get("type")
    has_profile = context.get("seccompProfile") is not None or inherited in _PROFILES
    if not has_profile and policy.minor >= _SECCOMP_FIELDS:
        yield (
            "must set securityContext.seccompProfile.type to RuntimeDefault or Localhost"
            " (or the pod must)"
        )
