"""How the command line prints: on a terminal, in a pipe, without colours."""

from __future__ import annotations

import collections
import io

import hypothesis
import pytest
from hypothesis import strategies as st

from sidecar_injector.cli.output import tables
from tests.kits.cli import ESCAPE, terminal

COLUMNS = ("NAME", "RESULT", "WHY")
ROWS = [("log", "bad", "[red]because[/red] of this and of that and of many other things"),
        ("metrics-of-all", "good", "-")]  # fmt: skip
STYLES = {"bad": "red", "good": "green"}


def printed(console):
    tables.table(COLUMNS, ROWS, styles=STYLES, to=console)
    return console.file.getvalue()


def test_in_a_pipe_columns_are_aligned_and_lines_are_whole(capfdbinary):
    tables.table(COLUMNS, ROWS, styles=STYLES, to=tables.console())
    assert capfdbinary.readouterr().out.decode().splitlines() == [
        "NAME            RESULT  WHY",
        "log             bad     [red]because[/red] of this and of that and of many other things",
        "metrics-of-all  good    -",
    ]


def test_on_a_terminal_results_are_coloured_and_long_cells_wrapped_between_words():
    text = printed(terminal(width=50))
    assert f"{ESCAPE}[31mbad" in text
    assert f"{ESCAPE}[32mgood" in text
    words = printed(terminal(width=50, no_color=True)).split()
    assert words == [word for row in (COLUMNS, *ROWS) for cell in row for word in cell.split()]
    assert max(map(len, printed(terminal(width=50, no_color=True)).splitlines())) <= 50
    # Text of users is not read as markup of rich.
    assert "[red]because[/red]" in text


@pytest.mark.parametrize("width", [20, 50, 80, 300])
def test_a_remedy_is_one_line_that_can_be_copied(width):
    remedy = '→ kubectl patch deployment web -n demo -p \'{"spec":{"template":{}}}\''
    console = terminal(width=width, no_color=True)
    tables.table(COLUMNS, [ROWS[0], remedy, ROWS[1]], styles=STYLES, to=console)
    assert f"  {remedy}" in console.file.getvalue().splitlines()


def test_where_there_is_no_room_beside_a_row_the_last_column_is_below(capfdbinary):
    console = terminal(width=44, no_color=True)
    row = ("a-name-of-some-length", "result", "why this has no room beside the other cells")
    tables.table(COLUMNS, [row, ("b", "good", "")], styles=STYLES, to=console)
    assert console.file.getvalue().splitlines() == [
        "NAME                   RESULT  WHY",
        "a-name-of-some-length  result",
        "    why this has no room beside the other",
        "    cells",
        "b                      good",
    ]


def test_a_column_without_values_is_left_out(capfdbinary):
    tables.table(COLUMNS, [("log", "", "because")], styles={}, to=tables.console())
    assert capfdbinary.readouterr().out.decode() == "NAME  WHY\nlog   because\n"


def test_without_colours_a_terminal_gets_no_escape_code_but_still_folded_cells():
    text = printed(terminal(width=50, no_color=True))
    assert ESCAPE not in text
    assert len(text.splitlines()) > 3


@pytest.mark.parametrize(("value", "coloured"), [("1", False), ("", True)])
def test_no_color_is_honoured_if_it_is_not_empty(monkeypatch, value, coloured):
    # https://no-color.org/
    monkeypatch.setenv("NO_COLOR", value)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    console = tables.console()
    console.file = io.StringIO()
    tables.heading("demo", to=console)
    assert (ESCAPE in console.file.getvalue()) is coloured


def test_control_characters_reach_no_terminal():
    console = terminal(no_color=True)
    tables.table(("A",), [("\x1b[2J\nx",)], styles={}, to=console)
    tables.heading("\x1b[2J\ny", to=console)
    assert ESCAPE not in console.file.getvalue()
    assert r"\x1b[2J\nx" in console.file.getvalue()
    assert r"\x1b[2J\ny" in console.file.getvalue()


def test_json_and_yaml_are_utf_8_and_keep_the_order(capfdbinary):
    value = {"b": "ä", "a": [1]}
    tables.structured(value, form="json")
    assert capfdbinary.readouterr().out.decode() == '{\n  "b": "ä",\n  "a": [\n    1\n  ]\n}\n'
    tables.structured(value, form="yaml")
    assert capfdbinary.readouterr().out.decode() == "b: ä\na:\n- 1\n"


CELL = st.text("abc de", max_size=30).map(str.strip)


@hypothesis.given(st.integers(1, 9), st.data(), st.sampled_from([30, 80, 120]))
def test_on_a_terminal_nothing_is_lost_and_no_word_broken(count, data, width):
    columns = [f"COLUMN{number}" for number in range(count)]
    rows = data.draw(st.lists(st.lists(CELL, min_size=count, max_size=count), min_size=1))
    console = terminal(width=width, no_color=True)
    tables.table(columns, rows, styles={}, to=console)
    lines = console.file.getvalue().splitlines()
    words = collections.Counter(word.rstrip(",") for line in lines for word in line.split())
    wanted = collections.Counter(word for row in rows for cell in row for word in cell.split())
    assert wanted <= words
    # A first column is never wrapped: it names the row.
    limit = max(width, *(len(row[0]) + 2 for row in rows))
    assert all(len(line) <= limit for line in lines)


def test_columns_without_room_are_below_their_row_after_their_headings():
    console = terminal(width=40, no_color=True)
    columns = ("NAMESPACE", "NAME", "SELECTED", "OUTDATED", "MISSING", "WHY")
    row = ("a-long-namespace", "log", "12", "3", "0", "because of this and of that")
    tables.table(columns, [row], styles={}, to=console)
    assert console.file.getvalue().splitlines() == [
        "NAMESPACE         NAME  SELECTED",
        "a-long-namespace  log   12",
        "    OUTDATED 3, MISSING 0",
        "    because of this and of that",
    ]
