"""Where configuration is found: documents by themselves, ConfigMaps that hold some, lists."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

Parse = Callable[[str], Any]
"""Makes data of an embedded text; raises ValueError with a sentence."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Source:
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
    bases: tuple[Source, ...] = ()
    """The files that it inherits from, the nearest first."""


def objects(source: Source) -> Iterator[Source]:
    """The document itself or, if it is a list of Kubernetes objects, what is in it."""
    value = source.value
    if _is_object(value) and value["kind"].endswith("List") and "items" in value:
        items = value["items"]
        for index, item in enumerate(items if isinstance(items, list) else ()):
            place = f"{source.place}, items[{index}]"
            yield from objects(dataclasses.replace(source, place=place, value=item))
    else:
        yield source


def texts(source: Source, *, parse: Parse) -> Iterator[Source]:
    """Configuration that stands by itself or in ConfigMaps; other Kubernetes objects are none."""
    for one in objects(source):
        if not _is_object(one.value):
            yield one
        elif one.value["kind"] == "ConfigMap":
            yield from _embedded(one, parse)


def _embedded(source: Source, parse: Parse) -> Iterator[Source]:
    metadata, data = (mapping(source.value.get(field)) for field in ("metadata", "data"))
    holder = metadata.get("name")
    for key, text in data.items():
        one = Source(
            place=f"{source.place}, data[{key}]",
            value=None,
            holder=holder if isinstance(holder, str) else "",
            key=key,
        )
        try:
            yield dataclasses.replace(one, value=parse(str(text)))
        except ValueError as error:
            yield dataclasses.replace(one, problem=str(error))


def _is_object(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(value.get(field), str) and value[field] for field in ("apiVersion", "kind")
    )


def mapping(value: Any) -> dict[str, Any]:
    """The value if it is a mapping, else an empty one."""
    return value if isinstance(value, dict) else {}


def sequence(value: Any) -> list[Any]:
    """The value if it is a list, else an empty one."""
    return value if isinstance(value, list) else []
