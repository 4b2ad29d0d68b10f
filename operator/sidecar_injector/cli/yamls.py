"""YAML as kubectl reads it, which is not as PyYAML does.

kubectl goes through sigs.k8s.io/yaml: dates and `12:30:45` are strings, `0o17` and `017` are 15,
`1e3` is a number, `y` and `on` are booleans, and keys become strings.
https://github.com/yaml/go-yaml/blob/v2/resolve.go
"""

from __future__ import annotations

import math
import re
from collections.abc import Hashable, Iterator
from typing import Any, ClassVar, TextIO

import yaml

_PLAIN = "!plain"
_WORDS: dict[str, object] = {
    word: value
    for value, spellings in (
        (None, ("", "~", "null", "Null", "NULL")),
        (True, ("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON")),
        (False, ("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF")),
        (math.nan, (".nan", ".NaN", ".NAN")),
        (math.inf, (".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF")),
        (-math.inf, ("-.inf", "-.Inf", "-.INF")),
    )
    for word in spellings
}
_INTEGER = re.compile(r"[-+]?(0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO]?[0-7]+|0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INTEGER_LIMITS = (-(2**63), 2**64 - 1)


def resolve(text: str) -> object:
    """The value of a plain (unquoted) scalar."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "+-.0123456789":
        return text
    digits = text.replace("_", "") if text[0] != "." else text
    if _INTEGER.fullmatch(digits) and _INTEGER_LIMITS[0] <= _integer(digits) <= _INTEGER_LIMITS[1]:
        return _integer(digits)
    if _FLOAT.fullmatch(digits):
        number = float(digits)
        # On its way through JSON a float that is whole becomes an integer.
        return int(number) if number.is_integer() and abs(number) < 1e21 else number
    return text


def _integer(digits: str) -> int:
    sign = -1 if digits[0] == "-" else 1
    digits = digits.lstrip("+-")
    is_old_octal = len(digits) > 1 and digits[0] == "0" and digits.isdigit()
    return sign * (int(digits, 8) if is_old_octal else int(digits, 0))


_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_Dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class Loader(_Loader):  # type: ignore[misc]  # the C loader where PyYAML was built with it
    """PyYAML's parser with kubectl's meaning of plain scalars and of keys."""

    yaml_implicit_resolvers: ClassVar[dict[str | None, list[tuple[str, re.Pattern[str]]]]] = {
        None: [(_PLAIN, re.compile(""))],
        "<": [("tag:yaml.org,2002:merge", re.compile(r"<<$"))],
    }

    def construct_mapping(
        self,
        node: yaml.MappingNode,
        deep: bool = False,  # noqa: FBT001, FBT002 - PyYAML's signature
    ) -> dict[Hashable, Any]:
        """A mapping whose keys are strings, as in JSON."""
        mapping: dict[Hashable, Any] = super().construct_mapping(node, deep=deep)
        return {_key(key): value for key, value in mapping.items()}


def _key(key: Hashable) -> str:
    if isinstance(key, bool):
        return "true" if key else "false"
    return "null" if key is None else str(key)


def _construct_plain(loader: Loader, node: yaml.ScalarNode) -> object:
    return resolve(str(loader.construct_scalar(node)))


Loader.add_constructor(_PLAIN, _construct_plain)


class Dumper(_Dumper):  # type: ignore[misc]  # the C dumper where PyYAML was built with it
    """Writes what `Loader`, and so kubectl, reads back as the same."""

    def ignore_aliases(self, data: Any) -> bool:
        """Shared parts are written out: anchors are not for people."""
        return True


def _represent_string(dumper: Dumper, text: str) -> yaml.ScalarNode:
    style = None if isinstance(resolve(text), str) else '"'
    if "\n" in text:
        style = "|"
    node: yaml.ScalarNode = dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)
    return node


Dumper.add_representer(str, _represent_string)


def load_all(text: str) -> Iterator[Any]:
    """The documents of a text. Raises yaml.YAMLError."""
    yield from yaml.load_all(text, Loader=Loader)


def dump_all(documents: list[Any], stream: TextIO) -> None:
    """Write documents as people would: in the order of their keys, without anchors."""
    yaml.dump_all(
        documents, stream, Dumper=Dumper, sort_keys=False, allow_unicode=True,
        default_flow_style=False, width=100, explicit_start=len(documents) > 1,
    )  # fmt: skip
