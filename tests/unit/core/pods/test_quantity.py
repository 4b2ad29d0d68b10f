"""The text of a quantity, which messages contain."""

from __future__ import annotations

import fractions

import pytest

from sidecar_injector.core.pods import quantity


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("0", "0"),
        ("0.1", "100m"),
        ("1.5", "1500m"),
        ("134217728", "128Mi"),
        ("8Ei", str(2**63 - 1)),
    ],
)
def test_a_quantity_is_written_as_people_write_it(value, text):
    assert quantity.text(quantity.stored(value, digits=quantity.MILLI)) == text


@pytest.mark.parametrize("value", ["1e60", "9" * 60, "1e99", f"{'9' * 60}.001", "-1e60"])
def test_the_text_of_a_quantity_of_any_size_is_that_quantity(value):
    amount = quantity.stored(value, digits=quantity.MILLI)
    assert exact(quantity.text(amount)) == fractions.Fraction(amount)


@pytest.mark.parametrize(("value", "unit", "is_multiple"), [
    ("1e60", "1", True), ("1e60", "3", False), ("9" * 250, "1", True),
    (f"{'9' * 200}.5", "1", False), ("1e99", "1e-3", True), ("4Mi", "2Mi", True),
])  # fmt: skip
def test_a_quantity_of_any_size_is_a_multiple_or_not(value, unit, is_multiple):
    amounts = (quantity.stored(each, digits=quantity.MILLI) for each in (value, unit))
    assert quantity.is_multiple(*amounts) is is_multiple


def exact(text):
    """The number of a text, however long it is."""
    unit = text.lstrip("-0123456789")
    units = {"": 1, "m": fractions.Fraction(1, 1000), "Ei": 1024**6, "Pi": 1024**5}
    return int(text.removesuffix(unit)) * units[unit]
