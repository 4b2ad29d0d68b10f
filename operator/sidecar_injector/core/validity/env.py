"""What the API server requires of a container's environment.

https://github.com/kubernetes/kubernetes/blob/master/pkg/apis/core/validation/validation.go
(ValidateEnv, validateEnvVarValueFrom, validateConfigMapKeySelector, validateSecretKeySelector,
validateFileKeySelector, validateFileKeyRefVolumes, ValidateEnvFrom, validateConfigMapEnvSource,
validateSecretEnvSource)
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from sidecar_injector.core.pods import formats, lenient
from sidecar_injector.core.pods.lenient import Json
from sidecar_injector.core.validity import downward
from sidecar_injector.core.validity import volumes as volume_rules

_FIELDS = (
    "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName",
    "spec.serviceAccountName", "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs",
)  # fmt: skip
_SOURCES = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef")
_SETS = ("configMapRef", "secretRef")


def problems(container: Json, volumes: Mapping[str, Json], *, previous: Json) -> Iterator[str]:
    """Problems of `env` and `envFrom`; variables that the container `previous` has are skipped."""
    for variable in _changed(lenient.items(container, "env"), lenient.items(previous, "env")):
        if not isinstance(variable, dict):
            continue
        if not formats.VARIABLE.accepts(name := variable.get("name")):
            yield f"env: name {formats.VARIABLE.refusal(name)}"
        if (source := variable.get("valueFrom")) is not None:
            where = f"env[{name}].valueFrom"
            if variable.get("value"):
                yield f"{where} must not be there beside a value"
            yield from _source(source, volumes, where=where)
    for source in lenient.objects(container, "envFrom"):
        yield from _set(source)


def _changed(variables: list[Any], previous: list[Any]) -> list[Any]:
    """The variables from the first that differs from `previous` to the last.

    Some authors have thousands of variables. Most injections add some in front.
    """
    added = len(variables) - len(previous)
    if added >= 0 and variables[added:] == previous:
        return variables[:added]
    start = _common(variables, previous)
    end = _common(reversed(variables[start:]), reversed(previous[start:]))
    return variables[start : len(variables) - end]


def _common(variables: Iterable[Any], previous: Iterable[Any]) -> int:
    """How many items are equal before the first that is not."""
    equal = map(operator.eq, variables, previous)
    return sum(1 for _ in itertools.takewhile(bool, equal))


def _source(source: object, volumes: Mapping[str, Json], *, where: str) -> Iterator[str]:
    present = [
        kind for kind in _SOURCES if isinstance(source, dict) and source.get(kind) is not None
    ]
    if len(present) != 1:
        existing = " and ".join(present) or "none"
        yield f"{where} must have exactly one of {', '.join(_SOURCES)}, and has {existing}"
        return
    kind, reference = present[0], lenient.child(source, present[0])
    where = f"{where}.{kind}"
    if kind == "fieldRef":
        # spec.host is the older name of spec.nodeName.
        allowed = (*_FIELDS, "spec.host")
        yield from downward.field_problems(reference, allowed=allowed, where=where)
    elif kind == "resourceFieldRef":
        yield from downward.resource_problems(reference, where=where)
    elif kind == "fileKeyRef":
        yield from _file(reference, volumes, where=where)
    else:
        yield from _key(reference, where=where)


def _key(reference: Json, *, where: str) -> Iterator[str]:
    if not formats.DNS_SUBDOMAIN.accepts(name := reference.get("name")):
        yield f"{where}.name {formats.DNS_SUBDOMAIN.refusal(name)}"
    if not formats.CONFIG_KEY.accepts(key := reference.get("key")):
        yield f"{where}.key {formats.CONFIG_KEY.refusal(key)}"


def _file(reference: Json, volumes: Mapping[str, Json], *, where: str) -> Iterator[str]:
    if not formats.VARIABLE.accepts(key := reference.get("key")):
        yield f"{where}.key {formats.VARIABLE.refusal(key)}"
    path = reference.get("path")
    if not path or formats.steps_back(path):
        yield f"{where}.path {formats.quoted(path)} must not be empty nor contain '..'"
    volume = volumes.get(str(reference.get("volumeName")))
    if volume is None or volume_rules.kinds(volume) not in ([], ["emptyDir"]):
        yield f"{where}.volumeName must be an emptyDir volume of the pod"


def _set(source: Json) -> Iterator[str]:
    """Problems of a ConfigMap or Secret that is read as a whole."""
    prefix = source.get("prefix")
    if prefix and not formats.VARIABLE.accepts(prefix):
        yield f"envFrom: prefix {formats.VARIABLE.refusal(prefix)}"
    present = [kind for kind in _SETS if source.get(kind) is not None]
    if len(present) != 1:
        existing = " and ".join(present) or "none"
        yield f"envFrom: each must have exactly one of {', '.join(_SETS)}, and one has {existing}"
    for kind in present:
        name = lenient.child(source, kind).get("name")
        # The API server accepts a prefix of a name, which may end in a hyphen.
        stem = name[:-1] if isinstance(name, str) and name.endswith("-") else name
        if not formats.DNS_SUBDOMAIN.accepts(stem):
            yield f"envFrom.{kind}.name {formats.DNS_SUBDOMAIN.refusal(name)}"
