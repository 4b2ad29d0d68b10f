"""What the API server requires of one source of a volume, in tables.

https://github.com/kubernetes/kubernetes/blob/master/pkg/apis/core/validation/validation.go
(validateVolumeSource, validateHostPathVolumeSource, validateGitRepoVolumeSource,
validateISCSIVolumeSource, validateFCVolumeSource, validateGCEPersistentDiskVolumeSource,
validateAWSElasticBlockStoreVolumeSource, validateSecretVolumeSource, validateConfigMapVolumeSource,
validateKeyToPath, validatePersistentClaimVolumeSource, validateNFSVolumeSource,
validateQuobyteVolumeSource, validateGlusterfsVolumeSource, validateFlockerVolumeSource,
validateHostPathType, validateRBDVolumeSource, validateCinderVolumeSource,
validateCephFSVolumeSource, validateFlexVolumeSource, validateAzureFile, validateAzureDisk,
validateVsphereVolumeSource, validatePhotonPersistentDiskVolumeSource,
validatePortworxVolumeSource, validateScaleIOVolumeSource, validateStorageOSVolumeSource,
ValidateCSIDriverName, validateCSIVolumeSource, validateImageVolumeSource,
validateLocalDescendingPath, validatePathNoBacksteps, ValidateLocalNonReservedPath)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

from sidecar_injector.core.pods import formats, lenient, quantity
from sidecar_injector.core.pods.lenient import Json

Rule = Callable[[Json, str], Iterator[str]]
"""A function of an object and of its place, which begins each sentence."""

PULL_POLICIES = ("Always", "IfNotPresent", "Never")
HIGHEST_MODE = 0o777
_HOST_PATH_TYPES = (
    "", "DirectoryOrCreate", "Directory", "FileOrCreate", "File", "Socket", "CharDevice",
    "BlockDevice",
)  # fmt: skip
_IQN = re.compile(r"iqn\.[0-9]{4}-[0-9]{2}\.[-.0-9A-Za-z]+:[^,;*&$|\t\n\f\r ]+\Z")
_EUI_OR_NAA = re.compile(r"eui.[0-9A-Za-z]{16}|naa.[0-9A-Za-z]{32}")
_LONGEST_ISCSI_NAME = 1024
_LONGEST_TENANT = 64
_RESERVED_DOMAINS = (".kubernetes.io", ".k8s.io")
_DRIVER = formats.Format(formats.DNS_SUBDOMAIN.pattern, 63, "a DNS name of at most 63")


def needed(*members: str) -> Rule:
    """Members that must not be absent or empty."""

    def check(source: Json, where: str) -> Iterator[str]:
        for member in members:
            if not source.get(member):
                yield f"{where}.{member} must not be empty"

    return check


def one_of(member: str, accepted: tuple[str, ...]) -> Rule:
    """A member that the API server keeps as a pointer: it may be absent but not empty."""

    def check(source: Json, where: str) -> Iterator[str]:
        if (value := source.get(member)) is not None:
            yield from formats.one_of(value, accepted, where=f"{where}.{member}")

    return check


def number(member: str, least: int, most: int) -> Rule:
    """A whole number, which may be absent."""

    def check(source: Json, where: str) -> Iterator[str]:
        value = source.get(member)
        if value is not None and not lenient.is_integer(value, least=least, most=most):
            yield f"{where}.{member} {value} must be from {least} to {most}"

    return check


def mode(member: str, highest: int = HIGHEST_MODE) -> Rule:
    """The rights of files, which may be absent."""

    def check(source: Json, where: str) -> Iterator[str]:
        value = source.get(member)
        if value is not None and not lenient.is_integer(value, least=0, most=highest):
            yield f"{where}.{member} {value} must be from 0 to 0{highest:o} (octal)"

    return check


def name(member: str, accepted: formats.Format = formats.DNS_SUBDOMAIN) -> Rule:
    """A name, which may be absent or empty."""

    def check(source: Json, where: str) -> Iterator[str]:
        value = source.get(member)
        if value and not accepted.accepts(value):
            yield f"{where}.{member} {accepted.refusal(value)}"

    return check


def reference(member: str, *rules: Rule) -> Rule:
    """A reference to a Secret, which may be absent; `rules` are for its members."""

    def check(source: Json, where: str) -> Iterator[str]:
        if source.get(member) is not None:
            for rule in (needed("name"), *rules):
                yield from rule(lenient.child(source, member), f"{where}.{member}")

    return check


def descending(member: str) -> Rule:
    """A path below a directory, which may be absent or empty."""

    def check(source: Json, where: str) -> Iterator[str]:
        path = str(source.get(member) or "")
        if path.startswith("/") or formats.steps_back(path):
            yield f"{where}.{member} {formats.quoted(path)} must be relative and without '..'"

    return check


def file(member: str) -> Rule:
    """A path of a file below the root of the volume; the first name must not begin with `..`."""

    def check(source: Json, where: str) -> Iterator[str]:
        path = source.get(member)
        if not path:
            yield f"{where}: {member} must not be empty"
        elif not isinstance(path, str) or path.startswith(("/", "..")) or formats.steps_back(path):
            yield f"{where}: {member} {formats.quoted(path)} must be relative and without '..'"

    return check


def keys(source: Json, where: str) -> Iterator[str]:
    """Problems of the items of a ConfigMap or a Secret, as files."""
    for item in lenient.objects(source, "items"):
        if not item.get("key"):
            yield f"{where}.items: key must not be empty"
        yield from file("path")(item, f"{where}.items")
        yield from mode("mode")(item, f"{where}.items")


def _is_iscsi_name(text: str) -> bool:
    """Whether it is a name; the API server looks for the end of one behind `iqn`."""
    if text.startswith("iqn"):
        return len(text) <= _LONGEST_ISCSI_NAME and _IQN.search(text) is not None
    return _EUI_OR_NAA.fullmatch(text) is not None


def _iscsi_name(member: str) -> Rule:
    def check(source: Json, where: str) -> Iterator[str]:
        value = str(source.get(member) or "")
        is_absent = source.get(member) is None or (member == "iqn" and not value)
        if not is_absent and not _is_iscsi_name(value):
            yield f"{where}.{member} {formats.quoted(value)} must be a name of iqn., eui. or naa."

    return check


def _iscsi_secret(source: Json, where: str) -> Iterator[str]:
    for member in ("chapAuthDiscovery", "chapAuthSession"):
        if source.get(member) is True and source.get("secretRef") is None:
            yield f"{where}.{member} needs a secretRef"


def _fc(source: Json, where: str) -> Iterator[str]:
    present = [member for member in ("targetWWNs", "wwids") if lenient.items(source, member)]
    if len(present) != 1:
        yield f"{where} must have one of targetWWNs and wwids"
    if "targetWWNs" in present and not lenient.is_integer(source.get("lun"), least=0, most=255):
        yield f"{where}.lun {source.get('lun')} must be from 0 to 255"


def _azure_disk(source: Json, where: str) -> Iterator[str]:
    """The API server sets the kind `Shared` where there is none."""
    prefix = "/subscriptions/" if source.get("kind") == "Managed" else "https://"
    if not str(uri := source.get("diskURI")).startswith(prefix):
        yield f"{where}.diskURI {formats.quoted(uri)} must begin with {prefix}"


def _flex_options(source: Json, where: str) -> Iterator[str]:
    for key in lenient.child(source, "options"):
        if f".{key.partition('/')[0].lower()}".endswith(_RESERVED_DOMAINS):
            yield f"{where}.options {formats.quoted(key)} must not be of kubernetes.io or k8s.io"


def _flocker(source: Json, where: str) -> Iterator[str]:
    if bool(source.get("datasetName")) == bool(source.get("datasetUUID")):
        yield f"{where} must have one of datasetName and datasetUUID"
    if "/" in str(source.get("datasetName") or ""):
        yield f"{where}.datasetName must not contain '/'"


def _quobyte(source: Json, where: str) -> Iterator[str]:
    registry = str(source.get("registry") or "")
    if registry and len(str(source.get("tenant") or "")) > _LONGEST_TENANT:
        yield f"{where}.tenant must be at most {_LONGEST_TENANT} characters"
    elif registry and not all(map(_is_host_and_port, registry.split(","))):
        yield f"{where}.registry {formats.quoted(registry)} must be of HOST:PORT"


def _is_host_and_port(text: str) -> bool:
    """Whether it has one colon outside of brackets, and brackets around an IPv6 address only."""
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        return False
    return bool(colon) and not set("[]") & set(host + port)


def _absolute(source: Json, where: str) -> Iterator[str]:
    if not str(path := source.get("path")).startswith("/"):
        yield f"{where}.path {formats.quoted(path)} must be absolute"


def _host_path(source: Json, where: str) -> Iterator[str]:
    if formats.steps_back(path := source.get("path")):
        yield f"{where}.path {formats.quoted(path)} must not contain '..'"
    if (kind := source.get("type") or "") not in _HOST_PATH_TYPES:
        accepted = ", ".join(_HOST_PATH_TYPES[1:])
        yield f"{where}.type {formats.quoted(kind)} must be empty or one of {accepted}"


def _driver(source: Json, where: str) -> Iterator[str]:
    driver = str(source.get("driver") or "")
    if driver and not _DRIVER.accepts(driver.lower()):
        yield f"{where}.driver {_DRIVER.refusal(driver)}"


def _size_limit(source: Json, where: str) -> Iterator[str]:
    limit = source.get("sizeLimit")
    if limit is not None and ((amount := quantity.parse(limit)) is None or amount < 0):
        yield f"{where}.sizeLimit {formats.quoted(limit)} must be a quantity such as 1Gi"


def _pull_policy(source: Json, where: str) -> Iterator[str]:
    if policy := source.get("pullPolicy"):
        yield from formats.one_of(policy, PULL_POLICIES, where=f"{where}.pullPolicy")


RULES: Mapping[str, tuple[Rule, ...]] = {
    "awsElasticBlockStore": (needed("volumeID"), number("partition", 0, 255)),
    "azureDisk": (
        needed("diskName", "diskURI"),
        one_of("cachingMode", ("None", "ReadOnly", "ReadWrite")),
        one_of("kind", ("Dedicated", "Managed", "Shared")),
        _azure_disk,
    ),
    "azureFile": (needed("secretName", "shareName"),),
    "cephfs": (needed("monitors"),),
    "cinder": (needed("volumeID"), reference("secretRef")),
    "configMap": (needed("name"), mode("defaultMode"), keys),
    "csi": (needed("driver"), _driver, reference("nodePublishSecretRef", name("name"))),
    "emptyDir": (_size_limit,),
    "fc": (_fc,),
    "flexVolume": (needed("driver"), _flex_options),
    "flocker": (_flocker,),
    "gcePersistentDisk": (needed("pdName"), number("partition", 0, 255)),
    "gitRepo": (needed("repository"), descending("directory")),
    "glusterfs": (needed("endpoints", "path"),),
    "hostPath": (needed("path"), _host_path),
    "image": (needed("reference"), _pull_policy),
    "iscsi": (
        needed("targetPortal", "iqn"),
        _iscsi_name("iqn"),
        _iscsi_name("initiatorName"),
        number("lun", 0, 255),
        _iscsi_secret,
    ),
    "nfs": (needed("server", "path"), _absolute),
    "persistentVolumeClaim": (needed("claimName"),),
    "photonPersistentDisk": (needed("pdID"),),
    "portworxVolume": (needed("volumeID"),),
    "quobyte": (needed("registry", "volume"), _quobyte),
    "rbd": (needed("monitors", "image"),),
    "scaleIO": (needed("gateway", "system", "volumeName"),),
    "secret": (needed("secretName"), mode("defaultMode"), keys),
    "storageos": (
        needed("volumeName"),
        name("volumeName", formats.DNS_LABEL),
        name("volumeNamespace", formats.DNS_LABEL),
        reference("secretRef"),
    ),
    "vsphereVolume": (needed("volumePath"),),
}
"""The rules of every kind of source that needs no other module."""
