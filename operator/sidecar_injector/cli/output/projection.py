"""The part of a value that an expectation speaks of.

An expectation holds if its projection is equal to it; otherwise the two show the difference.
"""

from __future__ import annotations

import json
from typing import Any


def of(actual: Any, expected: Any, *, whole: bool = False) -> Any:
    """What the value has in the place of each expected one, in the order and style of these.

    An object is compared by the expected fields; null means that a field is not there. The items of
    a list must be there in their order, and others may be between them. With `whole` nothing may be
    left out.
    """
    if isinstance(expected, dict) and isinstance(actual, dict):
        members = {
            key: of(actual[key], value, whole=whole) if key in actual else None
            for key, value in expected.items()
            if key in actual or (value is None and not whole)
        }
        if whole:
            members |= {key: value for key, value in actual.items() if key not in expected}
        return type(expected)(members)
    if isinstance(expected, list) and isinstance(actual, list):
        return type(expected)(_all(actual, expected) if whole else _items(actual, expected))
    return expected if _is_same(actual, expected) else actual


def _all(actual: list[Any], expected: list[Any]) -> list[Any]:
    pairs = zip(actual, expected, strict=False)
    return [*(of(item, wanted, whole=True) for item, wanted in pairs), *actual[len(expected) :]]


def _items(actual: list[Any], expected: list[Any]) -> list[Any]:
    """The items that are meant, in the order of the value; all of them if one is not found."""
    chosen: dict[int, Any] = {}
    last = -1
    for wanted in expected:
        free = [*range(last + 1, len(actual)), *range(last + 1)]
        candidates = [index for index in free if index not in chosen]
        index = _index(wanted, actual, candidates)
        if index is not None:
            chosen[index], last = of(actual[index], wanted), index
        elif not (isinstance(wanted, dict) and "name" in wanted):
            return actual
    return [chosen[index] for index in sorted(chosen)]


def _index(wanted: Any, actual: list[Any], candidates: list[int]) -> int | None:
    """The item that is as expected, or else the one of that name."""
    for index in candidates:
        if _is_same(of(actual[index], wanted), wanted):
            return index
    name = wanted.get("name") if isinstance(wanted, dict) else None
    for index in candidates:
        if name and isinstance(actual[index], dict) and actual[index].get("name") == name:
            return index
    return None


def _is_same(actual: Any, expected: Any) -> bool:
    """Whether JSON has the same text for both: in Python 1, 1.0 and True are equal."""
    return json.dumps(actual, sort_keys=True) == json.dumps(expected, sort_keys=True)
