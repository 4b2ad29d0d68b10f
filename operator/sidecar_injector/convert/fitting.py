"""Cuts parts of a source to what our schema accepts, and says what was cut off."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from sidecar_injector.convert import findings
from sidecar_injector.core.injections import schema

Schema = schema.Schema


def fit(target: Schema, value: Any, spot: findings.Location) -> Any:
    """As much of the value as the schema accepts; None where that is nothing.

    What is cut off is warned about. Numbers and booleans where strings belong become strings, as
    the YAML decoders of Go make them when they know the type.
    https://github.com/kubernetes-sigs/yaml/blob/master/yaml.go
    """
    if isinstance(value, dict) and target.get("type") == "object":
        value = _object(target, value, spot)
    elif isinstance(value, list) and target.get("type") == "array":
        value = _array(target, value, spot)
    elif target.get("type") == "string" and isinstance(value, bool | int | float):
        value = _text(value)
    if value is None:
        return None
    for field, sentence in schema.problems(target, value):
        inner = f"{field.lstrip('.')} " if field else ""
        spot.warn(f"is left out: {inner}{sentence}")
        return None
    return value


def fit_each(target: Schema, value: Any, spot: findings.Location) -> list[Any]:
    """The items of a list, each as `fit` leaves it; what is no list is warned about."""
    if value is None:
        return []
    if not isinstance(value, list):
        spot.warn("is left out: it must be a list")
        return []
    one = target.get("items") or {}
    fitted = (fit(one, item, spot.item(index)) for index, item in enumerate(value))
    return [item for item in fitted if item is not None]


def mapping(value: Any, spot: findings.Location) -> dict[str, Any]:
    """The value, an empty one where it is absent; what is no mapping is warned about."""
    if value is not None and not isinstance(value, dict):
        spot.warn("is left out: it must be an object")
    return value if isinstance(value, dict) else {}


def items(
    value: Any, spot: findings.Location
) -> Iterator[tuple[dict[str, Any], findings.Location]]:
    """The mappings of a list; what is no list, and what is no mapping in it, is warned about."""
    if value is not None and not isinstance(value, list):
        spot.warn("is left out: it must be a list")
    for index, item in enumerate(value if isinstance(value, list) else ()):
        yield mapping(item, spot.item(index)), spot.item(index)


def _object(target: Schema, value: dict[str, Any], spot: findings.Location) -> dict[str, Any]:
    properties: Mapping[str, Any] = target.get("properties") or {}
    rest = target.get("additionalProperties")
    is_open = target.get("x-kubernetes-preserve-unknown-fields") or not (properties or rest)
    result: dict[str, Any] = {}
    for key, item in spelt(value, properties, spot).items():
        if key in properties:
            fitted = fit(properties[key], item, spot.member(key))
        elif isinstance(rest, dict):
            fitted = fit(rest, item, spot.key(key))
        elif is_open:
            fitted = item
        else:
            spot.member(key).warn("is left out: the field is unknown")
            continue
        if fitted is not None:
            result[key] = fitted
    return result


def spelt(
    value: Mapping[str, Any], known: Collection[str], spot: findings.Location
) -> Mapping[str, Any]:
    """The members under the names that are known; Go's decoder overlooks upper and lower case.

    https://pkg.go.dev/encoding/json#Unmarshal
    """
    if value.keys() <= set(known):
        return value
    folded = {name.lower(): name for name in known}
    result: dict[str, Any] = {}
    for key, item in value.items():
        name = folded.get(key.lower(), key)
        if name != key and name not in value:
            spot.member(key).note(f"is read as {name}")
            result[name] = item
        else:
            result[key] = item
    return result


def _array(target: Schema, value: list[Any], spot: findings.Location) -> list[Any]:
    """The items that fit, each key of a keyed list once, no more than there may be."""
    keys = target.get("x-kubernetes-list-map-keys") or ()
    seen: set[tuple[str, ...]] = set()
    result: list[Any] = []
    for index, item in enumerate(value):
        where = spot.item(index)
        fitted = fit(target.get("items") or {}, item, where)
        if fitted is None:
            continue
        whole = schema.defaulted(target.get("items") or {}, fitted)
        identity = tuple(str(whole[key]) for key in keys)
        if keys and identity in seen:
            where.warn(f"is left out: an earlier item has the same {' and '.join(keys)}")
        elif len(result) == target.get("maxItems", len(value)):
            where.warn(f"is left out: at most {target['maxItems']} items are accepted")
        else:
            seen.add(identity)
            result.append(fitted)
    return result


def _text(value: float) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
