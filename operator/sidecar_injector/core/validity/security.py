"""What the API server requires of security contexts, and which fields each system may set.

https://github.com/kubernetes/kubernetes/blob/master/pkg/apis/core/validation/validation.go
(ValidateSecurityContext, ValidateProcMountType, validateWindowsSecurityContextOptions,
validateSeccompProfileField, ValidateAppArmorProfileField, validateWindows, validateLinux,
validateWindowsHostProcessPod, validateHostUsers, validateShareProcessNamespace, ValidateHostSysctl,
validateSeccompProfileType, ValidateSeccompPodAnnotations, ValidateSeccompProfile,
validateSeccompAnnotationsAndFields, validateSeccompAnnotationsAndFieldsMatch,
ValidateAppArmorPodAnnotations, ValidateAppArmorProfileFormat,
validateAppArmorAnnotationsAndFieldsMatchOnCreate)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from sidecar_injector.core.pods import fields as pod_fields
from sidecar_injector.core.pods import formats, lenient
from sidecar_injector.core.pods.lenient import Json

LINUX, WINDOWS = "linux", "windows"
APP_ARMOR_PREFIX = "container.apparmor.security.beta.kubernetes.io/"
SECCOMP_PREFIX = "container.seccomp.security.alpha.kubernetes.io/"
SECCOMP_POD = "seccomp.security.alpha.kubernetes.io/pod"
"""Annotations that are older than the fields: values and fields must agree.
https://kubernetes.io/docs/reference/labels-annotations-taints/
"""
_LINUX_ONLY = (
    "allowPrivilegeEscalation",
    "appArmorProfile",
    "capabilities",
    "privileged",
    "procMount",
    "readOnlyRootFilesystem",
    "runAsGroup",
    "runAsUser",
    "seLinuxOptions",
    "seccompProfile",
)
_PROFILES = ("Localhost", "RuntimeDefault", "Unconfined")
_LOCALHOST = "Localhost"
_HIGHEST_ID = 2**31 - 1
_LONGEST_CREDENTIALS = 64 * 1024
_WINDOWS_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
_WINDOWS_DOMAIN = re.compile(
    rf"""[^\\/:*?"<>|.][^\\/:*?"<>|]{{0,14}}|{_WINDOWS_LABEL}(?:\.{_WINDOWS_LABEL})*"""
)
"""A name of NetBIOS or of DNS."""
_OLD_SECCOMP = {
    "Unconfined": ("unconfined",),
    "RuntimeDefault": ("runtime/default", "docker/default"),
}
_OLD_APP_ARMOR = {"Unconfined": ("unconfined",), "RuntimeDefault": ("runtime/default",)}


def problems(context: Json, *, os: str, host_users: bool) -> Iterator[str]:
    """Problems of one container's context.

    `privileged` itself is not checked: a flag of the API server decides whether it is allowed.
    """
    yield from _privileges(context)
    mount = context.get("procMount")
    if mount not in (None, "Default", "Unmasked"):
        yield f"securityContext.procMount {formats.quoted(mount)} must be Default or Unmasked"
    elif mount == "Unmasked" and host_users:
        yield "securityContext.procMount: Unmasked needs the pod to set hostUsers: false"
    for field in ("seccompProfile", "appArmorProfile"):
        if context.get(field) is not None:
            yield from _profile(lenient.child(context, field), field=field)
    for field, accepts, expected in _WINDOWS_TEXTS:
        text = lenient.child(context, "windowsOptions").get(field)
        if text is not None and not accepts(str(text)):
            where = f"securityContext.windowsOptions.{field}"
            yield f"{where} {formats.quoted(text)} must be {expected}"
    yield from _foreign(context, os=os)


def _privileges(context: Json) -> Iterator[str]:
    if context.get("allowPrivilegeEscalation") is False:
        if context.get("privileged") is True:
            yield "securityContext: privileged needs allowPrivilegeEscalation"
        # The API server refuses only the spelling with CAP_; runtimes use the one without.
        if "CAP_SYS_ADMIN" in lenient.items(lenient.child(context, "capabilities"), "add"):
            yield "securityContext: CAP_SYS_ADMIN needs allowPrivilegeEscalation"
    for field in ("runAsUser", "runAsGroup"):
        value = context.get(field)
        if value is not None and not lenient.is_integer(value, least=0, most=_HIGHEST_ID):
            yield f"securityContext.{field} {value} must be from 0 to {_HIGHEST_ID}"


def _profile(profile: Json, *, field: str) -> Iterator[str]:
    where, kind = f"securityContext.{field}", profile.get("type")
    yield from formats.one_of(kind, _PROFILES, where=f"{where}.type")
    name = profile.get("localhostProfile")
    if (kind == _LOCALHOST) != (name is not None):
        yield f"{where}.localhostProfile must be there if type is Localhost, and only then"
    elif name is not None and (
        _is_no_path(name) if field == "seccompProfile" else _is_padded(name)
    ):
        yield f"{where}.localhostProfile {formats.quoted(name)} is no name of a profile"


def _is_no_path(name: object) -> bool:
    return str(name).startswith("/") or formats.steps_back(name)


def _is_padded(name: object) -> bool:
    return not str(name) or str(name) != str(name).strip() or len(str(name)) > 4095


def _is_windows_user(text: str) -> bool:
    """Whether it is a user of Windows, behind a domain and a backslash or alone.

    https://kubernetes.io/docs/tasks/configure-pod-container/configure-runasusername/
    """
    domain, backslash, user = text.rpartition("\\")
    return (
        not any(map(_is_control, text))
        and (not backslash or (len(domain) < 256 and _WINDOWS_DOMAIN.fullmatch(domain) is not None))
        and 0 < len(user) <= 104
        and bool(user.strip(". "))
        and not set('"/\\:;|=,+*?<>@[]').intersection(user)
    )


def _is_control(character: str) -> bool:
    return character < " " or character == "\x7f"


_WINDOWS_TEXTS: tuple[tuple[str, Callable[[str], bool], str], ...] = (
    ("runAsUserName", _is_windows_user, "a user such as name or DOMAIN\\name"),
    (
        "gmsaCredentialSpec",
        lambda text: 0 < len(text.encode("utf-8", "surrogatepass")) <= _LONGEST_CREDENTIALS,
        f"from 1 to {_LONGEST_CREDENTIALS} bytes",
    ),
    (
        "gmsaCredentialSpecName",
        formats.DNS_SUBDOMAIN.accepts,
        formats.DNS_SUBDOMAIN.description,
    ),
)
"""Texts for Windows, each with what accepts it and the end of its sentence."""


def _foreign(context: Json, *, os: str) -> Iterator[str]:
    if os == LINUX and context.get("windowsOptions") is not None:
        yield "securityContext.windowsOptions must not be set in a pod with os.name linux"
    if os == WINDOWS:
        for field in _LINUX_ONLY:
            if context.get(field) is not None:
                yield f"securityContext.{field} must not be set in a pod with os.name windows"


def pod_problems(pod: Mapping[str, Any]) -> Iterator[str]:
    """Problems of the pod's own fields about host namespaces and about its operating system."""
    spec = pod.get("spec") or {}
    if spec.get("shareProcessNamespace") is True and spec.get("hostPID") is True:
        yield "shareProcessNamespace and hostPID must not both be true"
    if spec.get("hostUsers") is False:
        for field in ("hostNetwork", "hostPID", "hostIPC"):
            if spec.get(field) is True:
                yield f"{field} must not be true where hostUsers is false"
    if lenient.child(spec, "os").get("name") == WINDOWS:
        for field in ("shareProcessNamespace", "hostUsers", "resources"):
            if spec.get(field) is not None:
                yield f"{field} must not be set in a pod with os.name windows"
        for field in ("hostPID", "hostIPC"):
            if spec.get(field) is True:
                yield f"{field} must not be set in a pod with os.name windows"
    if spec.get("hostNetwork") is True:
        yield from _on_host_network(spec)
    yield from _host_process(pod)


