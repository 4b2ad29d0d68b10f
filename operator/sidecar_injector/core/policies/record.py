"""What a policy writes about itself on a pod: the status annotation, the marks, and companions.

The texts are the same bytes as those of `merging.status_annotation` and `merging.marks`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Final

from sidecar_injector import names
from sidecar_injector.core import patch
from sidecar_injector.core.merging import marks
from sidecar_injector.core.merging.status_annotation import MAPS, NAMED_LISTS, VERSION, json_text
from sidecar_injector.core.policies import cel
from sidecar_injector.core.policies.injection import Compiled
from sidecar_injector.core.reasons import Reason

DEFAULT_CONTAINER: Final = cel.Cel("object.spec.containers[0].name")
_EVICT: Final = cel.text(names.SAFE_TO_EVICT_ANNOTATION)
_DONE: Final = cel.strings(["", Reason.INJECTED.value, Reason.ALREADY_INJECTED.value])
Row = tuple[str, str, str]
"""A key, whether it is added, and its value as JSON."""


@dataclasses.dataclass(frozen=True, slots=True)
class Annotation:
    """An annotation that is written where the condition is true."""

    key: str
    condition: str
    value: str


def skipped(code: str) -> str:
    """Whether an injection with this code applied and could not be done."""
    return f"!({code} in {_DONE})"


def write(compiled: Sequence[Compiled], variables: cel.Variables) -> list[Annotation]:
    """Define what is recorded; the annotations to write, which include the companions."""
    annotations = [*_companions(compiled, variables)]
    for name, rows in {
        "entries": [(piece.injected, _entry(piece, variables)) for piece in compiled],
        "refused": [(_is_skipped(piece), _skipped(piece)) for piece in compiled],
        "added": [(piece.injected, cel.text(piece.injection.reference)) for piece in compiled],
        "left": [(_is_skipped(piece), _reference_with_code(piece)) for piece in compiled],
    }.items():
        parts = [cel.either(condition, f"[{item}]") for condition, item in rows]
        variables.let(name, variables.sum(f"{name}_", parts))
    text = cel.joined(
        [
            "{",
            _array("injections", "variables.entries", end=","),
            _array("skipped", "variables.refused", end=","),
            f'"version":{VERSION}}}',
        ]
    )
    annotations.append(Annotation(names.STATUS_ANNOTATION, "true", variables.let("status", text)))
    for key, items in ((names.INJECTED_ANNOTATION, "added"), (names.SKIPPED_ANNOTATION, "left")):
        mark = variables.let(f"{items}_text", _shortened(f"variables.{items}"))
        annotations.append(Annotation(key, f"size(variables.{items}) > 0", mark))
    return annotations


def _is_skipped(piece: Compiled) -> str:
    return skipped(_code(piece))


def _code(piece: Compiled) -> str:
    return f"variables.codes[{piece.index}]"


def _shortened(items: str) -> str:
    """The text of a mark, as `marks.shortened` makes it."""
    room = marks.LONGEST - marks.COUNT_CHARACTERS
    fitting = (
        f'lists.range(size({items})).filter(i, size({items}.slice(0, i + 1).join(",")) < {room})'
    )
    fitting_items = f"({fitting}.map(i, {items}[i])"
    rest = f'["+" + string(size({items}) - size({fitting})) + " more"])'
    whole = f'{items}.join(",")'
    return f'(size({whole}) <= {marks.LONGEST} ? {whole} : ({fitting_items} + {rest}).join(","))'


def _may_lead(piece: Compiled) -> bool:
    """Whether a container of it may be the pod's first one."""
    return piece.is_first("containers") and piece.lists["containers"] != "[]"


def _companions(compiled: Sequence[Compiled], variables: cel.Variables) -> Iterator[Annotation]:
    """Annotations of which a pod has one; the first injection that wants it sets it."""
    key = names.DEFAULT_CONTAINER_ANNOTATION
    beside = [
        cel.every([piece.injected, f"size({piece.lists['containers']}) > 0"])
        if _may_lead(piece)
        else "false"
        for piece in compiled
    ]
    there = f"{cel.text(key)} in variables.annotations"
    variables.let("dc", f"{there} ? -1 : [{', '.join(beside)}].indexOf(true)")
    yield Annotation(key, "variables.dc >= 0", DEFAULT_CONTAINER)
    key = names.TUTORIAL_STATUS_ANNOTATION
    is_asked = f'variables.tutorial != "none" && !({cel.text(key)} in variables.annotations)'
    variables.let("tu", f"{is_asked} ? variables.inj.indexOf(true) : -1")
    yield Annotation(key, "variables.tu >= 0", names.TUTORIAL_INJECTED)
    there = f"{_EVICT} in variables.annotations"
    present = variables.let("ev", f'{there} ? variables.annotations[{_EVICT}] : ""')
    fresh: list[str] = []
    texts: list[str] = [present]
    for piece in compiled:
        added = cel.either(piece.injected, cel.total(piece.local))
        if piece.local:
            added = f'{added}.filter(x, !(x in variables.ev.split(",")))'
        fresh.append(variables.let(f"fr{piece.index}", added))
    sizes = ", ".join(f"size({items}) > 0" for items in fresh)
    variables.let("es", f"{there} ? -1 : [{sizes}].indexOf(true)")
    for piece, items in zip(compiled, fresh, strict=True):
        is_set = f"(variables.es == {piece.index})"
        suffix = f'{items}.map(x, "," + x).join("")'
        text = f'({there} && variables.ev == "" || {is_set} ? "" : {suffix})'
        texts.append(variables.let(f"sx{piece.index}", text))
        texts.append(f'({is_set} ? {items}.join(",") : "")')
    value = variables.let("evict", cel.total(texts, '""'))
    yield Annotation(names.SAFE_TO_EVICT_ANNOTATION, f"{value} != {present}", value)


