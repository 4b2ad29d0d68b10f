"""What a wrong use of the command line is told: the option, what it takes, and an example."""

from __future__ import annotations

from collections.abc import Sequence

import click

EXAMPLE = "Example: "
UNEXPECTED = "Got unexpected extra argument"
"""How click begins to say that a command does not take a word."""


def completed(
    error: click.UsageError, root: click.Context, words: Sequence[str]
) -> click.UsageError:
    """The error with what is allowed, and with a use that is right in a second line."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        return error
    # Click names no command where an option lacks its value.
    context = error.ctx or _context(root, words)
    message = " ".join(error.format_message().split())
    if allowed := _allowed(error, context):
        message = f"{message.removesuffix('.')}. {allowed}"
    return click.UsageError(f"{message}\n{_example(context)}", context)


def _context(context: click.Context, words: Sequence[str]) -> click.Context:
    """The context of the command that the words begin with."""
    for word in words:
        group = context.command
        command = group.get_command(context, word) if isinstance(group, click.Group) else None
        if command is None:
            break
        context = click.Context(command, info_name=word, parent=context)
    return context


def _allowed(error: click.UsageError, context: click.Context) -> str:
    """What the option or the command takes; empty where click says it."""
    command = context.command
    if isinstance(error, click.BadOptionUsage):
        options = (each for each in command.params if error.option_name in each.opts)
        return "".join(_values(each, context) for each in options)
    if isinstance(error, click.BadParameter):
        is_number = error.param is not None and isinstance(error.param.type, click.IntRange)
        is_missing = isinstance(error, click.MissingParameter)
        is_listed = error.param is None or isinstance(error.param.type, click.Choice)
        says_more = is_number or (is_missing and not is_listed)
        return _values(error.param, context) if error.param and says_more else ""
    if isinstance(error, click.NoSuchOption):
        return f"There are {', '.join(_long(each) for each in command.get_params(context))}."
    if isinstance(command, click.Group):
        return f"There are {', '.join(command.list_commands(context))}."
    takes_arguments = any(isinstance(each, click.Argument) for each in command.params)
    if not takes_arguments and error.message.startswith(UNEXPECTED):
        return f"{context.command_path} takes options alone."
    return ""


def _values(parameter: click.Parameter, context: click.Context) -> str:
    """What to write for it, and what that means."""
    meaning = getattr(parameter, "help", None)
    metavar, kind = parameter.make_metavar(context), parameter.type
    if isinstance(kind, click.IntRange):
        metavar = f"{metavar}, a whole number from {kind.min}"
        metavar += "" if kind.max is None else f" to {kind.max}"
    if not meaning and isinstance(parameter, click.Argument):
        # Click has named it.
        return ""
    return f"It takes {metavar}: {meaning}" if meaning else f"It takes {metavar}."


def _long(parameter: click.Parameter) -> str:
    return max(parameter.opts, key=len)


def _example(context: click.Context) -> str:
    """The example of the command's own help; of a group, the help of its first command."""
    command = context.command
    if command.epilog and command.epilog.startswith(EXAMPLE):
        return command.epilog
    first = command.list_commands(context)[0] if isinstance(command, click.Group) else ""
    return f"{EXAMPLE}{' '.join(filter(None, (context.command_path, first)))} -h"
