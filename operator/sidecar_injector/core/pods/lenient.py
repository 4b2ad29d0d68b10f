"""Reading JSON that may have any inner shape: a value of another type counts as absent.

`shapes` lists the types that are checked before anything reads a pod. All other fields are read
through these functions, so that no pod can make a check fail with an exception.
"""

from __future__ import annotations

import json
from typing import Any

import orjson

Json = dict[str, Any]


def child(parent: Any, key: str) -> Json:
    """An object's member that is an object; else an empty one."""
    value = parent.get(key) if isinstance(parent, dict) else None
    return value if isinstance(value, dict) else {}


def text(parent: Any, key: str) -> str:
    """An object's member that is a string; else an empty one."""
    value = parent.get(key) if isinstance(parent, dict) else None
    return value if isinstance(value, str) else ""


def items(parent: Any, key: str) -> list[Any]:
    """An object's member that is a list; else an empty one."""
    value = parent.get(key) if isinstance(parent, dict) else None
    return value if isinstance(value, list) else []


def objects(parent: Any, key: str) -> list[Json]:
    """The objects in a list."""
    return [item for item in items(parent, key) if isinstance(item, dict)]


def strings(parent: Any, key: str) -> list[str]:
    """The strings in a list."""
    return [item for item in items(parent, key) if isinstance(item, str)]


def is_integer(value: Any, *, least: int, most: int) -> bool:
    """Whether it is a whole number within both bounds; Python's True is not a number here."""
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def size(value: Any) -> int:
    """The bytes of a value as compact JSON."""
    try:
        return len(orjson.dumps(value))
    except TypeError:
        # Half a surrogate pair, an integer of more than 64 bits, or what only YAML can contain.
        return len(json.dumps(value, separators=(",", ":"), default=str))
