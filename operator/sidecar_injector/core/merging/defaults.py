"""What the API server fills into containers and volumes, and comparisons after that.

The table is measured: a pod with only the required fields was created on a real API server and read
again (`tests/controlplane` repeats it). Pods from files lack the defaults and pods from admission
have them: with the table both lead to the same decision.
https://github.com/kubernetes/kubernetes/blob/master/pkg/apis/core/v1/defaults.go
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

from sidecar_injector.core.pods import quantity

QUANTITY = object()
"""Marks a field that is a quantity and is compared as a number."""


class Each:
    """The shape of every item of a list, or of every value of a map."""

    def __init__(
        self, shape: Any, *, key: str = "", whole: bool = False, loose: bool = False
    ) -> None:
        self.shape = shape
        self.key = key
        """The field by which Kubernetes merges the list; empty where items are whole values."""
        self.whole = whole
        """One more field makes another item: `value` and `valueFrom` exclude each other."""
        self.loose = loose
        """There may be more items although they have no key: injectors add to such a list too."""


_FIELD_REF = {"apiVersion": "v1"}
_RESOURCE_FIELD_REF = {"divisor": QUANTITY}
_RESOURCES = {"limits": Each(QUANTITY), "requests": Each(QUANTITY)}
_HTTP_GET = {"path": "/", "scheme": "HTTP"}
_HANDLER = {"httpGet": _HTTP_GET}
_PROBE = {
    "timeoutSeconds": 1,
    "periodSeconds": 10,
    "successThreshold": 1,
    "failureThreshold": 3,
    "httpGet": _HTTP_GET,
    "grpc": {"service": ""},
}
CONTAINER: Mapping[str, Any] = {
    "terminationMessagePath": "/dev/termination-log",
    "terminationMessagePolicy": "File",
    "ports": Each({"protocol": "TCP"}, key="containerPort"),
    "env": Each(
        {
            "value": "",
            "valueFrom": {
                "fieldRef": _FIELD_REF,
                "resourceFieldRef": _RESOURCE_FIELD_REF,
                "fileKeyRef": {"optional": False},
            },
        },
        key="name",
        whole=True,
    ),
    "envFrom": Each({}, loose=True),
    "volumeMounts": Each({"readOnly": False, "subPath": ""}, key="mountPath"),
    "volumeDevices": Each({}, key="devicePath"),
    "resources": _RESOURCES,
    "livenessProbe": _PROBE,
    "readinessProbe": _PROBE,
    "startupProbe": _PROBE,
    "lifecycle": {"postStart": _HANDLER, "preStop": _HANDLER},
}
_MODE = 0o644
_ITEMS = {"fieldRef": _FIELD_REF, "resourceFieldRef": _RESOURCE_FIELD_REF}
VOLUME: Mapping[str, Any] = {
    "configMap": {"defaultMode": _MODE},
    "secret": {"defaultMode": _MODE},
    "downwardAPI": {"defaultMode": _MODE, "items": Each(_ITEMS)},
    "projected": {
        "defaultMode": _MODE,
        "sources": Each(
            {
                "serviceAccountToken": {"expirationSeconds": 3600},
                "downwardAPI": {"items": Each(_ITEMS)},
            }
        ),
    },
    "emptyDir": {"sizeLimit": QUANTITY},
    "hostPath": {"type": ""},
    "iscsi": {"iscsiInterface": "default"},
    "rbd": {"pool": "rbd", "user": "admin", "keyring": "/etc/ceph/keyring"},
    "azureDisk": {
        "cachingMode": "ReadWrite",
        "fsType": "ext4",
        "readOnly": False,
        "kind": "Shared",
    },
    "scaleIO": {"storageMode": "ThinProvisioned", "fsType": "xfs"},
    "ephemeral": {
        "volumeClaimTemplate": {"spec": {"volumeMode": "Filesystem", "resources": _RESOURCES}}
    },
}
ANYTHING: Mapping[str, Any] = {}


def contains(actual: Any, wanted: Any, shape: Any = ANYTHING) -> bool:
    """Whether `actual` has every field that `wanted` sets, equal after the API's defaulting.

    Lists with a merge key, and loose ones, may have more items; other lists are whole values.
    """
    if isinstance(wanted, dict):
        if not is_empty(wanted) and not isinstance(actual, dict):
            return False
        return all(_member(actual or {}, key, value, shape) for key, value in wanted.items())
    if isinstance(wanted, list):
        return _list_contains(actual or [], wanted, shape if isinstance(shape, Each) else None)
    return _equal(actual, wanted, shape)


def same(first: Any, second: Any, shape: Any = ANYTHING) -> bool:
    """Whether two items are equal after defaulting."""
    return contains(first, second, shape) and contains(second, first, shape)


def same_volume(first: dict[str, Any], second: dict[str, Any]) -> bool:
    """Whether two volumes are equal after defaulting; without a source it is an `emptyDir`."""
    sources = [
        {key for key, value in volume.items() if key != "name" and value is not None}
        or {"emptyDir"}
        for volume in (first, second)
    ]
    return sources[0] == sources[1] and same(first, second, VOLUME)


def identity(item: Any, keys: Sequence[str] = ()) -> Hashable:
    """A value that is equal for two items if they have the same keys, or without keys, if they are
    `same`. Without keys it may be equal for items that differ."""
    if keys:
        members = item if isinstance(item, dict) else {}
        return tuple(_outline(members.get(key), depth=0) for key in keys)
    return _outline(item, depth=2)


class ItemIndex:
    """The items of a list by their identity, so that an item is not compared with all of them."""

    def __init__(self, items: Iterable[Any] = (), *, keys: Sequence[str] = ()) -> None:
        self._keys = keys
        self._items: dict[Hashable, list[Any]] = {}
        for item in items:
            self.add(item)

    def add(self, item: Any) -> None:
        """Add an item of the list."""
        self._items.setdefault(identity(item, self._keys), []).append(item)

    def find(self, wanted: Any) -> list[Any]:
        """The items that have the same keys, or without keys, are `same`."""
        items = self._items.get(identity(wanted, self._keys), [])
        return items if self._keys else [item for item in items if same(item, wanted)]


def default_pull_policy(image: object) -> str:
    """What the API server sets: `Always` for `:latest` or no tag, else `IfNotPresent`."""
    name = image.rpartition("/")[2] if isinstance(image, str) else ""
    if "@" in name:
        return "IfNotPresent"
    tag = name.partition(":")[2]
    return "IfNotPresent" if tag and tag != "latest" else "Always"


def is_empty(value: Any) -> bool:
    """Whether the API server treats the value as absent: null, and empty lists and maps."""
    return value is None or value in ([], {})


def _outline(value: Any, *, depth: int) -> Hashable:
    """The scalars of a value, down to a depth; empty members are left out like absent ones."""
    if isinstance(value, dict) and depth:
        outlines = ((key, _outline(member, depth=depth - 1)) for key, member in value.items())
        return frozenset(pair for pair in outlines if pair[1] is not None) or None
    return value if isinstance(value, str | int | float) else None


def _member(actual: dict[str, Any], key: str, wanted: Any, shape: Any) -> bool:
    inner = shape.shape if isinstance(shape, Each) else (shape or {}).get(key)
    present = actual.get(key)
    if is_empty(wanted) and is_empty(present):
        return True
    if key == "imagePullPolicy" and present is None:
        present = default_pull_policy(actual.get("image"))
    return contains(present, wanted, inner)


def _list_contains(actual: Any, wanted: list[Any], shape: Each | None) -> bool:
    if not isinstance(actual, list):
        return False
    inner = shape.shape if shape else ANYTHING
    if shape and shape.key:
        by_key = ItemIndex(actual, keys=(shape.key,))
        return all(any(_match(item, part, shape) for item in by_key.find(part)) for part in wanted)
    if shape and shape.loose:
        return all(map(ItemIndex(actual).find, wanted))
    return len(actual) == len(wanted) and all(
        contains(item, part, inner) for item, part in zip(actual, wanted, strict=True)
    )


def _match(item: Any, wanted: Any, shape: Each) -> bool:
    if not isinstance(item, dict) or not isinstance(wanted, dict):
        return bool(item == wanted)
    if item.get(shape.key) != wanted.get(shape.key):
        return False
    return (same if shape.whole else contains)(item, wanted, shape.shape)


def _equal(actual: Any, wanted: Any, shape: Any) -> bool:
    if shape is QUANTITY:
        return bool(_number(actual) == _number(wanted))
    if actual is None and wanted is not None and not isinstance(shape, Mapping | Each):
        actual = shape
    # In Python True equals 1, in JSON true does not.
    return bool(actual == wanted) and isinstance(actual, bool) == isinstance(wanted, bool)


def _number(value: Any) -> Any:
    """The number of a quantity; any other value is returned as it is."""
    number = quantity.parse(0 if value is None else value)
    return value if number is None else number
