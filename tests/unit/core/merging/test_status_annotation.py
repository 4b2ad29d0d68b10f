"""The text of the status annotation is the same bytes whatever writes it."""

from __future__ import annotations

import json

import pytest

from sidecar_injector.core.merging import status_annotation
from sidecar_injector.core.merging.status_annotation import Entry, Provenance, Skipped

TEXTS = ("a", "é", "\x7f", "\u2028", '\x00\b\t\n\f\r\x1f"\\/<', "\ud800", "😀", "")
NUMBERS = (None, 0, -1, 2**63, 2**64, 10**30)


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("patched", [(), ({"op": "add", "path": "/é", "value": 1e16},)])
def test_the_text_is_compact_json_of_ascii_with_sorted_keys(text, number, patched):
    added = {"volumes": [text], "containers": ["b", "a"], "labels": {text: text, "b": "", "a": "1"}}
    entry = Entry(
        kind="K", name=text, generation=number, hash=text, mode="", added=added, patched=patched
    )
    skipped = Skipped(kind="K", name="n", reason=text)
    value = Provenance((entry,), (skipped,)).as_text()
    assert value == json.dumps(json.loads(value), sort_keys=True, separators=(",", ":"))
    assert value.isascii()
    assert status_annotation.Provenance((), (skipped,)).as_text() == json.dumps(
        {"skipped": [{"kind": "K", "name": "n", "reason": text}], "version": 1},
        sort_keys=True,
        separators=(",", ":"),
    )


def test_nothing_that_is_empty_is_written():
    entry = Entry(kind="K", name="n", added={"volumes": [], "labels": {}})
    assert Provenance((entry,)).as_text() == '{"injections":[{"kind":"K","name":"n"}],"version":1}'
