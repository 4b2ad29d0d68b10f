"""Where configuration is: in documents by themselves, in ConfigMaps, in lists."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

from sidecar_injector.core.pods import lenient

Parse = Callable[[str], Any]
"""Parses an embedded text; raises ValueError with a sentence."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SourceObject:
    """One document or one text within a ConfigMap."""

    place: str
    """File, document and key, for messages."""
    value: Any
    """The parsed content, of any shape."""
    problem: str = ""
    """Why there is no value."""
    config_map: str = ""
    """Name of the ConfigMap; empty for a document by itself."""
    key: str = ""
    """Key within the ConfigMap."""
    bases: tuple[SourceObject, ...] = ()
    """The files that it inherits from, the nearest first."""


def objects(source: SourceObject) -> Iterator[SourceObject]:
    """The document itself or, if it is a list of Kubernetes objects, its items."""
    value = source.value
    if not (is_object(value) and value["kind"].endswith("List")):
        yield source
        return
    for place, item in list_items(value, source.place):
        yield from objects(dataclasses.replace(source, place=place, value=item))


def list_items(manifest: dict[str, Any], place: str) -> Iterator[tuple[str, Any]]:
    """The items of a list of Kubernetes objects, each with its place.

    In the lists of one kind that an API server returns, the items are without version and kind.
    """
    kind = manifest["kind"].removesuffix("List")
    head = {"apiVersion": manifest["apiVersion"], "kind": kind} if kind else {}
    for index, item in enumerate(lenient.items(manifest, "items")):
        yield f"{place}, items[{index}]", {**head, **item} if isinstance(item, dict) else item


def texts(source: SourceObject, *, parse: Parse) -> Iterator[SourceObject]:
    """Configuration by itself or in ConfigMaps; other Kubernetes objects are skipped."""
    for item in objects(source):
        if not is_object(item.value):
            yield item
        elif item.value["kind"] == "ConfigMap":
            yield from _embedded(item, parse)


def _embedded(source: SourceObject, parse: Parse) -> Iterator[SourceObject]:
    config_map = lenient.child(source.value, "metadata").get("name")
    for key, text in lenient.child(source.value, "data").items():
        entry = SourceObject(
            place=f"{source.place}, data[{key}]",
            value=None,
            config_map=config_map if isinstance(config_map, str) else "",
            key=key,
        )
        try:
            yield dataclasses.replace(entry, value=parse(str(text)))
        except ValueError as error:
            yield dataclasses.replace(entry, problem=str(error))


def is_object(value: Any) -> bool:
    """Whether the value says which kind of Kubernetes object it is."""
    return isinstance(value, dict) and all(
        isinstance(value.get(field), str) and value[field] for field in ("apiVersion", "kind")
    )


def mapping(value: Any) -> dict[str, Any]:
    """The value if it is a mapping, else an empty one."""
    return value if isinstance(value, dict) else {}
