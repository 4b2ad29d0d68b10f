"""The smallest pair that still breaks a promise."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any, Final

from tools.fuzz.pods import promises

NEEDED: Final = frozenset({"apiVersion", "kind", "metadata", "spec", "name", "namespace"})
"""Members that are not tried: without them it would be another failure."""


def minimal(pair: promises.Pair, breaks: Callable[[promises.Pair], bool]) -> promises.Pair:
    """The pair without all that can go while it still `breaks`, which is asked for each try."""
    for index in reversed(range(len(pair.injections))):
        fewer = pair.injections[:index] + pair.injections[index + 1 :]
        attempt = promises.Pair(pod=pair.pod, injections=fewer)
        if fewer and breaks(attempt):
            pair = attempt
    is_smaller = True
    while is_smaller:
        is_smaller = False
        for path in reversed(list(_paths(pair.documents))):
            smaller = _without(pair, path)
            if smaller and breaks(smaller):
                pair, is_smaller = smaller, True
    return pair


def _paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """All places, from the outside to the inside."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in items:
        if key not in NEEDED or len(path) > 2:
            yield (*path, key)
        if isinstance(item, dict | list):
            yield from _paths(item, (*path, key))


def _without(pair: promises.Pair, path: tuple[Any, ...]) -> promises.Pair | None:
    documents = copy.deepcopy(pair.documents)
    parent: Any = documents
    try:
        for step in path[:-1]:
            parent = parent[step]
        del parent[path[-1]]
    except (KeyError, IndexError, TypeError):
        return None
    if len(documents) != len(pair.documents):
        return None
    pod, *injections = documents
    if any(promises.read(injection).errors for injection in injections):
        return None
    return promises.Pair(pod=pod, injections=tuple(injections))
