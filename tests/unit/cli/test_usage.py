"""Wrong uses: the message has the option, what it takes, and an example that is right."""

from __future__ import annotations

import shlex

import click
import pytest

from sidecar_injector.cli import main
from tests.kits.cli import run

FILES = "FILE|DIR|URL|-"


def commands():
    """Each command that takes options of its own, with the words that choose it."""
    for verb in main.SUMMARIES:
        command = main.commands[verb]
        if isinstance(command, click.Group):
            yield from (((verb, name), child) for name, child in command.commands.items())
        else:
            yield (verb,), command


OPTIONS = [
    pytest.param(words, option, name, id=" ".join((*words, name)))
    for words, command in commands()
    for option in command.params
    if isinstance(option, click.Option) and not option.is_flag and not option._flag_needs_value
    for name in option.opts
]


def refused(*arguments):
    """The message of a wrong use, without the lines on the command."""
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    return result.stderr.partition("Error: ")[2]


@pytest.mark.parametrize(("words", "option", "name"), OPTIONS)
def test_an_option_without_its_value_says_what_it_takes(words, option, name):
    message, example = refused(*words, name).splitlines()
    context = click.Context(main.commands[words[0]])
    assert f"'{name}'" in message
    assert f"It takes {option.make_metavar(context)}" in message
    assert " ".join(words) in example


@pytest.mark.parametrize(("words", "command"), [pytest.param(*each) for each in commands()])
def test_an_option_that_there_is_not_lists_those_that_there_are(words, command):
    message, example = refused(*words, "--no-such").splitlines()
    assert "'--no-such'" in message
    assert all(max(each.opts, key=len) in message for each in command.params)
    assert example.startswith("Example: ")


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        ("lint", ["-f", FILES]),
        ("inject -i in.yaml", ["-f", FILES]),
        ("explain -l app=web", ["-l without a kind: give one, such as deploy"]),
        (
            "explain pod/web -i in.yaml",
            ["pod/web and -i exclude each other", "KIND/NAME without -f, -i"],
        ),
        ("diff -A -l a=b -f pod.yaml", ["-l and -A and -f exclude each other"]),
        ("diff -i in.yaml", ["-f FILE, with -i"]),
        ("check --wait soon", ["--wait", "'soon'", "a whole number from 1"]),
        ("status -o wide", ["-o", "'wide'", "'table', 'json', 'yaml'"]),
        ("status web", ["web", "explain KIND/NAME, such as deploy/web"]),
        ("convert kyverno -f a", ["'kyverno'", "morvencao, sidecarset, tumblr"]),
        ("completion", ["Choose from: bash, zsh, fish, kubectl"]),
        ("lnt", ["'lnt'", "'lint'"]),
        ("--no-such", ["'--no-such'", "--version"]),
    ],
)
def test_a_wrong_use_says_what_is_right(line, parts):
    message, example = refused(*shlex.split(line)).splitlines()
    assert all(part in message for part in parts)
    assert example.startswith("Example: ")


@pytest.mark.parametrize("line", ["plan", "plan --namespace-labels a=b", "test"])
def test_what_is_missing_is_said_without_a_hint_at_words_that_are_too_many(line):
    message, _ = refused(*shlex.split(line)).splitlines()
    assert "takes options alone" not in message
    assert message.count("DIR…") == (line == "test")
