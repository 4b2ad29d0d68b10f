"""YAML as kubectl reads it, which is not as PyYAML does.

kubectl goes through sigs.k8s.io/yaml: dates and `12:30:45` are strings, `0o17` and `017` are 15,
`1e3` is a number, `y` and `on` are booleans, and keys become strings. A file is cut at lines that
begin with `---` before it is parsed. What kubectl would turn into other characters, a key that is a
float and half a surrogate pair, is refused.
https://github.com/yaml/go-yaml/blob/v2/resolve.go
https://github.com/kubernetes/apimachinery/blob/master/pkg/util/yaml/decoder.go
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn

import yaml

from sidecar_injector.cli.input import yaml_scalars, yaml_styles

MAX_DEPTH = 100
"""Levels of nesting. Go refuses more than 10,000; the C parser of PyYAML crashes at some more."""
MAX_VALUES = 1_000_000
"""Of one document, with its aliases expanded: a few lines of them can exceed any memory."""

MAX_FLOW_COLONS = 100
"""In one document, which is parsed again for each of them."""

_ENDLESS = 2**31 - 1
"""The width of a line: a long value is not folded."""
_FLOW_COLON = "found unexpected ':'"
_PRIVATE_USE = range(0xE000, 0xF900)
_SEPARATOR = re.compile(r"^---[^\n]*$", re.MULTILINE)
_NO_WHITESPACE = re.compile(r"\S")

# The C parser and emitter where PyYAML was built with them.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_Dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


def load_all(text: str) -> Iterator[Any]:
    """The documents of a text as JSON values, None for an empty one; raises yaml.YAMLError.

    A part of it may be JSON, one value after another.
    """
    return (value for value, _ in _load(text, styled=False))


def load_written(text: str) -> Iterator[tuple[Any, yaml_styles.Layout]]:
    """The same values, which also say how they were written."""
    return _load(text, styled=True)


def _load(text: str, *, styled: bool) -> Iterator[tuple[Any, yaml_styles.Layout]]:
    line = counted = 0
    for start, end in _cuts(text):
        part = text[start:end]
        line, counted = line + text.count("\n", counted, start), start
        if part.lstrip().startswith("{") and (values := _json_values(part)):
            yield from ((value, yaml_styles.Layout()) for value in values)
        elif start or not _is_empty(part):
            try:
                layout = yaml_styles.Layout(has_start=start > 0)
                yield _document(part, layout if styled else None), layout
            except yaml.MarkedYAMLError as error:
                raise _of_file(error, line) from error


def _is_empty(text: str) -> bool:
    """Whether there is nothing but comments."""
    return all(not line or line.startswith("#") for line in map(str.strip, text.splitlines()))


def _document(text: str, layout: yaml_styles.Layout | None) -> Any:
    """The JSON value of a document; with a layout, to be filled in, its values have styles.

    In a flow mapping or sequence, libyaml refuses a plain text that ends in a colon, as in
    `[a:, b]`. Go reads it as text. So another character takes the place of each such colon.
    """
    # Go adds a missing last line break too; it is part of a block of text.
    text = text if text.endswith("\n") else f"{text}\n"
    stand_in = next(character for character in map(chr, _PRIVATE_USE) if character not in text)
    for _ in range(MAX_FLOW_COLONS + 1):
        try:
            return _Builder(text, colon=stand_in, layout=layout).document()
        except yaml.MarkedYAMLError as error:
            index = error.problem_mark.index if error.problem_mark else 0
            if error.problem != _FLOW_COLON or text[index : index + 1] != ":":
                raise
            text = f"{text[:index]}{stand_in}{text[index + 1 :]}"
    raise yaml.YAMLError(f"more than {MAX_FLOW_COLONS} texts in braces or brackets end in a colon")


def _of_file(error: yaml.MarkedYAMLError, line: int) -> yaml.MarkedYAMLError:
    """The error with its place in the file, for a document that begins in this line."""
    mark = error.problem_mark
    if mark:
        mark = yaml.Mark("", 0, line + mark.line, mark.column, None, 0)
    return yaml.MarkedYAMLError(problem=error.problem, problem_mark=mark)


def dump_all(documents: list[Any], layouts: Sequence[yaml_styles.Layout] = ()) -> str:
    """Documents as people would write them: in the order of their keys, without anchors.

    `layouts` are those of the documents, if they were read from a text.
    """
    layouts = layouts or [yaml_styles.Layout()] * len(documents)
    return "".join(
        yaml.dump(
            document, Dumper=IndentingDumper if layout.indents_lists else Dumper, sort_keys=False,
            allow_unicode=True, default_flow_style=False, width=_ENDLESS,
            explicit_start=len(documents) > 1 or layout.has_start,
        )
        for document, layout in zip(documents, layouts, strict=True)
    )  # fmt: skip


class Dumper(_Dumper):  # type: ignore[misc]  # its type depends on how PyYAML was built
    """Writes what `load_all`, and kubectl, read back as the same."""

    def ignore_aliases(self, data: Any) -> bool:
        """Shared parts are repeated, without anchors."""
        return True


class IndentingDumper(yaml.SafeDumper):
    """The same, with the items of a list further right than its name."""

    def ignore_aliases(self, data: Any) -> bool:
        """Shared parts are repeated, without anchors."""
        return True

    def increase_indent(self, flow: Any = None, indentless: Any = None) -> None:
        """As PyYAML calls it before each list and mapping."""
        super().increase_indent(flow=flow, indentless=False)


def _represent_string(dumper: Any, text: str) -> yaml.ScalarNode:
    style = '"' if _is_ambiguous(text) else None
    if "\n" in text:
        style = "|"
    node: yaml.ScalarNode = dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)
    return node


def _is_ambiguous(text: str) -> bool:
    """Whether kubectl, or another reader of YAML 1.1, reads something else: a date, for example."""
    patterns = Dumper.yaml_implicit_resolvers.get(text[:1], ())
    return not isinstance(yaml_scalars.resolve(text), str) or any(
        pattern.match(text) for _, pattern in patterns
    )


for _each in (Dumper, IndentingDumper):
    _each.add_representer(str, _represent_string)
    yaml_styles.add_representers(_each)


def _cuts(text: str) -> Iterator[tuple[int, int]]:
    """Start and end of each part between separators."""
    start = 0
    for line in _SEPARATOR.finditer(text):
        rest = line[0].removeprefix("---").strip()
        if rest and not rest.startswith("#"):
            mark = yaml.Mark("", 0, text.count("\n", 0, line.start()), 0, "", 0)
            raise yaml.MarkedYAMLError(
                problem=f"the separator --- is followed by {rest[:20]!r}; it needs its own line",
                problem_mark=mark,
            )
        yield start, line.start()
        start = line.end()
    yield start, len(text)


def _json_values(text: str) -> list[Any]:
    """The values of a JSON text; none if it is not JSON, such as a flow mapping of YAML."""
    decoder = json.JSONDecoder(parse_constant=_refuse)
    values, position = [], 0
    try:
        while start := _NO_WHITESPACE.search(text, position):
            value, position = decoder.raw_decode(text, start.start())
            values.append(_checked_json(value))
    except (ValueError, RecursionError):
        return []
    return values


def _refuse(constant: str) -> None:
    raise ValueError(constant)


def _checked_json(value: Any, depth: int = 0) -> Any:
    """A value of Python's JSON decoder as kubectl has it.

    Raises ValueError for half a surrogate pair, which cannot be written as UTF-8.
    """
    if depth > MAX_DEPTH:
        raise yaml.YAMLError(f"it is nested more than {MAX_DEPTH} levels deep")
    if isinstance(value, str):
        value.encode()
        return value
    if isinstance(value, list):
        return [_checked_json(item, depth + 1) for item in value]
    if isinstance(value, dict):
        return {_checked_json(key): _checked_json(item, depth + 1) for key, item in value.items()}
    return yaml_scalars.as_json(value)


class _Builder:
    """Builds the JSON value of a document from its events, without PyYAML's recursion in C."""

    def __init__(self, text: str, *, colon: str, layout: yaml_styles.Layout | None) -> None:
        """`colon` is the character that stands for one in scalars; with a `layout`, which is
        filled in, values have the styles of the text."""
        self._layout = layout
        self._events = yaml.parse(text, Loader=_Loader)
        self._colon = colon
        self._anchors: dict[str, tuple[Any, int] | None] = {}
        """Value and size of what an anchor names; None while that is being built."""
        self._count = 0

    def document(self) -> Any:
        """The document; None if there is none."""
        next(self._events)  # The stream's start.
        if not isinstance(next(self._events), yaml.DocumentStartEvent):
            return None
        value = self._value(next(self._events), 0)
        next(self._events)  # The document's end.
        next(self._events)  # The stream's end: more text after '...' is an error of the parser.
        return value

    def _value(self, event: Any, depth: int) -> Any:
        self._count += 1
        if depth > MAX_DEPTH:
            _fail(f"it is nested more than {MAX_DEPTH} levels deep", event)
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        if event.anchor:
            self._anchors[event.anchor] = None
        start, value = self._count, self._content(event, depth)
        if event.anchor:
            self._anchors[event.anchor] = value, self._count - start
        return value

    def _content(self, event: Any, depth: int) -> Any:
        if isinstance(event, yaml.ScalarEvent):
            value = _with_place(yaml_scalars.as_json, self._scalar(event), event)
            return yaml_styles.scalar(value, event) if self._layout else value
        is_flow = bool(self._layout and event.flow_style)
        if isinstance(event, yaml.MappingStartEvent):
            members = self._mapping(depth, column=_column(event))
            return yaml_styles.FlowMapping(members) if is_flow and members else members
        items = [self._value(item, depth + 1) for item in self._until(yaml.SequenceEndEvent)]
        return yaml_styles.FlowSequence(items) if is_flow and items else items

    def _alias(self, event: yaml.AliasEvent) -> Any:
        if event.anchor not in self._anchors:
            _fail(f"alias *{event.anchor} has no anchor before it", event)
        if (anchored := self._anchors[event.anchor]) is None:
            _fail(f"anchor &{event.anchor} contains itself", event)
        value, size = anchored
        self._count += size
        if self._count > MAX_VALUES:
            _fail(f"aliases make more than {MAX_VALUES} values of it", event)
        return value

    def _mapping(self, depth: int, *, column: int) -> dict[str, Any]:
        members: dict[str, Any] = {}
        for event in self._until(yaml.MappingEndEvent):
            if _is_merge(event):
                following = next(self._events)
                members |= _merged(self._value(following, depth + 1), following)
                continue
            is_scalar = isinstance(event, yaml.ScalarEvent) and not event.anchor
            key = self._scalar(event) if is_scalar else self._value(event, depth + 1)
            name = _with_place(yaml_scalars.key, key, event)
            following = next(self._events)
            if self._layout and isinstance(event, yaml.ScalarEvent):
                name = yaml_styles.scalar(name, event)
            if self._layout and isinstance(following, yaml.SequenceStartEvent):
                is_indented = _column(following) > column and not following.flow_style
                self._layout.indents_lists |= is_indented
            members[name] = self._value(following, depth + 1)
        return members

    def _scalar(self, event: Any) -> Any:
        text, plain = event.value.replace(self._colon, ":"), event.implicit[0]
        return _with_place(
            lambda text: yaml_scalars.read(text, tag=event.tag, plain=plain), text, event
        )

    def _until(self, end: type[yaml.Event]) -> Iterator[Any]:
        while not isinstance(event := next(self._events), end):
            yield event


def _column(event: yaml.Event) -> int:
    return event.start_mark.column if event.start_mark else 0


def _with_place(convert: Callable[[Any], Any], value: Any, event: yaml.Event) -> Any:
    """The converted value; a ValueError becomes an error with the place of the event."""
    try:
        return convert(value)
    except ValueError as error:
        _fail(str(error), event)


def _fail(problem: str, event: Any) -> NoReturn:
    raise yaml.MarkedYAMLError(problem=problem, problem_mark=event.start_mark)


def _is_merge(event: Any) -> bool:
    is_plain = isinstance(event, yaml.ScalarEvent) and (event.implicit[0] or event.tag)
    return bool(is_plain) and event.value == "<<"


def _merged(value: Any, event: Any) -> dict[str, Any]:
    """The members that a merge key adds; the first of several mappings wins."""
    result: dict[str, Any] = {}
    for mapping in reversed(value if isinstance(value, list) else [value]):
        if not isinstance(mapping, dict):
            _fail("<< merges a mapping or a list of mappings", event)
        result |= mapping
    return result
