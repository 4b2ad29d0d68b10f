"""AdmissionReviews as they are read, and what of one no API server would send.

An API server decodes an object before it asks about it, so that it has the shape of a pod. This is
looked at only after something went wrong, to tell our own bugs from what anybody else has sent.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import orjson

from sidecar_injector import names
from sidecar_injector.core.pods import shapes

Json = dict[str, Any]

VERSIONS: Final = ("admission.k8s.io/v1", "admission.k8s.io/v1beta1")

AT_ONCE: Final = 1 << 20
"""Bytes that are parsed in one go, which lets no other thread run: about 6 ms."""

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


class NoReview(ValueError):
    """The body is no AdmissionReview; the text says what is missing."""


class Review(NamedTuple):
    """What is asked."""

    version: str
    request: Json
    """With a `uid` that is text; nothing else of it is certain."""


def read(body: bytes) -> Review:
    """The review in a body. Raises NoReview. One of more than `AT_ONCE` is for a thread aside."""
    try:
        review = orjson.loads(body) if len(body) <= AT_ONCE else _in_turns(body)
    except (ValueError, RecursionError) as error:
        raise NoReview("the body is no JSON") from error
    if not isinstance(review, dict) or review.get("kind") != "AdmissionReview":
        raise NoReview("kind must be AdmissionReview")
    version = review.get("apiVersion")
    if version not in VERSIONS:
        raise NoReview(f"apiVersion must be one of {', '.join(VERSIONS)}")
    asked = review.get("request")
    if not isinstance(asked, dict) or not isinstance(asked.get("uid"), str):
        raise NoReview("request.uid is missing")
    return Review(version, asked)


def _in_turns(body: bytes) -> Any:
    """The same as orjson makes of it, in twice the time, with turns for other threads.

    Raises ValueError or RecursionError.
    """
    return json.loads(body.decode(), object_pairs_hook=_object, parse_constant=_no_constant)


def _object(members: list[tuple[str, Any]]) -> Json:
    # Not `dict` itself: only where a function written in Python is called do others get their turn.
    return dict(members)


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def is_pod(review: Review) -> bool:
    """Whether the question is about a pod itself; everything else is none of our business."""
    asked = review.request
    resource = asked.get("resource")
    return (
        isinstance(resource, dict)
        and resource.get("group", "") == ""
        and resource.get("resource") == "pods"
        and isinstance(asked.get("object"), dict)
        and isinstance(asked.get("namespace") or "", str)
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
