"""What the API server requires of a label selector inside of a pod.

https://github.com/kubernetes/apimachinery/blob/master/pkg/apis/meta/v1/validation/validation.go
(ValidateLabelSelector)
"""

from __future__ import annotations

from collections.abc import Iterator

from sidecar_injector.core.pods import lenient, selectors, shapes
from sidecar_injector.core.pods.lenient import Json

_EXPRESSION = {"key": str, "operator": str, "values": shapes.ListOf(str)}
_SHAPE = shapes.Object(
    {
        "matchLabels": shapes.STRINGS,
        "matchExpressions": shapes.ListOf(shapes.Object(_EXPRESSION, ("key", "operator"))),
    }
)
"""The shape of a selector; the API server cannot read any other."""


def problems(parent: Json, field: str, *, where: str) -> Iterator[str]:
    """Problems of the selector in a field; one of another shape has none."""
    selector = lenient.child(parent, field)
    if not any(shapes.problems(_SHAPE, selector)):
        yield from (f"{path}: {why}" for path, why in selectors.problems(selector, path=where))
