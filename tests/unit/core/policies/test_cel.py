"""Literals and sums of expressions, and the order of variables."""

import itertools
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar_injector.core.policies import cel

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXTS,
    lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner),
)


@given(TEXTS)
def test_a_text_stays_in_its_literal(text):
    assert json.loads(cel.text(text)) == text
    assert "\n" not in cel.text(text)


@given(VALUES)
def test_a_literal_without_dyn_is_the_json_of_the_value(value):
    """Members that are null are left out, as the API server does."""
    assert json.loads(_without_dyn(cel.literal(value))) == _without_null(value)


def _without_dyn(literal):
    """The literal with each `dyn(...)` outside of texts replaced by what is in it."""
    result, depth, closing, index = [], 0, set(), 0
    while index < len(literal):
        if literal[index] == '"':
            end = index + 1
            while literal[end] != '"':
                end += 2 if literal[end] == "\\" else 1
            result.append(literal[index : end + 1])
            index = end + 1
        elif literal.startswith("dyn(", index):
            closing.add(depth)
            depth, index = depth + 1, index + 4
        elif literal[index] == ")":
            depth, index = depth - 1, index + 1
        else:
            result.append(literal[index])
            index += 1
    return "".join(result)


def _without_null(value):
    if isinstance(value, dict):
        return {key: _without_null(item) for key, item in value.items() if item is not None}
    return [_without_null(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("number", [2**53 + 1, -(2**60)])
def test_a_number_that_a_policy_cannot_carry_is_refused(number):
    with pytest.raises(cel.NotExactError):
        cel.literal({"a": [number]})


def test_an_expression_stands_for_itself():
    value = {"a": cel.Cel("variables.x"), "b": ["y", cel.Cel("variables.z")]}
    assert cel.literal(value) == '{"a": dyn(variables.x), "b": dyn(["y", variables.z])}'


@given(st.lists(st.sampled_from(["a", "b", "[]"]), max_size=300))
def test_a_sum_is_balanced(parts):
    sums = cel.total(parts)
    levels = itertools.accumulate((char == "(") - (char == ")") for char in sums)
    assert max(levels, default=0) <= math.ceil(math.log2(max(len(parts), 1)))
    assert sums.count("a") == parts.count("a")


def test_no_variable_comes_before_what_it_uses_or_is_there_twice():
    variables = cel.Variables()
    variables.let("a", "1")
    with pytest.raises(ValueError, match="variable a"):
        variables.let("a", "variables.a")
    with pytest.raises(ValueError, match="variable b"):
        variables.let("b", "variables.c")


def test_only_what_is_used_is_in_the_policy():
    variables = cel.Variables()
    for name, expression in {"a": "1", "b": "variables.a", "c": "2", "d": "variables.b"}.items():
        variables.let(name, expression)
    assert [one["name"] for one in variables.used_by("variables.d + 1")] == ["a", "b", "d"]


@given(st.lists(st.integers(1, 400), max_size=60))
def test_a_long_sum_is_divided_into_short_variables(sizes):
    variables = cel.Variables()
    expression = variables.sum("x", ["a" * size for size in sizes])
    defined = variables.used_by(expression)
    assert all(len(one["expression"]) < 2 * cel.SHORT for one in defined)
    assert len(expression) < 2 * cel.SHORT
    text = "".join(one["expression"] for one in defined) + ("" if defined else expression)
    assert text.count("a") - text.count("variables") * 2 == sum(sizes)
