"""YAML is read as kubectl reads it and written so that it is read back as the same.

What kubectl reads is measured against kubectl itself in tests/controlplane.
"""

from __future__ import annotations

import contextlib
import json
import math
import string
import time

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sidecar_injector.cli.input import yaml_documents

NASTY = [
    "1e3", "yes", "NO", "on", "0o17", "017", "0x1F", "0b1", "12:30:45", "2001-12-14", "~", "", "=",
    "<<", "null", "true", ".inf", ".nan", "1_000", ".5", "-", "--- x", "---", "...", "- a", "a: b",
    "a #b", "#", "&a", "*a", "!a", "@", "`", "%", "{", "[", "'", '"', "\\", " lead", "trail ",
    "two\nlines", "two\nlines\n", "\nfirst empty", "ends empty\n\n", "  indented\nfirst", "\t",
    "a\tb", "trailing \nspace", "\x07\x1b", "\x7f", "\x85", "\u2028", "\ufeff", "é", "\U0001f600",
    "a\r\nb", "\r", "x" * 300, "word " * 60, "---\nx", "a\n---\nb", "\x00", "18446744073709551616",
    "+1", "?",
]  # fmt: skip
TEXTS = (
    st.sampled_from(NASTY)
    | st.text(max_size=20)
    | st.lists(st.sampled_from(NASTY), max_size=3).map("".join)
)
NUMBERS = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=10,
)


def load(text):
    return list(yaml_documents.load_all(text))


def value(text):
    """The value behind `a:`."""
    (document,) = load(f"a: {text}\n")
    return document["a"]


@given(st.lists(st.dictionaries(TEXTS, VALUES, min_size=1, max_size=3), min_size=1, max_size=3))
def test_what_is_written_is_read_back_as_the_same(documents):
    assert load(yaml_documents.dump_all(documents)) == documents


@given(st.dictionaries(TEXTS, VALUES, min_size=1, max_size=3))
def test_json_means_the_same_as_it_does_elsewhere(document):
    assert load(json.dumps(document)) == [document]
    assert load(json.dumps(document, ensure_ascii=False, indent=1)) == [document]


@pytest.mark.parametrize("text", NASTY, ids=ascii)
def test_other_readers_of_yaml_see_a_string_where_we_wrote_one(text):
    assert yaml.safe_load(yaml_documents.dump_all([{"a": text, text: "b"}])) == {
        "a": text,
        text: "b",
    }


@pytest.mark.parametrize("text", [".nan", ".inf", "-.Inf"])
def test_a_number_that_json_does_not_have_is_refused_with_its_line(text):
    with pytest.raises(yaml.MarkedYAMLError, match="is not a number in JSON") as caught:
        load(f"a: 1\nb: {text}\n")
    assert caught.value.problem_mark.line == 1


def test_a_whole_float_is_an_integer_and_large_ones_stay_the_same_number():
    assert [type(value(text)) for text in ("1e3", "1.0", "-0.0", "1.5")] == [int, int, int, float]
    assert value("1e22") == 1e22
    assert value("1.7e308") == 1.7e308
    assert load('{"a": 18446744073709551615, "b": 1.7e308}') == [{"a": 2**64, "b": 1.7e308}]
    assert math.isfinite(value("1e308"))


def test_documents_are_cut_at_lines_that_begin_with_three_dashes():
    text = "# first\n---\na: 1\n--- # second\n---\n---\nb: |\n  x\n---\n"
    assert load(text) == [{"a": 1}, None, None, {"b": "x\n"}, None]
    assert load("---\r\na: 1\r\n---\r\nb: 2\r\n") == [{"a": 1}, {"b": 2}]
    assert load("") == []
    assert load("\ufeffa: 1\n") == [{"a": 1}]


@pytest.mark.parametrize("text", ["--- {a: 1}\n", "a: 1\n--- |\n x\n", "----\n"])
def test_what_follows_the_dashes_on_their_line_is_refused(text):
    with pytest.raises(yaml.MarkedYAMLError, match="it needs its own line"):
        load(text)


def test_a_second_document_that_kubectl_would_drop_is_refused():
    assert load("a: 1\n...\n") == [{"a": 1}]
    with pytest.raises(yaml.MarkedYAMLError, match="expected <document start>"):
        load("a: 1\n...\nb: 2\n")


def test_an_error_names_the_line_of_the_file_not_of_the_document():
    with pytest.raises(yaml.MarkedYAMLError) as caught:
        load("a: 1\n---\nb: 2\n---\nc: [\n")
    assert caught.value.problem_mark.line >= 4


class CountedText(str):
    """A text that counts the characters of its copies."""

    __slots__ = ()
    copied = 0

    def __getitem__(self, key):
        return self._counted(super().__getitem__(key))

    def lstrip(self, chars=None):
        return self._counted(super().lstrip(chars))

    @classmethod
    def _counted(cls, text):
        cls.copied += len(text)
        return cls(text)


def test_a_stream_of_json_values_is_copied_a_few_times_only(monkeypatch):
    text = json.dumps({"a": 1}) * 200
    monkeypatch.setattr(CountedText, "copied", 0)
    assert len(list(yaml_documents.load_all(CountedText(text)))) == 200
    assert CountedText.copied < 5 * len(text)


def test_a_stream_of_documents_is_parsed_once(monkeypatch):
    lengths, parse = [], yaml.parse

    def counted(text, **options):
        lengths.append(len(text))
        return parse(text, **options)

    monkeypatch.setattr(yaml, "parse", counted)
    text = "---\na: 1\n" * 200
    assert load(text) == [{"a": 1}] * 200
    assert sum(lengths) <= len(text)


