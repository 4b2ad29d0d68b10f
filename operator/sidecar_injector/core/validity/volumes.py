"""What the API server requires of volumes, and of the mounts and devices of a container.

https://github.com/kubernetes/kubernetes/blob/master/pkg/apis/core/validation/validation.go
(ValidateVolumes, ValidateVolumeMounts, validateMountPropagation, validateMountRecursiveReadOnly,
ValidateVolumeDevices)
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping

from sidecar_injector.core.pods import formats, lenient
from sidecar_injector.core.pods.lenient import Json
from sidecar_injector.core.validity import downward, projections, volume_claims, volume_sources

_OPTIONS = frozenset({"mountPropagation", "recursiveReadOnly", "subPath", "subPathExpr"})
_OPTION_RULES = (
    volume_sources.one_of("mountPropagation", ("None", "HostToContainer", "Bidirectional")),
    volume_sources.one_of("recursiveReadOnly", ("Disabled", "IfPossible", "Enabled")),
    volume_sources.descending("subPath"),
    volume_sources.descending("subPathExpr"),
)
_BLOCK_SOURCES = ("persistentVolumeClaim", "ephemeral")
_RULES: Mapping[str, tuple[volume_sources.Rule, ...]] = {
    **volume_sources.RULES,
    "downwardAPI": (volume_sources.mode("defaultMode"), downward.file_problems),
    "ephemeral": (volume_claims.problems,),
    "projected": (volume_sources.mode("defaultMode"), projections.problems),
}
"""Every kind of source, with its rules."""


def kinds(volume: Json) -> list[str]:
    """The kinds of source that a volume has; without any it is an `emptyDir`."""
    return [kind for kind, value in volume.items() if value is not None and kind in _RULES]


def problems(volume: Json) -> Iterator[str]:
    """Problems of one volume, which do not depend on the rest of the pod."""
    if not formats.DNS_LABEL.accepts(name := volume.get("name")):
        yield f"name {formats.DNS_LABEL.refusal(name)}"
    present = kinds(volume)
    if len(present) > 1:
        yield f"must have one source, and has {', '.join(sorted(present))}"
        return
    for kind in present:
        source = lenient.child(volume, kind)
        for rule in _RULES[kind]:
            yield from rule(source, kind)


def mount_problems(
    container: Json, volumes: Mapping[str, Json], *, host_users: bool
) -> Iterator[str]:
    """Problems of `volumeMounts` and `volumeDevices`.

    Two spellings of one mount path, such as `/a/` and `/a`, count as equal. The API server accepts
    both, but then the runtime mounts one volume over the other.
    """
    mounts = lenient.objects(container, "volumeMounts")
    devices = lenient.objects(container, "volumeDevices")
    paths: set[str] = set()
    for mount in mounts:
        name, path = mount.get("name"), mount.get("mountPath") or ""
        where = f"volumeMounts[{path}]"
        if name not in volumes:
            yield f"{where} mounts volume {formats.quoted(name)}, which is not there"
        if not path:
            yield f"volumeMounts: mountPath of volume {formats.quoted(name)} must not be empty"
        elif (cleaned := posixpath.normpath(path)) in paths:
            yield f"{where}: mountPath must be there only once"
        else:
            paths.add(cleaned)
        if not _OPTIONS.isdisjoint(mount):
            yield from _options(mount, container, where=where)
    if devices:
        yield from _devices(devices, mounts, volumes)
        if not host_users:
            yield "volumeDevices must not be there in a pod with hostUsers: false"


def _options(mount: Json, container: Json, *, where: str) -> Iterator[str]:
    for rule in _OPTION_RULES:
        yield from rule(mount, where)
    if mount.get("subPath") and mount.get("subPathExpr"):
        yield f"{where} must not have both subPath and subPathExpr"
    mode, recursive = mount.get("mountPropagation"), mount.get("recursiveReadOnly")
    is_privileged = lenient.child(container, "securityContext").get("privileged") is True
    if mode == "Bidirectional" and not is_privileged:
        yield f"{where}.mountPropagation: Bidirectional is for privileged containers"
    is_plain = mount.get("readOnly") is True and mode in (None, "None")
    if recursive in ("IfPossible", "Enabled") and not is_plain:
        yield f"{where}.recursiveReadOnly needs readOnly, and no mountPropagation"


def _devices(devices: list[Json], mounts: list[Json], volumes: Mapping[str, Json]) -> Iterator[str]:
    mounted = {mount.get("name") for mount in mounts}
    paths = {mount.get("mountPath") for mount in mounts}
    used: set[str] = set()
    for device in devices:
        name, path = str(device.get("name")), device.get("devicePath") or ""
        where = f"volumeDevices[{name}]"
        if name not in volumes:
            yield f"{where}: volume {formats.quoted(name)} is not there"
        elif not set(kinds(volumes[name])) & set(_BLOCK_SOURCES):
            yield f"{where}: the volume must be a {' or '.join(_BLOCK_SOURCES)}"
        if name in used or name in mounted:
            yield f"{where}: a volume must be used only once, as a device or mounted"
        if not path or formats.steps_back(path):
            yield f"{where}.devicePath {formats.quoted(path)} must not be empty nor contain '..'"
        elif path in paths:
            yield f"{where}.devicePath {formats.quoted(path)} must be there only once"
        used.add(name)
        paths.add(path)
