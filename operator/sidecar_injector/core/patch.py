"""The one editor: changes a document and records how, as RFC 6902 operations.

Only `add` is ever recorded, with explicit paths, and every operation applies under a strict
reading of the RFC: a missing parent is created once, before its first member. A diff of two pods
was rejected: it costs 300 times as much and, positional as most are, turns one variable in front of
2,000 others into thousands of operations.
"""

from __future__ import annotations

import functools
from typing import Any

Path = tuple[str | int, ...]
Operation = dict[str, Any]


class Editor:
    """A document that is edited copy-on-write; the one that it was made from is never touched.

    Values are taken in as they are, not copied: whoever hands one over does not change it later.
    """

    def __init__(self, document: dict[str, Any]) -> None:
        self.document: dict[str, Any] = dict(document)
        self.operations: list[Operation] = []
        # Kept alive here, so that no other object can come by an id that we own.
        self._own: dict[int, Any] = {id(self.document): self.document}

    def set(self, path: Path, value: Any) -> None:
        """Give an object the member that ends `path`; its value before, if any, is replaced."""
        self._object(path[:-1])[str(path[-1])] = value
        self._record(path, value)

    def append(self, path: Path, value: Any) -> None:
        """Put a value at the end of the list at `path`."""
        self._list(path).append(value)
        self._record((*path, "-"), value)

    def insert(self, path: Path, index: int, value: Any) -> None:
        """Put a value before the item at `index` of the list at `path`; at its end, append it."""
        items = self._list(path)
        if index == len(items):
            return self.append(path, value)
        items.insert(index, value)
        self._record((*path, index), value)
        return None

    def fork(self) -> Editor:
        """An editor that goes on from here and whose work counts only once it is adopted."""
        return Editor(self.document)

    def adopt(self, other: Editor) -> None:
        """Take over all that a fork has done."""
        self.document = other.document
        self.operations += other.operations
        self._own = other._own

    def _record(self, path: Path, value: Any) -> None:
        self.operations.append({"op": "add", "path": pointer(path), "value": value})

    def _object(self, path: Path) -> dict[str, Any]:
        here: dict[str, Any] = self._walk(path, empty=dict)
        return here

    def _list(self, path: Path) -> list[Any]:
        here: list[Any] = self._walk(path, empty=list)
        return here

    def _walk(self, path: Path, *, empty: type[dict[str, Any]] | type[list[Any]]) -> Any:
        """The container at `path`, our own copy of it; created with its parents where missing."""
        here: Any = self.document
        for depth, step in enumerate(path):
            child = _member(here, step)
            # null is what Go writes for an empty list or map: it is created like an absent one.
            if child is None:
                child = empty() if depth == len(path) - 1 else {}
                # The recorded value is a container of its own: the document's one will be filled.
                self._record(path[: depth + 1], type(child)())
                self._own[id(child)] = child
            elif id(child) not in self._own:
                child = child.copy()
                self._own[id(child)] = child
            here[step] = child
            here = child
        return here


def _member(container: Any, step: Any) -> Any:
    return container[step] if isinstance(container, list) else container.get(step)


@functools.lru_cache(maxsize=4096)
def pointer(path: Path) -> str:
    """The RFC 6901 pointer of a path: `~` becomes `~0`, then `/` becomes `~1`.

    The same few paths come again with every pod.
    """
    return "".join(f"/{str(step).replace('~', '~0').replace('/', '~1')}" for step in path)
