"""What the API server requires of the sources of a projected volume.

https://github.com/kubernetes/kubernetes/blob/master/pkg/apis/core/validation/validation.go
(validateProjectedVolumeSource, validateProjectionSources, ValidateSignerName,
ValidateClusterTrustBundleName, ValidateUserAnnotations)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from sidecar_injector.core.pods import formats, lenient, selectors
from sidecar_injector.core.pods.lenient import Json
from sidecar_injector.core.validity import downward, label_selector, spec, volume_sources

_TOKEN_SECONDS = (600, 2**32)
_KEY_TYPES = ("RSA3072", "RSA4096", "ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519")
_CERTIFICATE_PATHS = ("credentialBundlePath", "keyPath", "certificateChainPath")
_LEAST_SECONDS = 3600
_MOST_SECONDS = 91 * 86400
_MOST_SECONDS_OF_KUBERNETES = 86400
_LONGEST_SIGNER_PATH = 253 + 63 + 1


def problems(source: Json, where: str) -> Iterator[str]:
    """Problems of all sources of one volume."""
    paths: set[str] = set()
    for part in lenient.objects(source, "sources"):
        present = [kind for kind in _RULES if part.get(kind) is not None]
        if len(present) > 1:
            yield f"{where}.sources: one must be of one kind, and is {' and '.join(present)}"
        for kind in present:
            projection = lenient.child(part, kind)
            yield from _RULES[kind](projection, f"{where}.sources.{kind}")
            for path in _paths(kind, projection):
                if path in paths:
                    yield f"{where}.sources: path {formats.quoted(path)} must be there only once"
                paths.add(path)


def _paths(kind: str, projection: Json) -> Iterator[str]:
    """The files of a source; the API server does not compare that of a token with the others."""
    if kind == "clusterTrustBundle":
        yield str(projection.get("path"))
    for member in _CERTIFICATE_PATHS if kind == "podCertificate" else ():
        if path := projection.get(member):
            yield str(path)
    for item in lenient.objects(projection, "items"):
        if path := item.get("path"):
            yield str(path)


def _named_keys(projection: Json, where: str) -> Iterator[str]:
    yield from volume_sources.needed("name")(projection, where)
    yield from volume_sources.keys(projection, where)


def _token(projection: Json, where: str) -> Iterator[str]:
    yield from volume_sources.file("path")(projection, where)
    yield from volume_sources.number("expirationSeconds", *_TOKEN_SECONDS)(projection, where)


def _trust_bundle(projection: Json, where: str) -> Iterator[str]:
    yield from volume_sources.file("path")(projection, where)
    name, signer = projection.get("name"), projection.get("signerName")
    if (name is None) == (signer is None):
        yield f"{where} must have one of name and signerName"
    elif name is not None:
        head, _, tail = str(name).rpartition(":")
        if "/" in head or not formats.DNS_SUBDOMAIN.accepts(tail):
            yield f"{where}.name {formats.quoted(name)} must be a DNS name, behind SIGNER: or alone"
        if projection.get("labelSelector") is not None:
            yield f"{where}.labelSelector is for a signerName and not for a name"
    else:
        yield from _signer(projection, where)
        yield from label_selector.problems(projection, "labelSelector", where=where)


def _signer(projection: Json, where: str) -> Iterator[str]:
    signer = str(projection.get("signerName") or "")
    domain, slash, path = signer.partition("/")
    is_domain = "." in domain and formats.DNS_SUBDOMAIN.accepts(domain)
    is_valid = is_domain and all(map(formats.DNS_LABEL.accepts, domain.split(".")))
    is_valid &= bool(slash) and len(path) <= _LONGEST_SIGNER_PATH
    if not is_valid or not all(map(formats.DNS_SUBDOMAIN.accepts, path.split("."))):
        yield f"{where}.signerName {formats.quoted(signer)} must be DOMAIN/NAME"


def _certificate(projection: Json, where: str) -> Iterator[str]:
    yield from _signer(projection, where)
    key_type = projection.get("keyType")
    yield from formats.one_of(key_type, _KEY_TYPES, where=f"{where}.keyType")
    host = str(projection.get("signerName")).partition("/")[0]
    most = _MOST_SECONDS
    if f".{host}".endswith(".kubernetes.io"):
        most = _MOST_SECONDS_OF_KUBERNETES
    check = volume_sources.number("maxExpirationSeconds", _LEAST_SECONDS, most)
    yield from check(projection, where)
    present = [member for member in _CERTIFICATE_PATHS if projection.get(member)]
    if not present:
        yield f"{where} must have one of {', '.join(_CERTIFICATE_PATHS)}"
    for member in present:
        yield from volume_sources.file(member)(projection, where)
    annotations = lenient.child(projection, "userAnnotations")
    for key in annotations:
        if "/" not in key or not selectors.is_qualified_name(key.lower()):
            yield f"{where}.userAnnotations: {formats.quoted(key)} must be DOMAIN/NAME"
    if spec.annotation_bytes(annotations) > spec.MOST_ANNOTATIONS:
        yield f"{where}.userAnnotations must not be more than {spec.MOST_ANNOTATIONS} bytes"


_RULES: Mapping[str, Callable[[Json, str], Iterator[str]]] = {
    "secret": _named_keys,
    "configMap": _named_keys,
    "downwardAPI": downward.file_problems,
    "serviceAccountToken": _token,
    "clusterTrustBundle": _trust_bundle,
    "podCertificate": _certificate,
}
"""The rules of every kind of source."""
