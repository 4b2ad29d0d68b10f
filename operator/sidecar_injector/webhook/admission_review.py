"""AdmissionReviews: how they are read, and what in one no API server would send.

An API server decodes an object before it calls us, so the object has the shape of a pod. The shape
is checked only after something went wrong, to tell our own bugs from what other clients send.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import orjson

from sidecar_injector import names
from sidecar_injector.core.pods import shapes
from sidecar_injector.observability import logs

Json = dict[str, Any]

UNPROCESSABLE: Final = 422
"""The status code of a refusal."""
VERSIONS: Final = ("admission.k8s.io/v1", "admission.k8s.io/v1beta1")

LONGEST_NAME: Final = 253
"""The API server accepts no longer names."""
MAX_BLOCKING_BYTES: Final = 1 << 20
"""Bytes that are parsed in one call, during which no other thread runs: about 6 ms."""

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


class InvalidReview(ValueError):
    """The body is not an AdmissionReview; the text says what is missing."""


class Review(NamedTuple):
    """An AdmissionReview as it comes in."""

    version: str
    """Its `apiVersion`."""
    request: Json
    """With a `uid` that is text; nothing else in it is certain."""


def read(body: bytes) -> Review:
    """The review in a body. Raises InvalidReview.

    A body of more than `MAX_BLOCKING_BYTES` is to be read in a worker thread.
    """
    try:
        is_small = len(body) <= MAX_BLOCKING_BYTES
        review = orjson.loads(body) if is_small else _loads_in_steps(body)
    except (ValueError, RecursionError) as error:
        raise InvalidReview("the body is no JSON") from error
    if not isinstance(review, dict) or review.get("kind") != "AdmissionReview":
        raise InvalidReview("kind must be AdmissionReview")
    version = review.get("apiVersion")
    if version not in VERSIONS:
        raise InvalidReview(f"apiVersion must be one of {', '.join(VERSIONS)}")
    admission_request = review.get("request")
    if not isinstance(admission_request, dict) or not _is_text(admission_request.get("uid")):
        raise InvalidReview("request.uid is missing")
    return Review(version, admission_request)


def _is_text(value: object) -> bool:
    """Whether it is a string that can be sent back; `json` also reads half a surrogate pair."""
    try:
        return isinstance(value, str) and value.encode() is not None
    except UnicodeEncodeError:
        return False


def _loads_in_steps(body: bytes) -> Any:
    """The same result as orjson's, in twice the time; other threads run in between.

    Raises ValueError or RecursionError.
    """
    return json.loads(body.decode(), object_pairs_hook=_object, parse_constant=_refuse_constant)


def _object(members: list[tuple[str, Any]]) -> Json:
    # Not `dict` itself: other threads run only when a function written in Python is called.
    return dict(members)


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def is_pod(review: Review) -> bool:
    """Whether the review is about a pod itself; all other reviews are answered without a change."""
    admission_request = review.request
    resource = admission_request.get("resource")
    return (
        isinstance(resource, dict)
        and resource.get("group", "") == ""
        and resource.get("resource") == "pods"
        and isinstance(admission_request.get("object"), dict)
        and isinstance(admission_request.get("namespace") or "", str)
    )


def is_injection(admission_request: Mapping[str, Any]) -> bool:
    """Whether the request is about one of our kinds, and the object has the shape of it."""
    has_shape = not any(shapes.problems(_INJECTION, admission_request))
    return has_shape and admission_request["kind"]["kind"] in (names.KIND, names.CLUSTER_KIND)


def shape_problem(admission_request: Mapping[str, Any]) -> str:
    """Where a request about a pod has a shape that no API server sends; empty if it has none.

    The sentence names the field and never its value, which must not be logged.
    """
    problems = shapes.problems(_REQUEST, admission_request, path="request")
    path = next((path for path, _ in problems), "")
    if path:
        return f"{path} is missing or has another type than the API gives it"
    try:
        orjson.dumps(admission_request)
    except orjson.JSONEncodeError:
        # `json`, which reads large bodies, accepts all of these.
        return "half a surrogate pair, a number of more than 64 bits, or too many levels"
    return ""


def short_name(value: object) -> str | None:
    """A name as the log has it; None if it is no text.

    The API server validates a pod after it has called us, so a name may be as long as the review.
    """
    return logs.shortened(value, LONGEST_NAME) if isinstance(value, str) else None


def pod_name(admission_request: Mapping[str, Any]) -> str:
    """Namespace and name of the pod, as far as it has a name; as short as `short_name`."""
    namespace = short_name(admission_request.get("namespace"))
    pod = admission_request.get("object")
    metadata = pod.get("metadata") if isinstance(pod, dict) else None
    if not isinstance(metadata, dict):
        return f"{namespace}/?"
    name = short_name(metadata.get("name"))
    return f"{namespace}/{name or (short_name(metadata.get('generateName')) or '') + '*'}"


def owner(admission_request: Mapping[str, Any]) -> Json | None:
    """The reference to the controller that created the pod, if there is one."""
    metadata = admission_request["object"].get("metadata") or {}
    references = metadata.get("ownerReferences") or ()
    return next((reference for reference in references if reference.get("controller")), None)
