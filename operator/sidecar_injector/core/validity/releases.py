"""What older releases of Kubernetes refuse and the newest accepts.

The other modules have the rules of the newest release. Only additions are judged here, and only in
a cluster that is older. Fields that a release does not know or has behind a feature gate are not
judged: it drops them, and the pod is created. `dropped` finds these in a template.

https://github.com/kubernetes/kubernetes/blob/release-1.32/pkg/apis/core/validation/validation.go
(validateSleepAction, validatePodDNSConfig, validateMatchLabelKeysInTopologySpread,
validateContainers, validateInitContainerRestartPolicy, validateEnvVarValueFrom)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from sidecar_injector import names
from sidecar_injector.core.pods import fields as pod_fields
from sidecar_injector.core.pods import formats, lenient, release_table
from sidecar_injector.core.pods.lenient import Json

OLDEST, NEWEST = 32, 37
"""The minor versions of the oldest release that is supported and of the one with the rules."""
_VERSION = re.compile(r"v1\.([0-9]{1,4})(\D.*)?")
_HANDLERS = ("postStart", "preStop")
_NAME = re.compile(r"[-a-z0-9.]*")


class _Difference(NamedTuple):
    """Something in a container that some releases refuse."""

    minors: Collection[int]
    what: str
    """Completes "Kubernetes 1.32 refuses …"."""
    has: Callable[[Json, str], bool]
    """Whether a container in a list of the pod's spec has it."""


def _sleeps_zero_seconds(container: Json, field: str) -> bool:
    lifecycle = lenient.child(container, "lifecycle")
    handlers = [lenient.child(lifecycle, moment) for moment in _HANDLERS]
    return any(
        handler.get("sleep") is not None and not lenient.child(handler, "sleep").get("seconds")
        for handler in handlers
    )


def _is_native(container: Json, field: str) -> bool:
    is_init = field == "initContainers"
    return is_init and container.get("restartPolicy") == names.CONTAINER_RESTART_ALWAYS


def _has_policy(container: Json, field: str) -> bool:
    return container.get("restartPolicy") is not None and not _is_native(container, field)


def _reads_file(container: Json, field: str) -> bool:
    variables = lenient.objects(container, "env")
    return any(lenient.child(variable, "valueFrom").get("fileKeyRef") for variable in variables)


def _restarts_all(container: Json, field: str) -> bool:
    rules = lenient.objects(container, "restartPolicyRules")
    is_native = _is_native(container, field)
    return any(is_native or rule.get("action") == "RestartAllContainers" for rule in rules)


_DIFFERENCES = (
    _Difference((32,), "a sleep of 0 seconds", _sleeps_zero_seconds),
    _Difference((32, 33), "a container's restartPolicy other than Always", _has_policy),
    _Difference((32, 33, 34), "fileKeyRef", _reads_file),
    _Difference((35,), "RestartAllContainers and rules of native sidecars", _restarts_all),
)
SPREAD = "topologySpreadConstraints"
_SPREAD_MINORS = (32, 33)
"""Later releases write the keys of `matchLabelKeys` into the selector, so both may have them."""
_OLDEST_SEARCH = 33
"""The first release that takes `_` and a single dot in `dnsConfig.searches`."""


def minor_of(version: str) -> int:
    """The minor version in a cluster's `gitVersion`; what cannot be read counts as the newest."""
    match = _VERSION.fullmatch(version)
    return int(match[1]) if match else NEWEST


def in_table(minor: int | None) -> int:
    """The release whose rules hold for a cluster: the newest for a newer one, or an unknown one."""
    return min(minor or NEWEST, NEWEST)


def dropped(spec: Mapping[str, Any], *, minor: int) -> Iterator[str]:
    """The paths in an injection's spec whose fields a release drops from pods: one of the table.

    https://github.com/kubernetes/kubernetes/blob/master/pkg/api/pod/util.go (dropDisabledFields)
    """
    paths = {path for path, minors in release_table.DROPPED.items() if minor in minors}
    template = (spec.get("template") or {}).get("spec") or {}
    for field, value in template.items():
        # What containers are is said once.
        kind = "containers" if field in pod_fields.CONTAINER_LISTS else field
        yield from _dropped(value, kind, paths, place=f"spec.template.spec.{field}")
    for field, value in (spec.get("applicationContainers") or {}).items():
        place = f"spec.applicationContainers.{field}"
        yield from _dropped(value, f"containers.{field}", paths, place=place)


def lacking(minor: int) -> tuple[Sequence[str], Sequence[str]]:
    """What a release drops and what it refuses, of what the newest one takes from a template."""
    dropped_paths = [
        path
        for path, minors in release_table.DROPPED.items()
        if minor in minors and NEWEST not in minors
    ]
    refused = [each.what for each in _DIFFERENCES if minor in each.minors]
    return dropped_paths, refused


def _dropped(value: Any, path: str, paths: Collection[str], *, place: str) -> Iterator[str]:
    if path in paths:
        # Native sidecars are older than other policies of containers.
        is_native = value == names.CONTAINER_RESTART_ALWAYS and ".initContainers[" in place
        if not is_native:
            yield place
    elif isinstance(value, dict):
        for key, member in value.items():
            yield from _dropped(member, f"{path}.{key}", paths, place=f"{place}.{key}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _dropped(item, path, paths, place=f"{place}[{index}]")


def problem(*, before: Mapping[str, Any], after: Mapping[str, Any], minor: int) -> str | None:
    """The first thing in `after` and not in `before` that a cluster of this version refuses."""
    problems = _problems(before, after, minor) if minor < NEWEST else iter(())
    return next(problems, None)


def _problems(before: Mapping[str, Any], after: Mapping[str, Any], minor: int) -> Iterator[str]:
    for field in pod_fields.CONTAINER_LISTS:
        present = {container["name"]: container for container in pod_fields.items(before, field)}
        for container in pod_fields.items(after, field):
            old = present.get(container["name"], {})
            for what in _refused(container, old, minor, field):
                yield f"container {container['name']!r}: Kubernetes 1.{minor} refuses {what}"
    constraints = lenient.objects(lenient.child(before, "spec"), SPREAD)
    for constraint in lenient.objects(lenient.child(after, "spec"), SPREAD):
        if minor in _SPREAD_MINORS and constraint not in constraints:
            for key in _keys_in_both(constraint):
                where = f"{SPREAD}: Kubernetes 1.{minor} refuses {formats.quoted(key)}"
                yield f"{where} both in matchLabelKeys and in labelSelector"
    old_searches = _searches(before)
    for search in _searches(after) if minor < _OLDEST_SEARCH else ():
        is_plain = _NAME.fullmatch(search) and search != "."
        if search not in old_searches and not is_plain:
            yield f"dnsConfig.searches: Kubernetes 1.{minor} refuses {formats.quoted(search)}"


def _keys_in_both(constraint: Json) -> Iterator[str]:
    selector = lenient.child(constraint, "labelSelector")
    keys = {*lenient.child(selector, "matchLabels")}
    keys.update(lenient.text(each, "key") for each in lenient.objects(selector, "matchExpressions"))
    yield from (key for key in lenient.strings(constraint, "matchLabelKeys") if key in keys)


def _refused(container: Json, old: Json, minor: int, field: str) -> Iterator[str]:
    if container == old:
        return
    for difference in _DIFFERENCES:
        is_new = difference.has(container, field) and not difference.has(old, field)
        if is_new and minor in difference.minors:
            yield difference.what


def _searches(pod: Mapping[str, Any]) -> list[str]:
    return lenient.strings(lenient.child(pod.get("spec"), "dnsConfig"), "searches")
