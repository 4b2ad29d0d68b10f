"""docs/testing.md: its repository works, and its tables have every field."""

from __future__ import annotations

import pathlib
import re

import pytest

from sidecar_injector.cli.input import case_files
from tests.kits.cli import run

PAGE = (pathlib.Path(__file__).parents[3] / "docs/testing.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """The files of the page, below their names."""
    monkeypatch.chdir(tmp_path)
    for text in blocks("yaml"):
        file = tmp_path / text.partition("\n")[0].removeprefix("# ")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return tmp_path


def test_the_layout_is_that_of_the_files(repository):
    files = {str(path.relative_to(repository)) for path in repository.rglob("*.yaml")}
    (layout,) = blocks("text")
    assert set(layout.split()) == files


def test_the_repository_is_tested_as_the_page_shows(repository):
    before, after = (text.partition("\n") for text in blocks("console"))
    assert before[0] == after[0] == "$ sidecar-injector test tests"
    assert run("test", "tests").stdout == before[2]

    injection = repository / "injections/log.yaml"
    changed = injection.read_text().replace("[--format=json]", "[--format=text]")
    injection.write_text(changed)
    result = run("test", "tests")
    assert (result.exit_code, result.stdout) == (1, after[2])

    assert run("test", "--update", "tests").exit_code == 0
    assert run("test", "tests").exit_code == 0


@pytest.mark.parametrize(
    ("heading", "schema"),
    [
        ("The file", case_files.SCHEMA),
        ("A case", case_files.SCHEMA["properties"]["cases"]["items"]),
    ],
)
def test_every_field_is_in_its_table(heading, schema):
    below = re.split(rf"^(?:## )?{heading}\b", PAGE, flags=re.MULTILINE)[1]
    table = below.partition("| field | |\n|---|---|\n")[2].partition("\n\n")[0]
    names = [re.findall(r"`(\w+)`", line.split("|")[1]) for line in table.splitlines()]
    assert {name for line in names for name in line} == set(schema["properties"])
