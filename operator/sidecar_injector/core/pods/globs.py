"""Globs in which `*` stands for any characters and `?` for one, matched in linear time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

LONGEST: Final = 256
"""Characters of a text that a glob with `?` matches; no name has more."""
UNIT: Final = 32
"""`weight` of what takes as long as one part of the budget of a decision."""
_ONE_CHARACTER: Final = 640


def matches(text: str, globs: Iterable[str]) -> bool:
    """Whether one of the globs matches the whole text; case counts."""
    return any(
        _matches_any_character(text, glob) if "?" in glob else _matches(text, glob)
        for glob in globs
    )


def weight(globs: Iterable[str]) -> int:
    """How long it takes to match a text at most, see `UNIT`."""
    return sum(
        _ONE_CHARACTER + 2 * len(glob) if "?" in glob else 4 + glob.count("*") for glob in globs
    )


def _matches(text: str, glob: str) -> bool:
    first, *others = glob.split("*")
    if not others:
        return text == glob
    *middle, last = others
    end = len(text) - len(last)
    position = len(first)
    if not text.startswith(first) or not text.endswith(last):
        return False
    for part in middle:
        position = text.find(part, position, end)
        if position < 0:
            return False
        position += len(part)
    return position <= end


def _matches_any_character(text: str, glob: str) -> bool:
    """The same with `?`: for each character, the bits say which beginnings of the glob fit."""
    if len(text) > LONGEST:
        return False
    while "**" in glob:
        glob = glob.replace("**", "*")
    accepting = dict.fromkeys(text, 0)
    stars = 0
    for index, character in enumerate(glob):
        if character == "*":
            stars |= 1 << index
        elif character == "?":
            for each in accepting:
                accepting[each] |= 1 << index
        elif character in accepting:
            accepting[character] |= 1 << index
    fitting = 1 | (stars & 1) << 1
    for character in text:
        fitting = (fitting & accepting[character]) << 1 | fitting & stars
        fitting |= (fitting & stars) << 1  # A star may stand for nothing.
    return bool(fitting >> len(glob) & 1)
