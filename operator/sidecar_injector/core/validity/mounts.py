"""What the API server requires of the mounts and devices of a container.

https://github.com/kubernetes/kubernetes/blob/master/pkg/apis/core/validation/validation.go
(ValidateVolumeMounts, ValidateVolumeDevices)
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping

from sidecar_injector.core.pods import formats, lenient
from sidecar_injector.core.pods.lenient import Json
from sidecar_injector.core.validity import volumes as volume_rules

_PROPAGATIONS = ("None", "HostToContainer", "Bidirectional")
_RECURSIVE = ("Disabled", "IfPossible", "Enabled")
_BLOCK_SOURCES = ("persistentVolumeClaim", "ephemeral")


def problems(container: Json, volumes: Mapping[str, Json], *, host_users: bool) -> Iterator[str]:
    """Problems of `volumeMounts` and `volumeDevices`.

    Two spellings of one mount path, such as `/a/` and `/a`, count as equal. The API server accepts
    both, but then the runtime mounts one volume over the other.
    """
    mounts = lenient.objects(container, "volumeMounts")
    devices = lenient.objects(container, "volumeDevices")
    if not mounts and not devices:
        return
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
        yield from _subpath(mount, where=where)
        yield from _propagation(mount, container, where=where)
    if devices:
        yield from _devices(devices, mounts, volumes)
        if not host_users:
            yield "volumeDevices must not be there in a pod with hostUsers: false"


def _subpath(mount: Json, *, where: str) -> Iterator[str]:
    both = {field: mount.get(field) for field in ("subPath", "subPathExpr") if mount.get(field)}
    if len(both) > 1:
        yield f"{where} must not have both subPath and subPathExpr"
    for field, path in both.items():
        if str(path).startswith("/") or formats.steps_back(path):
            yield f"{where}.{field} {formats.quoted(path)} must be relative and without '..'"


def _propagation(mount: Json, container: Json, *, where: str) -> Iterator[str]:
    mode = mount.get("mountPropagation") or _PROPAGATIONS[0]
    if mode not in _PROPAGATIONS:
        accepted = ", ".join(_PROPAGATIONS)
        yield f"{where}.mountPropagation {formats.quoted(mode)} must be one of {accepted}"
    privileged = lenient.child(container, "securityContext").get("privileged") is True
    if mode == "Bidirectional" and not privileged:
        yield f"{where}.mountPropagation: Bidirectional is for privileged containers"
    recursive = mount.get("recursiveReadOnly") or _RECURSIVE[0]
    if recursive not in _RECURSIVE:
        accepted = ", ".join(_RECURSIVE)
        yield f"{where}.recursiveReadOnly {formats.quoted(recursive)} must be one of {accepted}"
    is_plain = mount.get("readOnly") is True and mode == _PROPAGATIONS[0]
    if recursive != _RECURSIVE[0] and not is_plain:
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
        elif not set(volume_rules.kinds(volumes[name])) & set(_BLOCK_SOURCES):
            yield f"{where}: the volume must be a {' or '.join(_BLOCK_SOURCES)}"
        if name in used or name in mounted:
            yield f"{where}: a volume must be used only once, as a device or mounted"
        if not path or formats.steps_back(path):
            yield f"{where}.devicePath {formats.quoted(path)} must not be empty nor contain '..'"
        elif path in paths:
            yield f"{where}.devicePath {formats.quoted(path)} must be there only once"
        used.add(name)
        paths.add(path)
