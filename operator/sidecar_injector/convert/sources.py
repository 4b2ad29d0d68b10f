"""Where configuration is found: documents by themselves, ConfigMaps that hold some, lists."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

Parse = Callable[[str], Any]
"""Makes data of an embedded text; raises ValueError with a sentence."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SourceObject:
    """One document or one text within a ConfigMap."""

    place: str
    """File, document and key, for messages."""
    value: Any
    """As parsed; nothing about its shape is known."""
    problem: str = ""
    """Why there is no value."""
    holder: str = ""
    """Name of the ConfigMap; empty for a document by itself."""
    key: str = ""
    """Key within the ConfigMap."""
    bases: tuple[SourceObject, ...] = ()
    """The files that it inherits from, the nearest first."""


def objects(source: SourceObject) -> Iterator[SourceObject]:
    """The document itself or, if it is a list of Kubernetes objects, what is in it.

    In the lists of one kind that an API server returns, the items are without version and kind.
    """
    value = source.value
    if not (is_object(value) and value["kind"].endswith("List")):
        yield source
        return
    kind = value["kind"].removesuffix("List")
    head = {"apiVersion": value["apiVersion"], "kind": kind} if kind else {}
    for index, item in enumerate(sequence(value.get("items"))):
        whole = {**head, **item} if isinstance(item, dict) else item
        place = f"{source.place}, items[{index}]"
        yield from objects(dataclasses.replace(source, place=place, value=whole))


def texts(source: SourceObject, *, parse: Parse) -> Iterator[SourceObject]:
    """Configuration that stands by itself or in ConfigMaps; other Kubernetes objects are none."""
    for one in objects(source):
        if not is_object(one.value):
            yield one
        elif one.value["kind"] == "ConfigMap":
            yield from _embedded(one, parse)


def _embedded(source: SourceObject, parse: Parse) -> Iterator[SourceObject]:
    metadata, data = (mapping(source.value.get(field)) for field in ("metadata", "data"))
    holder = metadata.get("name")
    for key, text in data.items():
        one = SourceObject(
            place=f"{source.place}, data[{key}]",
            value=None,
            holder=holder if isinstance(holder, str) else "",
            key=key,
        )
        try:
            yield dataclasses.replace(one, value=parse(str(text)))
        except ValueError as error:
            yield dataclasses.replace(one, problem=str(error))


def is_object(value: Any) -> bool:
    """Whether the value says which kind of Kubernetes object it is."""
    return isinstance(value, dict) and all(
        isinstance(value.get(field), str) and value[field] for field in ("apiVersion", "kind")
    )


def mapping(value: Any) -> dict[str, Any]:
    """The value if it is a mapping, else an empty one."""
    return value if isinstance(value, dict) else {}


def sequence(value: Any) -> list[Any]:
    """The value if it is a list, else an empty one."""
    return value if isinstance(value, list) else []
