"""A pod as the API server writes it for the next webhook, by the table of fields."""

from __future__ import annotations

from typing import Any

from sidecar_injector.core.pods import api_fields, quantity

Json = dict[str, Any]


def written(pod: Json) -> Json:
    """The pod without values that Go leaves out, and with what the API server fills in."""
    return {**pod, "spec": of_field(pod["spec"], api_fields.TEMPLATE)}


def of_field(value: Any, field: api_fields.Field) -> Any:
    """A value of this field; of a list each item."""
    if isinstance(value, list):
        return [of_field(item, field) for item in value]
    if not isinstance(value, dict):
        return _scalar(value, field)
    result = {}
    for key in [*value, *(key for key in field.members if key not in value)]:
        inner = field.member(key)
        # The default of a volume is an emptyDir, unless it has another source.
        if key == api_fields.EVERY or (key == "emptyDir" and len(value) > 1 and key not in value):
            continue
        present = inner.of_siblings(value) if inner.of_siblings else value.get(key)
        if not inner.is_absent(present) or inner.default is not None:
            result[key] = of_field(inner.default if inner.is_absent(present) else present, inner)
    return result


def _scalar(value: Any, field: api_fields.Field) -> Any:
    if field.digits is None:
        return value
    number = quantity.stored(value, digits=field.digits)
    return value if number is None else f"{number:f}".rstrip("0").rstrip(".") or "0"