def _entry(piece: Compiled, variables: cel.Variables) -> str:
    """The text of an injection's entry in the status annotation."""
    injection, number = piece.injection, piece.index
    added = variables.let(f"ad{number}", cel.total(_added(piece, variables)))
    patched = [*piece.records, *_eviction_record(piece)]
    records = variables.let(f"rc{number}", variables.sum(f"rc{number}_", patched))
    left_out = variables.let(f"lo{number}", piece.left_out)
    mode = {"true": "Native", "false": "Container"}.get(piece.is_native)
    words = f'({piece.is_native} ? "Native" : "Container")'
    generation = f'"generation":{injection.generation},' if injection.generation else ""
    text = cel.joined(
        [
            "{",
            _array("added", added, end=",", brackets="{}"),
            f'{generation}"hash":{json_text(injection.hash)},"kind":{json_text(injection.kind)},',
            _array("leftOut", left_out, end=","),
            '"mode":"', mode or cel.Cel(words), f'","name":{json_text(injection.name)}',
            _array("patched", records, start=","),
            "}",
        ]
    )  # fmt: skip
    return variables.let(f"e{number}", text)


def _added(piece: Compiled, variables: cel.Variables) -> Iterator[str]:
    """Lists, each with a member of `added`, or with nothing if the member would be empty."""
    for field in sorted((*MAPS, *NAMED_LISTS)):
        if field in NAMED_LISTS:
            items = piece.lists[field]
            if items != "[]":
                joined = f'{items}.map(x, string(x.name)).join("\\",\\"")'
                yield _member(field, items, '["', joined, '"]')
        elif rows := sorted(_rows(piece, field)):
            name = f"m{piece.index}{field}"
            parts = [
                cel.either(condition, f"[{cel.text(json_text(key) + ':')} + {value}]")
                for key, condition, value in rows
            ]
            members = variables.let(name, variables.sum(f"{name}_", parts))
            yield _member(field, members, "{", f'{members}.join(",")', "}")


def _member(field: str, items: str, opening: str, joined: str, closing: str) -> str:
    start = cel.text(f'"{field}":{opening}')
    return f"(size({items}) == 0 ? [] : [{start} + {joined} + {cel.text(closing)}])"


def _rows(piece: Compiled, field: str) -> Iterator[Row]:
    for member in piece.members[field]:
        yield member.key, member.absent, cel.json_of(member.value)
    if field == "annotations":
        number, injected = piece.index, cel.json_of(names.TUTORIAL_INJECTED)
        yield names.TUTORIAL_STATUS_ANNOTATION, f"variables.tu == {number}", injected
        if _may_lead(piece):
            first = cel.json_of(DEFAULT_CONTAINER)
            yield names.DEFAULT_CONTAINER_ANNOTATION, f"variables.dc == {number}", first
        if piece.local:
            fresh = cel.json_of(cel.Cel(f'variables.fr{number}.join(",")'))
            yield names.SAFE_TO_EVICT_ANNOTATION, f"variables.es == {number}", fresh


def _eviction_record(piece: Compiled) -> Iterator[str]:
    if piece.local:
        path = patch.pointer(("metadata", "annotations", names.SAFE_TO_EVICT_ANNOTATION))
        start = cel.text(f'{{"op":"append","path":{json_text(path)},"suffix":"')
        suffix = f"variables.sx{piece.index}"
        yield cel.either(f'{suffix} != ""', f"[{start} + {suffix} + {cel.text(chr(34) + '}')}]")


def _reference_with_code(piece: Compiled) -> str:
    return f"{cel.text(piece.injection.reference + '=')} + {_code(piece)}"


def _skipped(piece: Compiled) -> str:
    injection = piece.injection
    start = f'{{"kind":{json_text(injection.kind)},"name":{json_text(injection.name)},"reason":"'
    return f"{cel.text(start)} + {_code(piece)} + {cel.text(chr(34) + '}')}"


def _array(
    key: str, items: str, *, start: str = "", end: str = "", brackets: str = "[]"
) -> cel.Cel:
    """A text with a member of an object: a list of JSON; empty for an empty list."""
    opening, closing = f'{start}"{key}":{brackets[0]}', f"{brackets[1]}{end}"
    text = f'{cel.text(opening)} + {items}.join(",") + {cel.text(closing)}'
    return cel.Cel(f'(size({items}) == 0 ? "" : {text})')