def test_integers_and_booleans_become_keys():
    text = "1: a\ntrue: b\n0o17: c\n-0x1: d\nno: e\n2001-01-01: f\n"
    assert load(text) == [
        {"1": "a", "true": "b", "15": "c", "-1": "d", "false": "e", "2001-01-01": "f"}
    ]


def test_a_key_that_is_no_text_names_its_line():
    with pytest.raises(yaml.MarkedYAMLError) as caught:
        load("a: 1\n---\nb:\n  1.5: x\n")
    assert (caught.value.problem_mark.line, caught.value.problem_mark.column) == (3, 2)


def test_a_number_of_more_digits_than_python_converts_is_a_text():
    assert value("9" * 5000) == "9" * 5000
    assert load(yaml_documents.dump_all([{"a": "9" * 5000}])) == [{"a": "9" * 5000}]


def test_json_values_may_follow_each_other():
    assert load('{"a": 1}\n{"b": 2}') == [{"a": 1}, {"b": 2}]
    assert load('{"a": 1}\n---\n{"b": 2}\n') == [{"a": 1}, {"b": 2}]
    assert load("{a: yes}\n---\n{b: 2}\n") == [{"a": True}, {"b": 2}]
    assert load('{"a": "\\ud83d\\ude00"}') == [{"a": "\U0001f600"}]


def test_anchors_and_merges_become_plain_values():
    text = "base: &b {p: 1, q: 2}\none:\n  <<: *b\n  q: 3\nboth: [*b, *b]\n"
    base = {"p": 1, "q": 2}
    assert load(text) == [{"base": base, "one": {"p": 1, "q": 3}, "both": [base, base]}]
    assert "&" not in yaml_documents.dump_all(load(text))
    assert "*" not in yaml_documents.dump_all(load(text))


def test_a_merge_overrides_keys_before_it_and_later_keys_override_the_merge():
    assert load("p: 1\n<<: {p: 2, q: 2}\nq: 3\n") == [{"p": 2, "q": 3}]
    assert load("<<: [{p: 1}, {p: 2, q: 2}]\n") == [{"p": 1, "q": 2}]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: &x [*x]\n", "&x contains itself"),
        ("a: &x {b: {c: *x}}\n", "&x contains itself"),
        ("a: *x\n", r"\*x has no anchor before it"),
        ("a: &x 1\n---\nb: *x\n", r"\*x has no anchor before it"),
        ("<<: 3\n", "<< merges a mapping"),
        ("? [a]\n: 1\n", "a structure cannot be a key"),
        ("~: 1\n", "null cannot be a key"),
        ("18446744073709551615: 1\n", "18446744073709551615 cannot be a key"),
        ("1.10: 1\n", "1.1 cannot be a key: put it in quotes"),
        ("1e6: 1\n", "1000000.0 cannot be a key: put it in quotes"),
        ('{"a": "\\ud83d"}', "invalid Unicode character escape code"),
        ("a: !!int x\n", "not of its tag !!int"),
        ("a: !!bool 1\n", "not of its tag !!bool"),
        ("a: !!binary '?'\n", "not base64"),
        ("a: " + "[" * 101 + "\n", "more than 100 levels deep"),
        ("[" * 200_000, "more than 100 levels deep"),
        ('{"a":' * 500 + "1" + "}" * 500, "more than 100 levels deep"),
    ],
    ids=lambda text: text[:20],
)  # fmt: skip
def test_what_cannot_be_a_manifest_is_refused(text, problem):
    with pytest.raises(yaml.YAMLError, match=problem):
        load(text)


def test_a_few_lines_of_aliases_cannot_fill_the_memory():
    lines = ["a0: &a0 [1, 2]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    with pytest.raises(yaml.MarkedYAMLError, match="1000000 values"):
        load("\n".join(lines))


def test_what_is_deep_but_accepted_can_be_written():
    text = "a: " + "[" * 99 + "]" * 99 + "\n"
    assert load(yaml_documents.dump_all(load(text))) == load(text)


@pytest.mark.parametrize("content", ["\x00", "a: \x07", "a: [", "a: b: c", "\ta: 1", "%YAML 9\n"])
def test_what_is_no_yaml_at_all_is_a_yaml_error(content):
    with pytest.raises(yaml.YAMLError):
        load(content)


@pytest.mark.parametrize("opening", ["", "# ", "p: ", "p: [", "p: |\n  ", "p: '", "{", "---\n"])
def test_twice_the_text_takes_about_twice_the_time(opening):
    slow = []
    for character in string.printable:
        times = [seconds_to_read(opening + character * length) for length in (20_000, 40_000)]
        # Below some milliseconds the clock counts more than the reader.
        if times[1] > 0.01 and times[1] > 3 * times[0]:
            slow.append((character, times))
    assert slow == []


def seconds_to_read(text):
    """Of processor time, the best of three."""
    times = []
    for _ in range(3):
        start = time.process_time()
        with contextlib.suppress(yaml.YAMLError):
            list(yaml_documents.load_all(text))
        times.append(time.process_time() - start)
    return min(times)


def test_colons_at_the_end_of_texts_in_braces_are_bounded():
    many = yaml_documents.MAX_FLOW_COLONS
    assert load(f"p: [{'a:, ' * many}]") == [{"p": ["a:"] * many}]
    with pytest.raises(yaml.YAMLError, match="end in a colon"):
        load(f"p: [{'a:, ' * (many + 1)}]")


def test_a_character_that_could_stand_for_a_colon_stays_what_it_is():
    assert load("p: [\ue000, a:, '\ue000:']") == [{"p": ["\ue000", "a:", "\ue000:"]}]
