"""Whether a request of a review can be what an API server sends.

An API server decodes an object before it asks about it, so this holds for every request of its; it
is asked only after something went wrong, to tell our own bugs from what anybody else has sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sidecar_injector import names
from sidecar_injector.core import shapes

_REQUEST = shapes.Object(
    {"namespace": str, "operation": str, "subResource": str, "object": shapes.POD}
)


_INJECTION = shapes.Object(
    {
        "kind": shapes.Object({"kind": str}, ("kind",)),
        "object": shapes.Object(
            {"metadata": shapes.Object({"name": str, "namespace": str}), "spec": shapes.Object()},
            ("metadata",),
        ),
    },
    ("kind", "object"),
)


def is_injection(asked: Mapping[str, Any]) -> bool:
    """Whether the request is about one of our kinds, and the object looks like it."""
    looks_like_one = not any(shapes.problems(_INJECTION, asked))
    return looks_like_one and asked["kind"]["kind"] in (names.KIND, names.CLUSTER_KIND)


def complaint(asked: Mapping[str, Any]) -> str:
    """Where a request about a pod says what no API server does, as a sentence; else empty."""
    # Not what stands there: a value is nothing for an answer or a log.
    path = next((path for path, _ in shapes.problems(_REQUEST, asked, path="request")), "")
    return f"{path} is missing or has another type than the API gives it" if path else ""
