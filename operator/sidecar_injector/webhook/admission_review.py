"""AdmissionReviews: how they are read, and what in one no API server would send.

An API server decodes an object before it calls us, so the object has the shape of a pod. The shape
is checked only after something went wrong, to tell our own bugs from what other clients send.
"""

from __future__ import annotations

import json
import re
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
LIGHT_BYTES: Final = 16 << 10
"""A body of so many bytes takes no time to speak of, whatever is in it."""
HEAVY_TOKENS: Final = 30_000
"""Tokens that the event loop may parse. Each takes up to 130 ns, and 35 ns when it is freed."""
MAX_BYTES: Final = 4 << 20
"""Of a body that is parsed: etcd stores objects of 1.5 MiB."""
MAX_PARSED_BYTES: Final = 40 << 20
"""Bytes of memory of a review while it is parsed: its text twice, and what its tokens take."""
TOKEN_BYTES: Final = 200
"""Bytes of memory for a token. Both parsers take 110 at most, but there must not be more than
200,000 tokens either: no other thread runs while an array of strings is parsed, nor while all is
freed. A pod of 1.5 MiB, the most that etcd stores, has about 150,000."""

_TOKENS: Final = (b"{", b"[", b":", b",")
_SLICE: Final = 64 << 10
_OPENING: Final = re.compile(
    rb'\{"kind":"AdmissionReview","apiVersion":"(admission\.k8s\.io/v1(?:beta1)?)",'
    rb'"request":\{"uid":("[0-9a-f-]{1,36}")'
)
"""How an API server begins."""

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


class TooLargeReview(InvalidReview):
    """To parse the body would take too much memory or time."""


class Review(NamedTuple):
    """An AdmissionReview as it comes in."""

    version: str
    """Its `apiVersion`."""
    request: Json
    """With a `uid` that is text; nothing else in it is certain."""


def read(body: bytes) -> Review:
    """The review in a body. Raises InvalidReview.

    A body that `is_heavy` is to be read in a worker thread.
    """
    check_size(body)
    try:
        is_small = len(body) <= MAX_BLOCKING_BYTES and not is_heavy(body)
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


def is_heavy(body: bytes) -> bool:
    """Whether to parse the body takes longer than other requests should wait."""
    return len(body) > LIGHT_BYTES and _tokens(body, most=HEAVY_TOKENS) > HEAVY_TOKENS


def check_size(body: bytes) -> None:
    """Raise TooLargeReview if the body takes too much memory, or too long, when it is parsed."""
    if len(body) > MAX_BYTES or (len(body) > LIGHT_BYTES and estimate(body) > MAX_PARSED_BYTES):
        raise TooLargeReview("to parse it would take too much memory")


def estimate(body: bytes) -> int:
    """Bytes of memory that the body takes at most while it is parsed, without parsing it.

    The estimate may be too low if it is over `MAX_PARSED_BYTES` in any case. Each part of JSON but
    the first has a token before it. Tokens in strings count too. The text exists twice, as a whole
    and in parts, and Python keeps a text with one emoji in four bytes a character.
    """
    width = 1 if body.isascii() and b"\\u" not in body else 4
    tokens = _tokens(body, most=MAX_PARSED_BYTES // TOKEN_BYTES)
    return 4096 + 2 * width * len(body) + TOKEN_BYTES * tokens


def _tokens(body: bytes, *, most: int) -> int:
    """The number of tokens in a body; if they are more than `most`, any number above it."""
    tokens = 0
    for start in range(0, len(body), _SLICE):
        tokens += sum(body.count(token, start, start + _SLICE) for token in _TOKENS)
        if tokens > most:
            break
    return tokens


def opening(body: bytes) -> tuple[bytes, bytes] | None:
    """`apiVersion` and `uid` (as JSON) of a review of an API server, without parsing it."""
    match = _OPENING.match(body)
    return (match[1], match[2]) if match else None


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
