"""The help of every command, and the page of the documents that is generated from it."""

from __future__ import annotations

import shlex
import subprocess
import sys

import click
import pytest

from sidecar_injector.cli import main
from tests.kits.cli import run
from tools import cli_docs


def commands(group=main.cli, path=()):
    for name, command in group.commands.items():
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


COMMANDS = list(commands())
each = pytest.mark.parametrize(
    ("path", "command"), COMMANDS, ids=[" ".join(path) for path, _ in COMMANDS]
)


@each
def test_help_has_a_sentence_and_an_example_of_this_command(path, command):
    for option in ("-h", "--help"):
        result = run(*path, option)
        assert result.exit_code == 0
    about, separator, example = result.stdout.partition("Example: ")
    assert separator
    assert about.split("\n\n")[1].strip().endswith(".")
    example = " ".join(example.partition("\n\n")[0].split())
    assert " ".join(["sidecar-injector", *path]) in example


@each
def test_options_of_one_name_mean_the_same_everywhere(path, command):
    for parameter in command.params:
        if "-o" in parameter.opts:
            assert list(parameter.type.choices) == ["table", "json", "yaml"]
        if "-f" in parameter.opts:
            # These say in place of a file what the verb is about; `compile` asks the cluster.
            others = {"objects", "deleted", "checks"} & {each.name for each in command.params}
            assert (parameter.multiple, parameter.required) == (True, not others)


def test_the_page_of_the_documents_is_up_to_date():
    page = cli_docs.PAGE.read_text(encoding="utf-8")
    assert page == cli_docs.text(), "run `python -m tools.cli_docs`"


def test_the_page_has_every_command_once():
    for path, _ in COMMANDS:
        heading = " ".join(["## sidecar-injector", *path])
        assert cli_docs.text().splitlines().count(heading) == 1


def test_every_example_is_made_of_options_that_exist():
    for path, command in COMMANDS:
        if isinstance(command, click.Group):
            continue
        help_text = run(*path, "-h").stdout
        example = " ".join(help_text.partition("Example: ")[2].partition("\n\n")[0].split())
        words = (
            shlex.split(example.rpartition("sidecar-injector")[2].strip(' ")')) if example else []
        )
        declared = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("-") and word != "-"} <= declared, path


def test_no_verb_pays_for_libraries_that_only_others_need():
    heavy = ("kubernetes", "kopf", "aiohttp", "cryptography")
    code = (
        "import sys; from sidecar_injector.cli import main;"
        f" print([name for name in {heavy} if name in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert result.stdout == "[]\n"
