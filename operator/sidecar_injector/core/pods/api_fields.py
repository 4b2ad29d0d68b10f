"""What the API server makes of the value of a field, for every field that a template accepts.

One rule: an empty value (null, `""`, 0, false, an empty list or map) is an absent one, because Go
leaves it out when it writes the pod again. `field_table` has the exceptions, as they were measured.
Pods from files were not written by Go yet and pods from admission were: read through this module,
both have the same values.
https://github.com/kubernetes/kubernetes/blob/master/pkg/apis/core/v1/defaults.go
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from sidecar_injector.core.pods import field_table, images, quantity

Json = Mapping[str, Any]
EVERY: Final = "*"
"""In a path of the table: every member of a map."""


@dataclasses.dataclass(slots=True)
class Field:
    """One field, or the items of a list: a list has the members of its items."""

    members: dict[str, Field] = dataclasses.field(default_factory=dict)
    default: Any = None
    """What the API server fills in for an absent value."""
    is_pointer: bool = False
    """An empty value is kept, and is not the same as an absent one."""
    digits: int | None = None
    """A quantity is rounded up to so many decimal digits."""
    key: str = ""
    """The field by which Kubernetes merges the list; empty where items are whole values."""
    is_whole: bool = False
    """One more field makes another item of the list: `value` and `valueFrom` exclude each other."""
    is_loose: bool = False
    """There may be more items although they have no key: injectors add to such a list too."""
    of_siblings: Callable[[Json], Any] | None = None
    """The value, filled in from the other fields of the object where it is absent."""

    def member(self, key: str) -> Field:
        """The field of that name; one without exceptions if the table does not have it."""
        return self.members.get(key) or self.members.get(EVERY) or RULE

    def at(self, path: Iterable[str]) -> Field:
        """The field at the end of these names."""
        return functools.reduce(Field.member, path, self)

    def is_absent(self, value: Any) -> bool:
        """Whether the API server reads the value as if it were not there."""
        return value is None or (not value and not self.is_pointer)

    def read(self, value: Any) -> Any:
        """The value as the API server reads it, which is None where it reads none."""
        value = self.default if self.is_absent(value) else value
        if self.digits is None or value is None:
            return value
        number = quantity.stored(value, digits=self.digits)
        return value if number is None else number


RULE: Final = Field()
"""A field that is no exception from the rule."""


def _requests(resources: Json) -> Any:
    return {**(resources.get("limits") or {}), **(resources.get("requests") or {})}


OF_SIBLINGS: Mapping[str, Callable[[Json], Any]] = {
    "containers.imagePullPolicy": lambda container: (
        container.get("imagePullPolicy") or images.default_pull_policy(container.get("image"))
    ),
    # On the host network it becomes the containerPort.
    "containers.ports.hostPort": lambda port: port.get("hostPort"),
    "containers.resources.requests": _requests,
    "volumes.image.pullPolicy": lambda image: (
        image.get("pullPolicy") or images.default_pull_policy(image.get("reference"))
    ),
}
_WHOLE: Final = "containers.env"
_LOOSE: Final = "containers.envFrom"


def _compiled() -> Field:
    """The tree of all fields of a template's spec."""
    root = Field()
    for attribute, values in _exceptions():
        for path, value in values.items():
            field = root
            for step in path.split("."):
                field = field.members.setdefault(step, Field())
            setattr(field, attribute, value)
    root.members["initContainers"] = root.members["containers"]
    return root


def _exceptions() -> Iterator[tuple[str, Mapping[str, Any]]]:
    yield "default", field_table.DEFAULTS
    yield "is_pointer", dict.fromkeys(field_table.POINTERS, True)
    yield "is_pointer", dict.fromkeys(field_table.MAPS, True)
    yield "digits", field_table.QUANTITIES
    yield "key", field_table.KEYS
    yield "of_siblings", OF_SIBLINGS
    yield "is_whole", {_WHOLE: True}
    yield "is_loose", {_LOOSE: True}


@functools.lru_cache(maxsize=256)
def of_template(path: tuple[str, ...]) -> Field:
    """The field of a template's spec at the end of these names."""
    return TEMPLATE.at(path)


TEMPLATE: Final = _compiled()
CONTAINER: Final = TEMPLATE.members["containers"]
VOLUME: Final = TEMPLATE.members["volumes"]
