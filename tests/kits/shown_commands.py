"""The command lines that documents, notes and messages show."""

from __future__ import annotations

import pathlib
import re
import shlex
import textwrap
from collections.abc import Iterator

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    ROOT / "charts/sidecar-injector/README.md",
    *sorted((ROOT / "docs").glob("**/*.md")),
]
_FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


def of_page(text: str) -> Iterator[list[str]]:
    """The words of each command in a page: lines of `sh`, and what is typed in `console`."""
    for _, language, block in _FENCE.findall(text):
        lines = textwrap.dedent(block).replace("\\\n", " ").splitlines()
        if language == "sh":
            yield from of_lines(lines)
        elif language == "console":
            yield from of_lines([line[2:] for line in lines if line.startswith("$ ")])


def of_sentences(text: str) -> Iterator[list[str]]:
    """The words of each command of kubectl or Helm that is in backticks in a sentence.

    Two words are a name, such as `helm upgrade`, and no command.
    """
    for span in re.findall(r"`([^`]+)`", _FENCE.sub("", text)):
        for words in stages(" ".join(span.split())) if re.match(r"(kubectl|helm)\s", span) else ():
            if len(words) > 2:
                yield words


def of_lines(lines: list[str]) -> Iterator[list[str]]:
    """The words of each command of a shell, without redirections."""
    for line in lines:
        if not line.startswith("#"):
            yield from stages(line)


def stages(line: str) -> Iterator[list[str]]:
    """The words of each command of a line, cut at pipes, without redirections."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|>&;")
    lexer.whitespace_split = True
    words: list[str] = []
    redirected = False
    for token in lexer:
        if token in {"|", "&&", ";"}:
            yield words
            words, redirected = [], False
        elif token == ">":
            redirected = True
        elif not redirected:
            words.append(token)
    if words:
        yield words
