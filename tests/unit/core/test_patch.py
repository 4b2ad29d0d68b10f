"""The editor: copy-on-write, strict, and recorded as it goes."""

from __future__ import annotations

import copy

import jsonpatch
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar_injector.core import patch

KEYS = st.text(alphabet='ab~/ \u00e9"\\', max_size=4)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=12,
)
LISTS = st.lists(VALUES, max_size=3) | st.none()
HOLDERS = st.fixed_dictionaries({}, optional={"l": LISTS, "m~/": LISTS})
MAPS = st.dictionaries(KEYS, VALUES, max_size=3)
DOCUMENTS = st.fixed_dictionaries(
    {}, optional={"maps": MAPS | st.none(), "lists": HOLDERS | st.none()}
)
EDITS = st.lists(
    st.tuples(st.just("set"), KEYS, VALUES, st.just(0))
    | st.tuples(st.sampled_from(["append", "insert"]), st.sampled_from(["l", "m~/"]), VALUES,
                st.integers(0, 3)),
    max_size=8,
)  # fmt: skip


@given(DOCUMENTS, EDITS)
def test_the_recorded_patch_makes_the_same_document_from_the_untouched_one(document, edits):
    before = copy.deepcopy(document)
    editor = patch.Editor(document)
    for kind, key, drawn, index in edits:
        value = copy.deepcopy(drawn)
        if kind == "set":
            editor.set(("maps", key), value)
        elif kind == "append":
            editor.append(("lists", key), value)
        else:
            length = len((editor.document.get("lists") or {}).get(key) or [])
            editor.insert(("lists", key), min(index, length), value)
    assert document == before
    assert jsonpatch.apply_patch(before, editor.operations) == editor.document


def test_a_parent_is_created_once():
    editor = patch.Editor({})
    editor.set(("metadata", "annotations", "a/b"), "1")
    editor.set(("metadata", "annotations", "c~d"), "2")
    assert [operation["path"] for operation in editor.operations] == [
        "/metadata",
        "/metadata/annotations",
        "/metadata/annotations/a~1b",
        "/metadata/annotations/c~0d",
    ]
    assert editor.operations[1]["value"] == {}


def test_a_value_that_was_taken_in_is_never_changed_by_a_later_edit():
    value = {"env": [1]}
    editor = patch.Editor({"spec": {}})
    editor.set(("spec", "one"), value)
    editor.append(("spec", "one", "env"), 2)
    assert value == {"env": [1]}
    assert editor.document == {"spec": {"one": {"env": [1, 2]}}}
    assert jsonpatch.apply_patch({"spec": {}}, editor.operations) == editor.document


@pytest.mark.parametrize(
    ("path", "text"), [((), ""), (("a", 0, "-"), "/a/0/-"), (("~1", "/"), "/~01/~1")]
)
def test_pointers_escape_tilde_before_slash(path, text):
    assert patch.pointer(path) == text


def test_what_was_empty_is_known_by_the_names_of_its_items():
    containers = [{"name": "a/b", "env": None, "args": [], "tty": False}, {"name": "c", "env": [1]}]
    editor = patch.Editor({"spec": {"containers": containers}, "metadata": {}})
    editor.append(("spec", "containers", 0, "env"), 1)
    editor.append(("spec", "containers", 1, "env"), 2)
    editor.set(("spec", "containers", 0, "args"), ["x"])
    editor.set(("spec", "containers", 0, "tty"), True)
    editor.set(("spec", "new"), 1)
    editor.set(("metadata", "labels", "a"), "b")
    assert editor.empty == {
        "/spec/containers/a~1b/env": None,
        "/spec/containers/a~1b/args": [],
        "/spec/containers/a~1b/tty": False,
        "/metadata": {},
    }


@given(DOCUMENTS, EDITS)
def test_a_replayed_change_is_the_change(document, edits):
    editor = patch.Editor(document)
    for kind, key, value, index in edits:
        if kind == "set":
            editor.set(("maps", key), value)
        else:
            length = len((editor.document.get("lists") or {}).get(key) or [])
            position = length if kind == "append" else min(index, length)
            editor.insert(("lists", key), position, value)
    again = patch.Editor(document)
    for operation in editor.operations:
        again.replay(operation)
    assert again.document == editor.document


def test_a_change_is_replayed_where_there_is_less():
    more = {
        "metadata": {"labels": {"0": "a"}},
        "spec": {"volumes": [1], "containers": [{"name": "a", "env": [1]}]},
    }
    editor = patch.Editor(more)
    editor.append(("spec", "volumes"), 2)
    editor.insert(("spec", "containers", 0, "env"), 0, 3)
    editor.set(("metadata", "labels", "1"), "b")
    less = patch.Editor({"spec": {"volumes": None, "containers": [{"name": "a"}]}})
    for operation in editor.operations:
        less.replay(operation)
    assert less.document == {
        "spec": {"volumes": [2], "containers": [{"name": "a", "env": [3]}]},
        "metadata": {"labels": {"1": "b"}},
    }  # fmt: skip
    assert less.empty == {"/spec/volumes": None}