def _on_host_network(spec: Mapping[str, Any]) -> Iterator[str]:
    if spec.get("hostnameOverride") is not None:
        yield "hostNetwork must not be true where hostnameOverride is set"
    for sysctl in lenient.objects(spec.get("securityContext"), "sysctls"):
        if str(sysctl.get("name")).replace("/", ".").startswith("net."):
            yield f"hostNetwork must not be true where sysctl {sysctl['name']!r} is set"


def _host_process(pod: Mapping[str, Any]) -> Iterator[str]:
    """Problems where only some containers of a pod are host processes of Windows.

    https://kubernetes.io/docs/tasks/configure-pod-container/create-hostprocess-pod/
    """
    spec, containers = pod.get("spec") or {}, pod_fields.containers(pod)
    if not any(map(_is_host_process, (spec, *containers))):
        return
    of_pod = _is_host_process(spec)
    by_container = {container["name"]: _is_host_process(container) for container in containers}
    if not of_pod and not any(by_container.values()):
        return
    for name, is_host_process in by_container.items():
        if is_host_process is False or (is_host_process is None and not of_pod):
            yield f"container {name!r} must be a host process (windowsOptions) like the others"
    if spec.get("hostNetwork") is not True:
        yield "host processes (windowsOptions) need hostNetwork"


