"""What an API server does to the values of a field, measured by dry runs.

Each sample is sent as it is, then without one of its fields, then with an empty value in its place,
and so for each field. What comes back says which exceptions from the one rule there are.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import pathlib
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import yaml

from sidecar_injector.core.pods import api_fields, quantity
from tools.fields import schema

Json = dict[str, Any]
Create = Callable[[Json], Json | None]
"""Creates a pod by a dry run: how it comes back, or None where it is refused."""
Steps = tuple[str | int, ...]

ROUNDED = "1500u"
"""Three decimal digits cannot hold it."""
SURROUNDINGS: Json = {
    "automountServiceAccountToken": False,
    "containers": [{"name": "app", "image": "app:1"}],
    "volumes": [
        {"name": "scratch", "emptyDir": {}},
        {"name": "block", "persistentVolumeClaim": {"claimName": "a"}},
    ],
    "resourceClaims": [{"name": "claim", "resourceClaimName": "a"}],
}
"""What a sample may need beside it."""
NAMED: Mapping[str, str] = {
    "containers": "containers",
    "initContainers": "containers",
    "volumes": "volumes",
}
"""The lists of which each item is a sample of its own, and the field that describes them."""
REFUSED = frozenset({"containers.readinessProbe.terminationGracePeriodSeconds"})
"""No pod may have it."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """The exceptions, each by the path of the field."""

    defaults: Mapping[str, Any]
    pointers: frozenset[str]
    maps: frozenset[str]
    dropped: frozenset[str]
    quantities: Mapping[str, int]
    keys: Mapping[str, str]


class UnmeasuredError(Exception):
    """A field of the schema that no sample has, or a sample that is refused."""


@functools.cache
def samples() -> Mapping[str, Any]:
    """The values in samples.yaml, by the field of the pod's spec."""
    path = pathlib.Path(__file__).with_name("samples.yaml")
    values: Mapping[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return values


def measure(openapi: Mapping[str, Any], create: Create) -> Table:
    """The table of this API server. Raises UnmeasuredError."""
    fields = list(schema.fields(openapi))
    measured = [field for field in fields if field.path not in NAMED and field.path not in REFUSED]
    maps = {field.path for field in fields if field.kind is schema.Kind.MAP}
    places = _places(create, maps=maps)
    if missing := [field.path for field in measured if field.path not in places]:
        raise UnmeasuredError(f"no sample has {', '.join(missing)}")
    results = {field: _measured(field, *places[field.path]) for field in measured}
    return Table(
        defaults={
            field.path: result.default
            for field, result in results.items()
            if result.has_default and field.path not in api_fields.OF_SIBLINGS
        },
        pointers=frozenset(
            field.path
            for field, result in results.items()
            if result.keeps_empty and field.kind is not schema.Kind.OBJECT
        ),
        maps=frozenset(f"{path}.{schema.EVERY}" for path in maps),
        dropped=frozenset(field.path for field, result in results.items() if result.is_dropped),
        quantities={
            field.path: result.digits
            for field, result in results.items()
            if field.kind is schema.Kind.QUANTITY
        },
        keys={field.path: field.key for field in fields if field.key},
    )


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class _Result:
    """What came back for one field."""

    default: Any = None
    empty: Any = None
    is_dropped: bool = False
    digits: int = quantity.NANO

    @property
    def has_default(self) -> bool:
        """Whether something is filled in: no empty scalar, nor a list or map of a plugin."""
        return self.default == {} or (isinstance(self.default, str | int) and bool(self.default))

    @property
    def keeps_empty(self) -> bool:
        """Whether an empty value is neither dropped nor what is filled in."""
        return self.empty in ("", False, 0, "0", {}) and self.empty != self.default


class Sample:
    """A pod with a value for many fields."""

    def __init__(self, create: Create, name: str, value: Any) -> None:
        self._create = create
        self.pod: Json = copy.deepcopy({"metadata": {"name": "sample"}, "spec": SURROUNDINGS})
        spec = self.pod["spec"]
        self.steps: Steps = ("spec", name)
        """Where the value is."""
        if name in NAMED:
            spec.setdefault(name, []).append(copy.deepcopy(value))
            self.steps = ("spec", name, len(spec[name]) - 1)
        else:
            spec[name] = copy.deepcopy(value)

    @functools.cached_property
    def created(self) -> Json:
        """How it comes back. Raises UnmeasuredError where it is refused."""
        if (pod := self._create(self.pod)) is None:
            raise UnmeasuredError(f"a sample is refused: {at(self.pod, self.steps)}")
        return pod

    def without(self, steps: Steps) -> Any:
        """What comes back in this place if it is absent; None where the pod is refused."""
        pod = copy.deepcopy(self.pod)
        del at(pod, steps[:-1])[steps[-1]]
        return at(self._create(pod), steps)

    def with_value(self, steps: Steps, value: Any) -> Any:
        """The same for another value in this place."""
        pod = copy.deepcopy(self.pod)
        at(pod, steps[:-1])[steps[-1]] = value
        return at(self._create(pod), steps)


def _measured(field: schema.Field, sample: Sample, steps: Steps) -> _Result:
    is_quantity = field.kind is schema.Kind.QUANTITY
    rounded = sample.with_value(steps, ROUNDED) if is_quantity else None
    return _Result(
        default=sample.without(steps),
        empty=sample.with_value(steps, field.kind.empty),
        is_dropped=at(sample.created, steps) is None,
        digits=quantity.NANO if rounded in (None, ROUNDED) else quantity.MILLI,
    )


def _places(create: Create, *, maps: Collection[str]) -> dict[str, tuple[Sample, Steps]]:
    """The first sample that has a field and the steps to it, by the field's path."""
    places: dict[str, tuple[Sample, Steps]] = {}
    for name, value in samples().items():
        for each in value if name in NAMED else [value]:
            sample = Sample(create, name, each)
            path = NAMED.get(name, name)
            for below, steps in _walk(each, path=path, steps=sample.steps, maps=maps):
                places.setdefault(below, (sample, steps))
    return places


def _walk(
    value: Any, *, path: str, steps: Steps, maps: Collection[str]
) -> Iterator[tuple[str, Steps]]:
    """The paths of all fields of a value, each with the steps to it."""
    yield path, steps
    if isinstance(value, dict):
        for key, member in value.items():
            below = f"{path}.{schema.EVERY if path in maps else key}"
            if member is not None:
                yield from _walk(member, path=below, steps=(*steps, key), maps=maps)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _walk(item, path=path, steps=(*steps, index), maps=maps)


def at(value: Any, steps: Steps) -> Any:
    """What is at the end of the steps; None where there is nothing."""
    for step in steps:
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and isinstance(step, int) and step < len(value):
            value = value[step]
        else:
            return None
    return value
