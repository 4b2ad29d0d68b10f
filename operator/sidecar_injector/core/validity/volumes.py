"""What the API server requires of volumes, and of the mounts and devices of a container.

https://github.com/kubernetes/kubernetes/blob/master/pkg/apis/core/validation/validation.go
(ValidateVolumes, ValidateVolumeMounts, ValidateVolumeDevices). For storage systems that Kubernetes
no longer supports, only the required members are checked; the API server checks the rest.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator, Mapping

from sidecar_injector.core.pods import formats, lenient, quantity, selectors
from sidecar_injector.core.pods.lenient import Json

_NEEDS: Mapping[str, tuple[str, ...]] = {
    "awsElasticBlockStore": ("volumeID",),
    "azureDisk": ("diskName", "diskURI"),
    "azureFile": ("secretName", "shareName"),
    "cephfs": ("monitors",),
    "cinder": ("volumeID",),
    "configMap": ("name",),
    "csi": ("driver",),
    "downwardAPI": (),
    "emptyDir": (),
    "ephemeral": ("volumeClaimTemplate",),
    "fc": (),
    "flexVolume": ("driver",),
    "flocker": (),
    "gcePersistentDisk": ("pdName",),
    "gitRepo": ("repository",),
    "glusterfs": ("endpoints", "path"),
    "hostPath": ("path",),
    "image": ("reference",),
    "iscsi": ("targetPortal", "iqn"),
    "nfs": ("server", "path"),
    "persistentVolumeClaim": ("claimName",),
    "photonPersistentDisk": ("pdID",),
    "portworxVolume": ("volumeID",),
    "projected": (),
    "quobyte": ("registry", "volume"),
    "rbd": ("monitors", "image"),
    "scaleIO": ("gateway", "system", "volumeName"),
    "secret": ("secretName",),
    "storageos": ("volumeName",),
    "vsphereVolume": ("volumePath",),
}
"""Every kind of source, with the members that must not be absent or empty."""
_HOST_PATH_TYPES = (
    "", "DirectoryOrCreate", "Directory", "FileOrCreate", "File", "Socket", "CharDevice",
    "BlockDevice",
)  # fmt: skip
_ACCESS_MODES = ("ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod")
PULL_POLICIES = ("Always", "IfNotPresent", "Never")
_FILE_FIELDS = ("metadata.name", "metadata.namespace", "metadata.uid", "metadata.labels",
                "metadata.annotations")  # fmt: skip
_PROJECTIONS = ("secret", "configMap", "downwardAPI", "serviceAccountToken", "clusterTrustBundle",
                "podCertificate")  # fmt: skip
_PROPAGATIONS = ("None", "HostToContainer", "Bidirectional")
_RECURSIVE = ("Disabled", "IfPossible", "Enabled")
_BLOCK_SOURCES = ("persistentVolumeClaim", "ephemeral")
_HIGHEST_MODE = 0o777
_TOKEN_SECONDS = (600, 2**32)


def kinds(volume: Json) -> list[str]:
    """The kinds of source that a volume has; without any it is an `emptyDir`."""
    return [kind for kind, value in volume.items() if value is not None and kind in _NEEDS]


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
        for member in _NEEDS[kind]:
            if not source.get(member):
                yield f"{kind}.{member} must not be empty"
        yield from _mode(source, "defaultMode", where=kind)
        if check := _CHECKS.get(kind):
            yield from check(source)


def _mode(parent: Json, field: str, *, where: str, highest: int = _HIGHEST_MODE) -> Iterator[str]:
    value = parent.get(field)
    if value is not None and not lenient.is_integer(value, least=0, most=highest):
        yield f"{where}.{field} {value} must be from 0 to 0{highest:o} (octal)"


def _empty_dir(source: Json) -> Iterator[str]:
    yield from _mode(source, "mode", where="emptyDir", highest=0o1777)
    limit = source.get("sizeLimit")
    if limit is not None and ((amount := quantity.parse(limit)) is None or amount < 0):
        yield f"emptyDir.sizeLimit {formats.quoted(limit)} must be a quantity such as 1Gi"


def _host_path(source: Json) -> Iterator[str]:
    if formats.steps_back(path := source.get("path")):
        yield f"hostPath.path {formats.quoted(path)} must not contain '..'"
    if (kind := source.get("type") or "") not in _HOST_PATH_TYPES:
        accepted = ", ".join(_HOST_PATH_TYPES[1:])
        yield f"hostPath.type {formats.quoted(kind)} must be empty or one of {accepted}"


def _nfs(source: Json) -> Iterator[str]:
    if not str(path := source.get("path")).startswith("/"):
        yield f"nfs.path {formats.quoted(path)} must be absolute"


def _csi(source: Json) -> Iterator[str]:
    driver = str(source.get("driver") or "")
    if driver and (len(driver) > 63 or not formats.DNS_SUBDOMAIN.accepts(driver.lower())):
        yield f"csi.driver {formats.quoted(driver)} must be a DNS name of at most 63"


def _image(source: Json) -> Iterator[str]:
    if policy := source.get("pullPolicy"):
        yield from formats.one_of(policy, PULL_POLICIES, where="image.pullPolicy")


def _ephemeral(source: Json) -> Iterator[str]:
    where = "ephemeral.volumeClaimTemplate.spec"
    spec = lenient.child(lenient.child(source, "volumeClaimTemplate"), "spec")
    modes = lenient.strings(spec, "accessModes")
    if not modes or not set(modes) <= set(_ACCESS_MODES):
        yield f"{where}.accessModes must be of {', '.join(_ACCESS_MODES)}"
    elif "ReadWriteOncePod" in modes and len(set(modes)) > 1:
        yield f"{where}.accessModes must not have others beside ReadWriteOncePod"
    storage = lenient.child(lenient.child(spec, "resources"), "requests").get("storage")
    amount = quantity.parse(storage)
    if amount is None or amount <= 0:
        yield f"{where}.resources.requests[storage] {storage} must be greater than 0"


def _keys(source: Json, *, where: str) -> Iterator[str]:
    """Problems of the items of a ConfigMap or a Secret, as files."""
    for item in lenient.objects(source, "items"):
        if not item.get("key"):
            yield f"{where}.items: key must not be empty"
        yield from _file(item, "path", where=f"{where}.items")
        yield from _mode(item, "mode", where=f"{where}.items")


def _file(parent: Json, field: str, *, where: str) -> Iterator[str]:
    """Problems of a path below the root of the volume."""
    path = parent.get(field)
    if not path:
        yield f"{where}: {field} must not be empty"
    elif not isinstance(path, str) or path.startswith(("/", "..")) or formats.steps_back(path):
        yield f"{where}: {field} {formats.quoted(path)} must be relative and without '..'"


def _downward(source: Json, *, where: str = "downwardAPI") -> Iterator[str]:
    for item in lenient.objects(source, "items"):
        yield from _file(item, "path", where=f"{where}.items")
        yield from _mode(item, "mode", where=f"{where}.items")
        field, resource = item.get("fieldRef"), item.get("resourceFieldRef")
        if (field is None) == (resource is None):
            yield f"{where}.items must have one of fieldRef and resourceFieldRef"
        elif field is not None:
            yield from field_reference(field, allowed=_FILE_FIELDS, where=f"{where}.items")
        elif not lenient.child(item, "resourceFieldRef").get("containerName"):
            yield f"{where}.items: resourceFieldRef.containerName must not be empty"


def field_reference(reference: object, *, allowed: tuple[str, ...], where: str) -> Iterator[str]:
    """Problems of a field of the pod that a file or a variable contains.

    https://kubernetes.io/docs/concepts/workloads/pods/downward-api/
    """
    path = reference.get("fieldPath") if isinstance(reference, dict) else None
    if path in allowed:
        return
    for kind in ("labels", "annotations"):
        prefix, suffix = f"metadata.{kind}['", "']"
        if isinstance(path, str) and path.startswith(prefix) and path.endswith(suffix):
            key = path[len(prefix) : -len(suffix)]
            if selectors.is_qualified_name(key.lower() if kind == "annotations" else key):
                return
    yield (
        f"{where}: fieldPath {formats.quoted(path)} must be one of {', '.join(allowed)},"
        " metadata.labels['KEY'] or metadata.annotations['KEY']"
    )


def _projected(source: Json) -> Iterator[str]:
    paths: set[str] = set()
    for part in lenient.objects(source, "sources"):
        present = [kind for kind in _PROJECTIONS if part.get(kind) is not None]
        if len(present) > 1:
            yield f"projected.sources: one must be of one kind, and is {' and '.join(present)}"
        for kind in present:
            yield from _projection(kind, lenient.child(part, kind), paths)


def _projection(kind: str, part: Json, other_paths: set[str]) -> Iterator[str]:
    where = f"projected.sources.{kind}"
    paths = [item.get("path") for item in lenient.objects(part, "items")]
    if kind in ("secret", "configMap"):
        if not part.get("name"):
            yield f"{where}.name must not be empty"
        yield from _keys(part, where=where)
    elif kind == "downwardAPI":
        yield from _downward(part, where=where)
    elif kind == "serviceAccountToken":
        yield from _file(part, "path", where=where)
        seconds = part.get("expirationSeconds")
        least, most = _TOKEN_SECONDS
        if seconds is not None and not lenient.is_integer(seconds, least=least, most=most):
            yield f"{where}.expirationSeconds {seconds} must be from {least} to {most}"
        # The API server does not compare this path with those of other sources.
        paths = []
    elif kind == "clusterTrustBundle":
        yield from _file(part, "path", where=where)
        paths = [part.get("path")]
        if (part.get("name") is None) == (part.get("signerName") is None):
            yield f"{where} must have one of name and signerName"
    for path in filter(None, paths):
        if str(path) in other_paths:
            yield f"projected.sources: path {formats.quoted(path)} must be there only once"
        other_paths.add(str(path))


_CHECKS: Mapping[str, Callable[[Json], Iterator[str]]] = {
    "configMap": lambda source: _keys(source, where="configMap"),
    "csi": _csi,
    "downwardAPI": _downward,
    "emptyDir": _empty_dir,
    "ephemeral": _ephemeral,
    "hostPath": _host_path,
    "image": _image,
    "nfs": _nfs,
    "projected": _projected,
    "secret": lambda source: _keys(source, where="secret"),
}


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
    recursive = mount.get("recursiveReadOnly") or _RECURSIVE[0]
    if mode != _PROPAGATIONS[0]:
        yield from formats.one_of(mode, _PROPAGATIONS, where=f"{where}.mountPropagation")
        privileged = lenient.child(container, "securityContext").get("privileged") is True
        if mode == "Bidirectional" and not privileged:
            yield f"{where}.mountPropagation: Bidirectional is for privileged containers"
    if recursive != _RECURSIVE[0]:
        yield from formats.one_of(recursive, _RECURSIVE, where=f"{where}.recursiveReadOnly")
        if mount.get("readOnly") is not True or mode != _PROPAGATIONS[0]:
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
