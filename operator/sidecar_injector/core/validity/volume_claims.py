"""What the API server requires of the claim of an ephemeral volume.

https://github.com/kubernetes/kubernetes/blob/master/pkg/apis/core/validation/validation.go
(validateEphemeralVolumeSource, ValidatePersistentVolumeClaimTemplate, ValidateTemplateObjectMeta,
validateFieldAllowList, ValidatePersistentVolumeClaimSpec, validateDataSource,
validateDataSourceRef, ValidatePositiveQuantityValue)
"""

from __future__ import annotations

from collections.abc import Iterator

from sidecar_injector.core.pods import formats, lenient, quantity, selectors
from sidecar_injector.core.pods.lenient import Json
from sidecar_injector.core.validity import label_selector, spec, volume_sources

_ACCESS_MODES = ("ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod")
_RULES = (
    volume_sources.one_of("volumeMode", ("Block", "Filesystem")),
    volume_sources.name("storageClassName"),
    volume_sources.name("volumeAttributesClassName"),
)
_METADATA = ("annotations", "labels")
_CLAIM = "PersistentVolumeClaim"
_REFERENCE = ("apiGroup", "kind", "name")


def problems(source: Json, where: str) -> Iterator[str]:
    """Problems of the template of a claim."""
    where = f"{where}.volumeClaimTemplate"
    template = lenient.child(source, "volumeClaimTemplate")
    if source.get("volumeClaimTemplate") is None:
        yield f"{where} must not be empty"
        return
    yield from _metadata(lenient.child(template, "metadata"), f"{where}.metadata")
    claim, where = lenient.child(template, "spec"), f"{where}.spec"
    yield from _storage(claim, where)
    for rule in _RULES:
        yield from rule(claim, where)
    yield from label_selector.problems(claim, "selector", where=where)
    yield from _data_sources(claim, where)


def _metadata(metadata: Json, where: str) -> Iterator[str]:
    for field in metadata.keys() - set(_METADATA):
        if metadata[field]:
            yield f"{where}.{field} must not be set"
    for key, value in lenient.child(metadata, "labels").items():
        yield from (why for _, why in selectors.label_problems(key, value, path=""))
    annotations = lenient.child(metadata, "annotations")
    for key in annotations:
        if not selectors.is_qualified_name(key.lower()):
            yield f"{where}.annotations: {formats.quoted(key)} must be a key of an annotation"
    if spec.annotation_bytes(annotations) > spec.MOST_ANNOTATIONS:
        yield f"{where}.annotations must not be more than {spec.MOST_ANNOTATIONS} bytes together"


def _storage(claim: Json, where: str) -> Iterator[str]:
    modes = lenient.strings(claim, "accessModes")
    if not modes or not set(modes) <= set(_ACCESS_MODES):
        yield f"{where}.accessModes must be of {', '.join(_ACCESS_MODES)}"
    elif "ReadWriteOncePod" in modes and len(set(modes)) > 1:
        yield f"{where}.accessModes must not have others beside ReadWriteOncePod"
    storage = lenient.child(lenient.child(claim, "resources"), "requests").get("storage")
    amount = quantity.parse(storage)
    if amount is None or amount <= 0:
        yield f"{where}.resources.requests[storage] {storage} must be greater than 0"


def _data_sources(claim: Json, where: str) -> Iterator[str]:
    for field in ("dataSource", "dataSourceRef"):
        if claim.get(field) is None:
            continue
        reference, at = lenient.child(claim, field), f"{where}.{field}"
        yield from volume_sources.needed("name", "kind")(reference, at)
        yield from volume_sources.name("apiGroup")(reference, at)
        if not reference.get("apiGroup") and reference.get("kind") != _CLAIM:
            yield f"{at}.kind must be {_CLAIM} where apiGroup is empty"
        if field == "dataSourceRef":
            yield from volume_sources.name("namespace", formats.DNS_LABEL)(reference, at)
    if claim.get("dataSource") is None or claim.get("dataSourceRef") is None:
        return
    source, reference = lenient.child(claim, "dataSource"), lenient.child(claim, "dataSourceRef")
    if reference.get("namespace"):
        yield f"{where}.dataSource must not be there beside dataSourceRef.namespace"
    elif any(source.get(member) != reference.get(member) for member in _REFERENCE):
        yield f"{where}.dataSource must be equal to dataSourceRef"