def _is_host_process(part: Mapping[str, Any]) -> bool | None:
    context = part.get("securityContext")
    if not context:
        return None
    value = lenient.child(context, "windowsOptions").get("hostProcess")
    return value if isinstance(value, bool) else None


def annotation_problems(pod: Mapping[str, Any]) -> Iterator[str]:
    """Problems of the annotations that are older than the fields of security contexts."""
    annotations = pod_fields.metadata_map(pod, "annotations")
    keys = [key for key in annotations if key.startswith((APP_ARMOR_PREFIX, SECCOMP_PREFIX))]
    if SECCOMP_POD in annotations:
        keys.append(SECCOMP_POD)
    if not keys:
        return
    context = lenient.child(pod.get("spec"), "securityContext")
    containers = {container["name"]: container for container in pod_fields.containers(pod)}
    for key in keys:
        value, name = annotations[key], key.partition("/")[2]
        subject = (
            context
            if key == SECCOMP_POD
            else lenient.child(containers.get(name), "securityContext")
        )
        if key.startswith(APP_ARMOR_PREFIX):
            if name not in containers:
                yield f"annotation {key!r}: there is no container {name!r}"
            profile = lenient.child(subject, "appArmorProfile") or lenient.child(
                context, "appArmorProfile"
            )
            is_valid = not value or value in ("runtime/default", "unconfined")
            is_valid |= value.startswith("localhost/")
            agrees = _agrees(value, profile, _OLD_APP_ARMOR)
        else:
            profile = lenient.child(subject, "seccompProfile")
            is_standard = value in ("runtime/default", "docker/default", "unconfined")
            is_valid = is_standard or _is_local(value)
            agrees = _agrees(value, profile, _OLD_SECCOMP)
        if not is_valid:
            yield f"annotation {key!r} {formats.quoted(value)} must be a profile"
        elif not agrees:
            yield f"annotation {key!r} must agree with the field of the security context"


def _is_local(value: str) -> bool:
    return value.startswith("localhost/") and not _is_no_path(value.removeprefix("localhost/"))


def _agrees(value: str, profile: Json, old_names: Mapping[str, tuple[str, ...]]) -> bool:
    kind = profile.get("type")
    if kind == _LOCALHOST:
        return value == f"localhost/{profile.get('localhostProfile')}"
    return value in old_names.get(str(kind), (value,))
