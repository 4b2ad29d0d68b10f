"""How a text spells its values, so that they are printed as they were written.

Kept are quotes, braces and brackets, octal numbers, the indentation of lists and a leading `---`.
Comments, empty lines and line breaks within a value are not kept.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Mapping
from typing import Any, Self

import yaml

_OCTAL = re.compile(r"0[0-7]+")


class SingleQuoted(str):
    """A string in single quotes."""

    __slots__ = ()


class DoubleQuoted(str):
    """A string in double quotes."""

    __slots__ = ()


class Literal(str):
    """A block of lines."""

    __slots__ = ()


class Folded(str):
    """A block of lines that are joined."""

    __slots__ = ()


_TEXTS: Mapping[str, type[str]] = {
    "'": SingleQuoted, '"': DoubleQuoted, "|": Literal, ">": Folded,
}  # fmt: skip


class Octal(int):
    """A number that was written with a leading zero, as file modes are."""

    __slots__ = ()


class FlowMapping(dict[str, Any]):
    """A mapping in braces."""

    def copy(self) -> Self:
        """A mapping in braces, too."""
        return type(self)(self)


class FlowSequence(list[Any]):
    """A list in brackets."""

    def copy(self) -> Self:
        """A list in brackets, too."""
        return type(self)(self)


@dataclasses.dataclass(slots=True)
class Layout:
    """What is the same in a whole document."""

    has_start: bool = False
    """Whether it begins with `---`."""
    indents_lists: bool = False
    """Whether the items of a list are further right than its name."""


def scalar(value: Any, event: yaml.ScalarEvent) -> Any:
    """The value with the style of its event."""
    if isinstance(value, str):
        return _TEXTS.get(event.style or "", str)(value)
    is_octal = event.implicit[0] and _OCTAL.fullmatch(event.value)
    return Octal(value) if is_octal and isinstance(value, int) else value


def plain(value: Any) -> Any:
    """The value without styles."""
    if isinstance(value, dict):
        return {str(key): plain(member) for key, member in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, str):
        return str(value)
    return int(value) if isinstance(value, Octal) else value


def add_representers(dumper: Any) -> None:
    """Let a dumper write these values as they were written."""
    for style, text in _TEXTS.items():
        dumper.add_representer(text, functools.partial(_represent_text, style=style))
    dumper.add_representer(Octal, _represent_octal)
    dumper.add_representer(FlowMapping, _represent_mapping)
    dumper.add_representer(FlowSequence, _represent_sequence)


def _represent_text(dumper: Any, text: str, *, style: str) -> Any:
    return dumper.represent_scalar("tag:yaml.org,2002:str", str(text), style=style)


def _represent_octal(dumper: Any, number: Octal) -> Any:
    return dumper.represent_scalar("tag:yaml.org,2002:int", f"0{number:o}")


def _represent_mapping(dumper: Any, mapping: FlowMapping) -> Any:
    return dumper.represent_mapping("tag:yaml.org,2002:map", mapping, flow_style=True)


def _represent_sequence(dumper: Any, items: FlowSequence) -> Any:
    return dumper.represent_sequence("tag:yaml.org,2002:seq", items, flow_style=True)
