"""One record is one line, whatever a client puts into it, and a client cannot fill the log."""

from __future__ import annotations

import io
import json
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar_injector.observability import logs

ANY_TEXT = st.text(st.characters(exclude_categories=()))
"""Also with halves of surrogate pairs."""
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | ANY_TEXT,
    lambda values: st.lists(values, max_size=3) | st.dictionaries(ANY_TEXT, values, max_size=3),
    max_leaves=6,
)
INVISIBLE = [
    "\n", "\r", "\x00", "\x1b[2J", "\x7f", "\x80", "\x85", "\x9b2J", "\x9f", "\u061c", "\u200b",
    "\u200d", "\u200e", "\u200f", "\u2028", "\u2029", "\u202a", "\u202e", "\u2060", "\u2066",
    "\u2069", "\ufeff", "\ud800", "\udfff", "\U000e0041",
]  # fmt: skip
TEXT = logs.TextFormatter("%(levelname)s %(message)s")
JSON = logs.JsonFormatter()


def record(message, *, error=None, level=logging.INFO, **fields):
    exc_info = (type(error), error, error.__traceback__) if error else None
    result = logging.LogRecord("some.logger", level, __file__, 1, "%s", (message,), exc_info)
    if fields:
        result.fields = fields
    return result


def raised(error):
    try:
        raise error
    except type(error) as caught:
        return caught


@given(ANY_TEXT, ANY_TEXT)
def test_a_text_log_has_one_line_for_each_record_and_marks_those_of_tracebacks(message, cause):
    line, *others = TEXT.format(record(message, error=raised(ValueError(cause)))).split("\n")
    assert line.startswith("INFO ")
    assert all(other.startswith(logs.TRACEBACK_PREFIX) for other in others)
    assert all(text.isprintable() for text in (line, *others))


@given(ANY_TEXT, ANY_TEXT, JSON_VALUES)
def test_a_json_log_has_one_line_for_each_record_and_it_says_the_same(message, cause, value):
    line = JSON.format(record(message, error=raised(ValueError(cause)), value=value))
    assert line.isprintable()
    fields = json.loads(line)
    assert (fields["message"], fields["value"]) == (message, value)
    assert fields["traceback"].startswith("Traceback")


@pytest.mark.parametrize("text", INVISIBLE, ids=ascii)
def test_no_character_that_cannot_be_seen_reaches_a_log(text):
    for formatter in (TEXT, JSON):
        assert formatter.format(record(f"a{text}b", pod=f"a{text}b")).isprintable()


def test_what_people_write_in_any_language_stays_as_it_is():
    text = "pod demo/wéb: 名前 'a'… 🚀"
    assert logs.one_line(text) == text
    assert text.encode() in logs.dumped({"": text})


def test_an_exception_cannot_forge_a_line():
    error = raised(ValueError("why\nINFO a line that nobody wrote"))
    lines = TEXT.format(record("hello", error=error)).split("\n")
    assert [line for line in lines if line.startswith("INFO")] == ["INFO hello"]
    assert "  | INFO a line that nobody wrote" in lines


def test_the_text_of_an_unquoted_exception_is_not_logged_and_its_type_and_place_are():
    error = raised(ValueError("canary-1"))
    error.__context__ = error.__cause__ = KeyError("canary-2")
    unquoted = logs.unquoted(error)
    for formatter in (TEXT, JSON):
        line = formatter.format(record("hello", error=unquoted))
        assert "ValueError" in line
        assert "test_logs.py" in line
        assert "UnquotedError" in line
        assert "canary-2" not in line
        assert "Error: canary" not in line


def test_a_message_and_a_traceback_have_a_longest_length():
    error = raised(ValueError("x" * 300_000))
    for formatter in (TEXT, JSON):
        line = formatter.format(record("y" * 300_000, error=error))
        assert len(line) < logs.LONGEST_MESSAGE + logs.LONGEST_TRACEBACK + 500
        assert "…" in line


@pytest.mark.parametrize("formatter", [TEXT, JSON])
def test_a_record_with_a_mistake_costs_no_more_than_itself_and_its_arguments_are_not_written(
    formatter, capsys
):
    stream = io.BytesIO()
    broken = logging.LogRecord("lib", logging.ERROR, "f", 1, "%s %s", ("canary",), None)
    logs.Lines(stream, formatter).emit(broken)
    assert b"a line of lib cannot be written: TypeError" in stream.getvalue()
    assert b"canary" not in stream.getvalue()
    assert capsys.readouterr().err == ""


def emitted(*records):
    """The lines that a handler writes for these records, as text."""
    stream = io.BytesIO()
    handler = logs.Lines(stream, logging.Formatter("%(message)s"))
    for each in records:
        handler.emit(each)
    handler.flush()
    return stream.getvalue().decode().splitlines()


def at(seconds, message, *, name="some.logger", level=logging.WARNING):
    result = logging.LogRecord(name, level, __file__, 1, message, (), None)
    result.created = seconds
    return result


def test_warnings_of_one_kind_have_a_limit_and_the_last_one_says_so():
    many = [at(100.0, "again") for _ in range(3 * logs.MOST_OF_A_KIND)]
    lines = emitted(*many, at(101.0, "another"), at(101.0, "again", name="other"))
    assert lines[: logs.MOST_OF_A_KIND - 1] == ["again"] * (logs.MOST_OF_A_KIND - 1)
    last = "again (for a minute no more of these are logged)"
    assert lines[logs.MOST_OF_A_KIND - 1 :] == [last, "another", "again"]


def test_those_that_are_dropped_are_counted():
    handler, dropped = logs.Lines(io.BytesIO(), TEXT), []
    handler.on_drop = lambda: dropped.append(1)
    for _ in range(logs.MOST_OF_A_KIND + 3):
        handler.emit(at(100.0, "again"))
    assert len(dropped) == 3


def test_after_a_minute_they_are_logged_again():
    many = [at(100.0, "again") for _ in range(logs.MOST_OF_A_KIND + 1)]
    lines = emitted(*many, at(101.0 + logs.FLOOD_SECONDS, "again"))
    assert len(lines) == logs.MOST_OF_A_KIND + 1
    assert lines[-1] == "again"


def test_kinds_of_warnings_have_a_limit_too():
    lines = emitted(*(at(100.0, f"kind {number}") for number in range(10 * logs.MOST_KINDS)))
    assert logs.MOST_KINDS <= len(lines) <= logs.MOST_KINDS + logs.MOST_OF_A_KIND


def test_other_lines_have_no_limit():
    count = 3 * logs.MOST_OF_A_KIND
    assert len(emitted(*(at(100.0, "pod", level=logging.INFO) for _ in range(count)))) == count


@pytest.mark.parametrize("name", ["aiohttp.client", "asyncio", "kopf.objects", "kubernetes.client"])
def test_the_lines_of_libraries_are_written_by_the_same_handler(name):
    logger, root = logging.getLogger(name), logging.getLogger()
    while logger is not root:
        assert not any(isinstance(each, logging.StreamHandler) for each in logger.handlers)
        assert logger.propagate
        assert logger.parent is not None
        logger = logger.parent
