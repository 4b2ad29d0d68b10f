"""Reduces parts of a source to what our schema accepts, and warns about the rest."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from sidecar_injector.convert import findings
from sidecar_injector.core.injections import schema

Schema = schema.Schema


def fit(target: Schema, value: Any, location: findings.Location) -> Any:
    """As much of the value as the schema accepts; None if that is nothing.

    There is a warning for whatever is left out. Numbers and booleans become strings where the
    schema wants strings, as in Go's YAML decoders.
    https://github.com/kubernetes-sigs/yaml/blob/master/yaml.go
    """
    if isinstance(value, dict) and target.get("type") == "object":
        value = _object(target, value, location)
    elif isinstance(value, list) and target.get("type") == "array":
        value = _array(target, value, location)
    elif target.get("type") == "string" and isinstance(value, bool | int | float):
        value = _text(value)
    if value is None:
        return None
    for problem in schema.problems(target, value):
        inner = f"{problem.path.lstrip('.')} " if problem.path else ""
        location.warn(f"is left out: {inner}{problem.sentence}")
        return None
    return value


def fit_each(target: Schema, value: Any, location: findings.Location) -> list[Any]:
    """The items of a list, each reduced by `fit`; warns about a value that is not a list."""
    if value is None:
        return []
    if not isinstance(value, list):
        location.warn("is left out: it must be a list")
        return []
    schema_of_items = target.get("items") or {}
    fitted = (fit(schema_of_items, item, location.item(index)) for index, item in enumerate(value))
    return [item for item in fitted if item is not None]


def mapping(value: Any, location: findings.Location) -> dict[str, Any]:
    """The value, empty if it is absent; warns about a value that is not a mapping."""
    if value is not None and not isinstance(value, dict):
        location.warn("is left out: it must be an object")
    return value if isinstance(value, dict) else {}


def items(
    value: Any, location: findings.Location
) -> Iterator[tuple[dict[str, Any], findings.Location]]:
    """The mappings of a list; warns about another value, and about items that are not mappings."""
    if value is not None and not isinstance(value, list):
        location.warn("is left out: it must be a list")
    for index, item in enumerate(value if isinstance(value, list) else ()):
        yield mapping(item, location.item(index)), location.item(index)


def _object(target: Schema, value: dict[str, Any], location: findings.Location) -> dict[str, Any]:
    properties: Mapping[str, Any] = target.get("properties") or {}
    rest = target.get("additionalProperties")
    is_open = target.get("x-kubernetes-preserve-unknown-fields") or not (properties or rest)
    result: dict[str, Any] = {}
    for key, item in with_known_case(value, properties, location).items():
        if key in properties:
            fitted = fit(properties[key], item, location.member(key))
        elif isinstance(rest, dict):
            fitted = fit(rest, item, location.key(key))
        elif is_open:
            fitted = item
        else:
            location.member(key).warn("is left out: the field is unknown")
            continue
        if fitted is not None:
            result[key] = fitted
    return result


def with_known_case(
    value: Mapping[str, Any], fields: Collection[str], location: findings.Location
) -> Mapping[str, Any]:
    """The members, known names in their usual case: Go's decoder ignores upper and lower case.

    https://pkg.go.dev/encoding/json#Unmarshal
    """
    if value.keys() <= set(fields):
        return value
    folded = {name.lower(): name for name in fields}
    result: dict[str, Any] = {}
    for key, item in value.items():
        name = folded.get(key.lower(), key)
        if name != key and name not in value:
            location.member(key).note(f"is read as {name}")
            result[name] = item
        else:
            result[key] = item
    return result


def _array(target: Schema, value: list[Any], location: findings.Location) -> list[Any]:
    """The items that fit, each key of a keyed list once, and not more than `maxItems`."""
    keys = target.get("x-kubernetes-list-map-keys") or ()
    seen: set[tuple[str, ...]] = set()
    result: list[Any] = []
    for index, item in enumerate(value):
        place = location.item(index)
        fitted = fit(target.get("items") or {}, item, place)
        if fitted is None:
            continue
        whole = schema.defaulted(target.get("items") or {}, fitted)
        identity = tuple(str(whole[key]) for key in keys)
        if keys and identity in seen:
            place.warn(f"is left out: an earlier item has the same {' and '.join(keys)}")
        elif len(result) == target.get("maxItems", len(value)):
            place.warn(f"is left out: at most {target['maxItems']} items are accepted")
        else:
            seen.add(identity)
            result.append(fitted)
    return result


def _text(value: float) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
