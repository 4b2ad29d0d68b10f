"""Globs mean what they mean to a shell, and take no longer than their weight says."""

from __future__ import annotations

import fnmatch
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar_injector.core.pods import globs

TEXTS = st.text("ab-é", max_size=8)
GLOBS = st.text("ab-é*?", max_size=8)


@given(TEXTS, GLOBS)
def test_a_glob_is_that_of_the_shell(text, glob):
    assert globs.matches(text, [glob]) == bool(re.match(fnmatch.translate(glob), text))


@given(TEXTS, st.lists(GLOBS, max_size=3))
def test_one_of_several_is_enough(text, several):
    assert globs.matches(text, several) == any(globs.matches(text, [glob]) for glob in several)


@pytest.mark.parametrize("glob", ["[a]", "a.", "a|b", "\\"])
def test_other_characters_stand_for_themselves(glob):
    assert globs.matches(glob, [glob])
    assert not globs.matches("a", [glob])


@pytest.mark.parametrize(
    ("text", "glob"),
    [
        ("a" * 200_000, "*a" * 500 + "b"),
        ("a" * 200_000, "*" + "a" * 500 + "*b"),
        ("a" * globs.LONGEST, "*?" * 500),
        ("ab" * (globs.LONGEST // 2), "*a?" * 300 + "b"),
        ("a" * 200_000, "*?" * 30),
        ("a" * globs.LONGEST, "*" * 1000 + "?b"),
    ],
)
def test_the_weight_of_a_glob_says_how_long_it_takes_at_most(text, glob):
    """In comparison with a usual one, which takes a microsecond."""
    usual = spent("istio-proxy", "*-proxy") / globs.weight(["*-proxy"])
    assert spent(text, glob) < 3 * usual * globs.weight([glob])


def spent(text, glob):
    """Of processor time, the best of five."""
    times = []
    for _ in range(5):
        start = time.process_time()
        for _ in range(50):
            globs.matches(text, [glob])
        times.append(time.process_time() - start)
    return min(times)
