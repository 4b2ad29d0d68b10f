"""Reading JSON whose inner shape nobody has checked: what is of another type counts as absent.

`shapes` says what is known of a pod before anything reads it; whatever it leaves open is read
through these functions, so that no author's pod can make a check fail with an exception.
"""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]


def child(parent: Any, key: str) -> Json:
    """An object's member that is an object; else an empty one."""
    value = parent.get(key) if isinstance(parent, dict) else None
    return value if isinstance(value, dict) else {}


def items(parent: Any, key: str) -> list[Any]:
    """An object's member that is a list; else an empty one."""
    value = parent.get(key) if isinstance(parent, dict) else None
    return value if isinstance(value, list) else []


def objects(parent: Any, key: str) -> list[Json]:
    """The objects in a list."""
    return [one for one in items(parent, key) if isinstance(one, dict)]


def strings(parent: Any, key: str) -> list[str]:
    """The strings in a list."""
    return [one for one in items(parent, key) if isinstance(one, str)]


def is_integer(value: Any, *, least: int, most: int) -> bool:
    """Whether it is a whole number within both bounds; Python's True is none."""
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
