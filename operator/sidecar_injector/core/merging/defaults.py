"""Comparisons of what a template wants with what a pod has, in the API server's eyes.

A pod from a file lacks the API server's defaults and has empty values; a pod from admission has the
defaults and lacks the empty values: `pods.api_fields` reads both alike, so both lead to the same
decision.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, Final

from sidecar_injector.core.pods import api_fields
from sidecar_injector.core.pods.api_fields import RULE, VOLUME, Field

CONTAINER: Final = api_fields.CONTAINER


def contains(actual: Any, wanted: Any, field: Field = RULE) -> bool:
    """Whether `actual` has every field that `wanted` sets, equal after the API's defaulting.

    Lists with a merge key, and loose ones, may have more items; other lists are whole values.
    """
    if isinstance(wanted, dict):
        if not wanted and not field.is_pointer:
            return True
        actual = field.default if actual is None else actual
        return isinstance(actual, dict) and all(
            _member(actual, key, value, field) for key, value in wanted.items()
        )
    if isinstance(wanted, list):
        return isinstance(actual or [], list) and _list_contains(actual or [], wanted, field)
    actual, wanted = field.read(actual), field.read(wanted)
    # In Python True equals 1, in JSON true does not.
    return bool(actual == wanted) and isinstance(actual, bool) == isinstance(wanted, bool)


def same(first: Any, second: Any, field: Field = RULE) -> bool:
    """Whether two items are equal after defaulting."""
    return contains(first, second, field) and contains(second, first, field)


def same_volume(first: dict[str, Any], second: dict[str, Any]) -> bool:
    """Whether two volumes are equal after defaulting; without a source it is an `emptyDir`."""
    sources = [
        {key for key, value in volume.items() if key != "name" and value is not None}
        or {"emptyDir"}
        for volume in (first, second)
    ]
    return sources[0] == sources[1] and same(first, second, VOLUME)


def without_absent(value: Any, field: Field = RULE) -> Any:
    """The value without the members that the API server leaves out when it writes them again."""
    if isinstance(value, dict):
        members = (
            (key, without_absent(member, field.member(key)), field.member(key))
            for key, member in value.items()
        )
        return {key: member for key, member, inner in members if not inner.is_absent(member)}
    if isinstance(value, list):
        return [without_absent(item, field) for item in value]
    return value


def identity(item: Any, keys: Sequence[str] = ()) -> Hashable:
    """A value that is equal for two items if they have the same keys, or without keys, if they are
    `same`. Without keys it may be equal for items that differ."""
    if keys:
        members = item if isinstance(item, dict) else {}
        return tuple(_outline(members.get(key), depth=0) for key in keys)
    return _outline(item, depth=2)


class ItemIndex:
    """The items of a list by their identity, so that an item is not compared with all of them."""

    def __init__(
        self, items: Iterable[Any] = (), *, field: Field = RULE, keys: Sequence[str] = ()
    ) -> None:
        self._field, self._keys = field, keys
        self._items: dict[Hashable, list[Any]] = {}
        for item in items:
            self.add(item)

    def add(self, item: Any) -> None:
        """Add an item of the list."""
        self._items.setdefault(identity(item, self._keys), []).append(item)

    def find(self, wanted: Any) -> list[Any]:
        """The items that have the same keys, or without keys, are `same`."""
        items = self._items.get(identity(wanted, self._keys), [])
        return items if self._keys else [item for item in items if same(item, wanted, self._field)]


def _outline(value: Any, *, depth: int) -> Hashable:
    """The scalars of a value, down to a depth; empty members are left out like absent ones."""
    if isinstance(value, dict) and depth:
        outlines = ((key, _outline(member, depth=depth - 1)) for key, member in value.items())
        return frozenset(pair for pair in outlines if pair[1] is not None) or None
    return (value or None) if isinstance(value, str | int | float) else None


def _member(actual: Mapping[str, Any], key: str, wanted: Any, field: Field) -> bool:
    inner = field.member(key)
    if wanted is None or (inner.of_siblings and inner.is_absent(wanted)):
        return True
    present = inner.of_siblings(actual) if inner.of_siblings else actual.get(key)
    return contains(present, wanted, inner)


def _list_contains(actual: list[Any], wanted: list[Any], field: Field) -> bool:
    if field.key:
        by_key = ItemIndex(actual, keys=(field.key,))
        return all(any(_match(item, part, field) for item in by_key.find(part)) for part in wanted)
    if field.is_loose:
        return all(map(ItemIndex(actual).find, wanted))
    return len(actual) == len(wanted) and all(
        contains(item, part, field) for item, part in zip(actual, wanted, strict=True)
    )


def _match(item: Any, wanted: Any, field: Field) -> bool:
    if not isinstance(item, dict) or not isinstance(wanted, dict):
        return bool(item == wanted)
    if item.get(field.key) != wanted.get(field.key):
        return False
    return (same if field.is_whole else contains)(item, wanted, field)
