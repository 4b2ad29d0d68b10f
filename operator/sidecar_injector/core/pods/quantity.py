"""Kubernetes quantities as exact numbers, so that `0.5` and `500m` compare equal.

https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
"""

from __future__ import annotations

import decimal
import re

MILLI, NANO = 3, 9
"""Decimal digits that the API server keeps: of resources, and of any other quantity."""

SYNTAX = re.compile(
    r"([+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+))([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]{1,2})?"
)
_BINARY = {unit: 1024**power for power, unit in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"), 1)}
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_SPACE = " \t\n\r"
MAX_LENGTH = 256
"""Characters, without spaces around them."""
_ONE, _THOUSAND = decimal.Decimal(1), decimal.Decimal(1000)
_CONTEXT = decimal.Context(prec=400)
_MOST_BINARY = decimal.Decimal(2**63 - 1)
"""The API server makes this of a larger number with a binary unit, such as 8Ei."""


def parse(value: object) -> decimal.Decimal | None:
    """The number that a quantity means, or None if the value is not a quantity."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    text = str(value).strip(_SPACE)
    match = SYNTAX.fullmatch(text) if len(text) <= MAX_LENGTH else None
    if match is None:
        return None
    number, suffix = decimal.Decimal(match[1]), match[2] or ""
    if suffix in _BINARY:
        return min(_CONTEXT.multiply(number, decimal.Decimal(_BINARY[suffix])), _MOST_BINARY)
    power = _DECIMAL[suffix] if suffix in _DECIMAL else int(suffix[1:])
    return _CONTEXT.scaleb(number, power)


def stored(value: object, *, digits: int) -> decimal.Decimal | None:
    """The number that the API server stores: it rounds up to so many decimal digits.

    https://github.com/kubernetes/apimachinery/blob/master/pkg/api/resource/quantity.go
    """
    number = parse(value)
    unit = decimal.Decimal(1).scaleb(-digits)
    return number and number.quantize(unit, rounding=decimal.ROUND_UP, context=_CONTEXT)


def is_multiple(number: decimal.Decimal, unit: decimal.Decimal = _ONE) -> bool:
    """Whether it is a whole number of units. `%` raises if there are more than 28 digits."""
    return not _CONTEXT.remainder(number, unit)


def text(number: decimal.Decimal) -> str:
    """A quantity of resources as people write it: 100m, 2, 128Mi."""
    whole = int(number)
    if number != whole:
        return f"{int(_CONTEXT.multiply(number, _THOUSAND))}m"
    power = 0
    while power < len(_BINARY) and whole and not whole % 1024 ** (power + 1):
        power += 1
    return f"{whole // 1024**power}{['', *_BINARY][power]}"
