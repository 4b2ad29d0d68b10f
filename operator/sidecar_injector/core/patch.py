"""An editor that changes a document and records the changes as RFC 6902 operations.

Only `add` is recorded, with explicit paths. Every operation applies under a strict reading of the
RFC: a missing parent is created once, before its first member.

A diff of two pods costs 300 times as much. Most diffs compare lists by position: one variable
before 2,000 others becomes thousands of operations.
"""

from __future__ import annotations

from typing import Any

from sidecar_injector.core.pods import lenient

Path = tuple[str | int, ...]
Operation = dict[str, Any]


class TooLargeError(Exception):
    """The values that are added have more bytes than there is room for."""


class Editor:
    """A document that is edited copy-on-write; the original document is never changed.

    Values are not copied: a caller does not change a value after passing it.
    """

    def __init__(self, document: dict[str, Any], *, room: int | None = None) -> None:
        """`room` is how many bytes all values may have as JSON; a further one raises
        TooLargeError."""
        self.document: dict[str, Any] = document.copy()
        self.operations: list[Operation] = []
        self.room = room
        self.empty: dict[str, Any] = {}
        """The null, empty and zero values that were there and are no longer, by their paths. In
        these paths a list item goes by its key, not by an index."""
        # The values keep the objects alive, so that no other object gets one of these ids.
        self._own: dict[int, Any] = {id(self.document): self.document}

    def set(self, path: Path, value: Any) -> None:
        """Set the member of an object that is at `path`; a present value is replaced."""
        self._put(self._walk(path[:-1], empty=dict), path, value)

    def set_members(self, path: Path, members: dict[str, Any]) -> None:
        """Set members of the object at `path`, as `set` does it for one."""
        if members:
            parent = self._walk(path, empty=dict)
            for key, value in members.items():
                self._put(parent, (*path, key), value)

    def _put(self, parent: dict[str, Any], path: Path, value: Any) -> None:
        key = str(path[-1])
        if key in parent and not parent[key]:
            self._keep_empty(path, parent[key])
        parent[key] = value
        self._record(path, value)

    def append(self, path: Path, value: Any) -> None:
        """Add a value at the end of the list at `path`."""
        self._walk(path, empty=list).append(value)
        self._record((*path, "-"), value)

    def insert(self, path: Path, index: int, value: Any) -> None:
        """Add a value before the item at `index` of the list at `path`, or at the end."""
        items = self._walk(path, empty=list)
        if index == len(items):
            return self.append(path, value)
        items.insert(index, value)
        self._record((*path, index), value)
        return None

    def replay(self, operation: Operation) -> None:
        """Make a change that was recorded on a document with more members and longer lists."""
        path, parent = self._typed(steps_of(operation["path"]))
        value = operation["value"]
        if path[-1] == "-" and not isinstance(parent, dict):
            self.append(path[:-1], value)
        elif isinstance(path[-1], int):
            self.insert(path[:-1], path[-1], value)
        elif value in ({}, []) and (parent or {}).get(path[-1]) is None:
            self._walk(path, empty=type(value))
        else:
            self.set(path, in_style_of((parent or {}).get(path[-1]), value))

    def _typed(self, steps: tuple[str, ...]) -> tuple[Path, Any]:
        """The path with numbers where lists are, and the list or object that its last step is in.

        Of the values that are absent, those in the pod's spec are lists.
        """
        path: list[str | int] = []
        parent: Any = None
        value: Any = self.document
        for step in steps:
            parent = value
            is_list = isinstance(value, list) or (value is None and path[0] == "spec")
            path.append(int(step) if is_list and step.isdigit() else step)
            if isinstance(value, list):
                value = None if step == "-" else next(iter(value[int(step) :]), None)
            else:
                value = (value or {}).get(step)
        return tuple(path), parent

    def fork(self, *, room: int | None = None) -> Editor:
        """An editor of the same document whose changes count only after `adopt`."""
        return Editor(self.document, room=room)

    def adopt(self, other: Editor) -> None:
        """Take over all changes of a fork."""
        self.document = other.document
        self.operations += other.operations
        self.empty = other.empty | self.empty
        self._own = other._own

    def _record(self, path: Path, value: Any) -> None:
        if self.room is not None:
            self.room -= lenient.size(value)
            if self.room < 0:
                raise TooLargeError
        self.operations.append({"op": "add", "path": pointer(path), "value": value})

    def _keep_empty(self, path: Path, value: Any) -> None:
        steps: list[str | int] = []
        parent: Any = self.document
        for step in path:
            parent = parent[step]
            is_item = isinstance(step, int) and isinstance(parent, dict)
            steps.append((parent.get("name") or parent.get("ip") or step) if is_item else step)
        self.empty.setdefault(pointer(tuple(steps)), value)

    def _walk(self, path: Path, *, empty: type[dict[str, Any]] | type[list[Any]]) -> Any:
        """Our own copy of the object or list at `path`, created with its parents where missing."""
        parent: Any = self.document
        step: Any
        for depth, step in enumerate(path):
            child = parent[step] if isinstance(parent, list) else parent.get(step)
            # Go writes null for an empty list or map: it is replaced like an absent one.
            if child is None:
                if isinstance(parent, dict) and step in parent:
                    self._keep_empty(path[: depth + 1], None)
                child = empty() if depth == len(path) - 1 else {}
                # The operation has an empty object of its own: the document's one gets members.
                self._record(path[: depth + 1], type(child)())
                self._own[id(child)] = child
            elif id(child) not in self._own:
                if not child:
                    self._keep_empty(path[: depth + 1], child)
                child = child.copy()
                self._own[id(child)] = child
            parent[step] = child
            parent = child
        return parent


def empty_along(document: Any, path: tuple[str, ...]) -> dict[str, Any]:
    """The null and empty values on the way to a member of an object, by their paths."""
    empty: dict[str, Any] = {}
    value = document
    for depth, step in enumerate(path, 1):
        if not isinstance(value, dict) or step not in value:
            break
        value = value[step]
        if not value:
            empty[pointer(path[:depth])] = value
    return empty


def in_style_of(present: Any, value: Any) -> Any:
    """The value that takes the place of another one: a string in quotes stays one."""
    is_string = isinstance(present, str) and isinstance(value, str)
    return type(present)(value) if is_string else value


def steps_of(text: str) -> tuple[str, ...]:
    """The steps of an RFC 6901 pointer, each as the document has it; `pointer` is its inverse."""
    return tuple(step.replace("~1", "/").replace("~0", "~") for step in text.split("/")[1:])


_CACHED: dict[Path, str] = {}
_MOST_CACHED, _LONGEST_CACHED = 1024, 128
"""Less than a megabyte: names in a pod may be long, as nobody has validated them yet."""


def pointer(path: Path) -> str:
    """The RFC 6901 pointer of a path: `~` becomes `~0`, then `/` becomes `~1`.

    Short ones are cached, because the same few paths occur with every pod.
    """
    if (text := _CACHED.get(path)) is None:
        text = "".join(f"/{str(step).replace('~', '~0').replace('/', '~1')}" for step in path)
        if len(text) <= _LONGEST_CACHED:
            if len(_CACHED) >= _MOST_CACHED:
                _CACHED.clear()
            _CACHED[path] = text
    return text
