"""What a scalar of YAML means to kubectl, and how its keys become JSON's."""

from __future__ import annotations

import base64
import binascii
import math
import re
import struct
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
_TOO_LARGE = 10**308
_LAST_PLAIN = 1e21
"""From here on Go writes a whole number with an exponent."""
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
        found = resolve(text)
        if not isinstance(found, _TYPES[kind]) or isinstance(found, bool) != (kind == "bool"):
            raise ValueError(f"{text[:40]!r} is not of its tag !!{kind}")
        return found
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
    if text[0] not in "+-.0123456789":
        return text
    if text[0] == ".":
        return float(text) if _FRACTION.fullmatch(text) and _is_finite(text) else text
    digits = text.replace("_", "")
    if _INTEGER.fullmatch(digits):
        number = _parsed(digits)
        if _fits(number) or (0 <= number <= _MAX_UINT64 and digits[0] != "+"):
            return number
    return float(digits) if _FLOAT.fullmatch(digits) and _is_finite(digits) else text


def as_json(found: Any) -> Any:
    """The value after its way through Go's JSON, which has no infinity and only 64-bit integers.

    There a float that is whole becomes an integer. Raises ValueError.
    """
    if isinstance(found, bool) or not isinstance(found, int | float):
        return found
    if isinstance(found, int) and _fits(found):
        return found
    is_huge = isinstance(found, int) and abs(found) > _TOO_LARGE
    number = math.inf if is_huge else float(found)
    if not math.isfinite(number):
        raise ValueError(f"{str(found)[:40]} is no number that JSON has")
    return int(number) if number.is_integer() and abs(number) < _LAST_PLAIN else number


def key(found: Any) -> str:
    """The name of a member in JSON. Raises ValueError for what kubectl does not take as a key."""
    if isinstance(found, str):
        return found
    if isinstance(found, bool):
        return "true" if found else "false"
    if isinstance(found, int) and _fits(found):
        return str(found)
    if isinstance(found, float):
        return _shortest(found)
    shown = "null" if found is None else str(found) if isinstance(found, int) else "a structure"
    raise ValueError(f"{shown} cannot be a key")


def _parsed(digits: str) -> int:
    sign = -1 if digits[0] == "-" else 1
    digits = digits.lstrip("+-")
    is_old_octal = len(digits) > 1 and digits[0] == "0" and digits.isdigit()
    return sign * (int(digits, 8) if is_old_octal else int(digits, 0))


def _fits(number: int) -> bool:
    return -(2**63) <= number < 2**63


def _is_finite(digits: str) -> bool:
    return math.isfinite(float(digits))


def _shortest(number: float) -> str:
    """As Go's FormatFloat(number, 'g', -1, 32), which kubectl makes keys with."""
    rounded = _single(number)
    if not math.isfinite(rounded):
        return ".nan" if math.isnan(rounded) else ".inf" if rounded > 0 else "-.inf"
    scientific = next(
        text for digits in range(17) if _single(float(text := f"{rounded:.{digits}e}")) == rounded
    )
    is_short = -4 <= int(scientific.partition("e")[2]) < 6
    return repr(float(scientific)).removesuffix(".0") if is_short else scientific


def _single(number: float) -> float:
    """The nearest number of 32 bits."""
    try:
        single: float = struct.unpack("f", struct.pack("f", number))[0]
    except OverflowError:
        return math.copysign(math.inf, number)
    return single
