"""What a scalar of YAML means to kubectl."""

from __future__ import annotations

import base64
import binascii
import math
import re
from typing import Any

_WORDS: dict[str, Any] = {
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
_FRACTION = re.compile(r"\.[0-9]+(_[0-9]+)*([eE][-+]?[0-9]+)?")
_MAX_UINT64 = 2**64 - 1
_MAX_DIGITS = 4000
"""Python converts no decimal number that is longer; as a float each is infinite."""
_TAG = "tag:yaml.org,2002:"
_TYPES: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
    "null": (type(None),),
}


def read(text: str, *, tag: str | None, plain: bool) -> Any:
    """The meaning of a scalar; `plain` is one without quotes and tag. Raises ValueError."""
    if tag is None:
        return resolve(text) if plain else text
    kind = tag.removeprefix(_TAG)
    if kind in _TYPES:
        value = resolve(text)
        if not isinstance(value, _TYPES[kind]) or isinstance(value, bool) != (kind == "bool"):
            raise ValueError(f"{text[:40]!r} is not of its tag !!{kind}")
        return value
    if kind == "binary":
        try:
            return base64.b64decode(text, validate=True).decode(errors="replace")
        except binascii.Error as error:
            raise ValueError("a !!binary is not base64") from error
    return text


def resolve(text: str) -> Any:
    """The meaning of a plain (unquoted) scalar without tag."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "+-.0123456789" or len(text) > _MAX_DIGITS:
        return text
    if text[0] == ".":
        return float(text) if _FRACTION.fullmatch(text) and _is_finite(text) else text
    digits = text.replace("_", "")
    if _INTEGER.fullmatch(digits):
        number = _parsed(digits)
        if _fits(number) or (0 <= number <= _MAX_UINT64 and digits[0] != "+"):
            return number
    return float(digits) if _FLOAT.fullmatch(digits) and _is_finite(digits) else text


def as_json(value: Any) -> Any:
    """The value as JSON has it in Go: whole numbers within 64 bits are integers, others floats.

    Raises ValueError for infinity and NaN.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    if isinstance(value, int) and _fits(value):
        return value
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"{str(value)[:40]} is not a number in JSON")
    return int(number) if number.is_integer() and _fits(int(number)) else number


def key(value: Any) -> str:
    """The name of a member in JSON: of a string, an integer or a boolean. Raises ValueError.

    kubectl also takes floats, but rounds them to 32 bits: 1.10 becomes "1.1".
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and _fits(value):
        return str(value)
    is_number = isinstance(value, int | float)
    described = str(value) if is_number else "null" if value is None else "a structure"
    hint = ": put it in quotes" if isinstance(value, float) else ""
    raise ValueError(f"{described} cannot be a key{hint}")


def _parsed(digits: str) -> int:
    sign = -1 if digits[0] == "-" else 1
    digits = digits.lstrip("+-")
    is_old_octal = len(digits) > 1 and digits[0] == "0" and digits.isdigit()
    return sign * (int(digits, 8) if is_old_octal else int(digits, 0))


def _fits(number: int) -> bool:
    return -(2**63) <= number < 2**63


def _is_finite(digits: str) -> bool:
    return math.isfinite(float(digits))
