"""What the API server requires of fields of a pod, as variables or as files in volumes.

https://github.com/kubernetes/kubernetes/blob/master/pkg/apis/core/validation/validation.go
(validateObjectFieldSelector, validateContainerResourceFieldSelector,
validateContainerResourceDivisor, validateDownwardAPIVolumeFile, validateDownwardAPIVolumeSource)
"""

from __future__ import annotations

import decimal
import re
from collections.abc import Iterator

from sidecar_injector.core.pods import formats, lenient, quantity, selectors
from sidecar_injector.core.pods.lenient import Json
from sidecar_injector.core.validity import volume_sources

_FILE_FIELDS = ("metadata.name", "metadata.namespace", "metadata.uid", "metadata.labels",
                "metadata.annotations")  # fmt: skip
_RESOURCES = ("cpu", "memory", "ephemeral-storage")
_CPU_UNITS = ("1", "1m")
_UNITS = ("1", *"kMGTPE", *(f"{letter}i" for letter in "KMGTPE"))
_POWERS = {"1m": decimal.Decimal("0.001"), "1": decimal.Decimal(1)} | {
    f"1{unit}": decimal.Decimal((1024 if unit.endswith("i") else 1000) ** power)
    for units in (_UNITS[1:7], _UNITS[7:])
    for power, unit in enumerate(units, 1)
}
"""What the divisors mean that are units."""
_TEXT = re.compile(r"[+-]?(?P<whole>[0-9]*)(?:\.(?P<part>[0-9]*))?(?P<suffix>(?:[^0-9.].*)?)")
_SCALES = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}


def field_problems(reference: Json, *, allowed: tuple[str, ...], where: str) -> Iterator[str]:
    """Problems of a field of the pod that a file or a variable contains.

    https://kubernetes.io/docs/concepts/workloads/pods/downward-api/
    """
    if (version := reference.get("apiVersion") or "v1") != "v1":
        yield f"{where}: apiVersion {formats.quoted(version)} must be v1"
    path = reference.get("fieldPath")
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


def resource_problems(reference: Json, *, where: str) -> Iterator[str]:
    """Problems of a container's resource that a file or a variable contains."""
    name = str(reference.get("resource"))
    side, _, resource = name.partition(".")
    is_huge = resource.startswith("hugepages-")
    if side not in ("limits", "requests") or not (is_huge or resource in _RESOURCES):
        accepted = ", ".join((*_RESOURCES, "hugepages-…"))
        yield f"{where}.resource {formats.quoted(name)} must be limits. or requests. of {accepted}"
    elif not _is_unit(reference.get("divisor") or 0, is_cpu=resource == "cpu"):
        divisor = formats.quoted(reference.get("divisor"))
        yield f"{where}.divisor {divisor} must be a unit such as 1, 1m (cpu) or 1Mi"


def _is_unit(divisor: object, *, is_cpu: bool) -> bool:
    """Whether the API server's text of a divisor is a unit; 0 counts as 1.

    It writes most quantities anew: 1000 as 1k, 1024Ki as 1Mi, but 1024 as 1024. It keeps a text
    that is short enough as it stands: 1e3 and +1 are no units.
    https://github.com/kubernetes/apimachinery/blob/master/pkg/api/resource/quantity.go
    """
    value, units = quantity.parse(divisor), _CPU_UNITS if is_cpu else _POWERS.keys() - {"1m"}
    if value is None or not value:
        return value is not None
    match = _TEXT.fullmatch(str(divisor).strip())
    suffix = match["suffix"] if match else ""
    if match and _is_kept(match):
        return str(divisor) in units
    is_binary = suffix.endswith("i") and value >= 1024
    is_exponent = suffix not in _SCALES and not suffix.endswith("i")
    return any(
        value == _POWERS[unit]
        and (unit == "1" or (not is_exponent and unit.endswith("i") is is_binary))
        for unit in units
    )


def _is_kept(match: re.Match[str]) -> bool:
    part, suffix = match["part"] or "", match["suffix"]
    digits = match["whole"] + part
    if suffix.endswith("i"):
        return not part and int(digits) % 8 != 0
    scale = _SCALES[suffix] if suffix in _SCALES else int(suffix[1:])
    is_round = (scale - len(part)) % 3 == 0
    return is_round and not digits.endswith("000") and not digits.startswith("0")


def file_problems(source: Json, where: str) -> Iterator[str]:
    """Problems of the items of a `downwardAPI` volume."""
    for item in lenient.objects(source, "items"):
        yield from volume_sources.file("path")(item, f"{where}.items")
        yield from volume_sources.mode("mode")(item, f"{where}.items")
        field, resource = item.get("fieldRef"), item.get("resourceFieldRef")
        if (field is None) == (resource is None):
            yield f"{where}.items must have one of fieldRef and resourceFieldRef"
        elif field is not None:
            reference = lenient.child(item, "fieldRef")
            yield from field_problems(reference, allowed=_FILE_FIELDS, where=f"{where}.items")
        else:
            reference = lenient.child(item, "resourceFieldRef")
            if not reference.get("containerName"):
                yield f"{where}.items: resourceFieldRef.containerName must not be empty"
            yield from resource_problems(reference, where=f"{where}.items: resourceFieldRef")
