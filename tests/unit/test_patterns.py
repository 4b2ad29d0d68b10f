"""No regular expression takes more than linear time, whatever text it gets."""

from __future__ import annotations

import importlib
import pkgutil
import re
import string
import time

import pytest

import sidecar_injector
from sidecar_injector import crds, names

LENGTH = 3000
ENDS = ("", "!", "\n", "\x00")
"""What makes a match fail after a long run of characters that fit."""


@pytest.fixture(scope="module")
def patterns():
    """Every pattern that a module of the package compiles when it is loaded."""
    in_package = pkgutil.walk_packages(sidecar_injector.__path__, "sidecar_injector.")
    modules = [
        importlib.import_module(module.name)
        for module in in_package
        if not module.name.endswith("__main__")
    ]
    patterns = {pattern for module in modules for pattern in patterns_in(vars(module))}
    assert len(patterns) > 20
    for kind in (names.KIND, names.CLUSTER_KIND):
        patterns |= set(map(re.compile, patterns_of_schema(crds.spec_schema(kind))))
    return sorted(patterns, key=lambda pattern: str(pattern.pattern))


def patterns_of_schema(schema):
    if isinstance(schema, dict):
        if isinstance(schema.get("pattern"), str):
            yield schema["pattern"]
        for member in schema.values():
            yield from patterns_of_schema(member)
    elif isinstance(schema, list):
        for member in schema:
            yield from patterns_of_schema(member)


def patterns_in(members):
    for value in members.values():
        if isinstance(value, re.Pattern):
            yield value
        elif type(value).__module__.startswith("sidecar_injector") and hasattr(value, "pattern"):
            yield from patterns_in({"": value.pattern})


def seconds(pattern, text):
    """Of processor time."""
    text = text if isinstance(pattern.pattern, str) else text.encode()
    start = time.process_time()
    pattern.fullmatch(text)
    return time.process_time() - start


def units():
    """What is repeated: each character, and pairs of those with a meaning in our patterns."""
    yield from string.printable
    special = "a1A-._:/$( \n"
    yield from (first + second for first in special for second in special if first != second)


def test_twice_the_text_takes_about_twice_the_time(patterns):
    slow = []
    for pattern in patterns:
        for unit in units():
            for end in ENDS:
                text = unit * (LENGTH // len(unit))
                # Below a millisecond the clock counts more than the pattern.
                if seconds(pattern, text + end) < 0.001:
                    continue
                best = [
                    min(seconds(pattern, times * text + end) for _ in range(3)) for times in (1, 2)
                ]
                if best[1] > 3 * best[0]:
                    slow.append((pattern.pattern, unit, end, best))
    assert slow == []
