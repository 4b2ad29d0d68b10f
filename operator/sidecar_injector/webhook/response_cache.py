"""Responses to reviews that came before.

The reviews of one template's pods are the same bytes, except for the `uid` of the
request, timestamps and the random end of the token volume's name, which are always at the same
places. So a review is compared with earlier ones of its length, except at these places; if one is
equal, this one is not even parsed. The state of the cluster is not part of a review: the caller
compares `PodResponse.serial`.
"""

from __future__ import annotations

import collections
import dataclasses
import re
from collections.abc import Iterator
from typing import Final

from sidecar_injector import names
from sidecar_injector.webhook.response import PodResponse

MAX_BYTES: Final = 12 << 20
"""Of all cached reviews and responses together: of usual ones a thousand."""
MAX_REVIEW_BYTES: Final = 262_144
"""Larger reviews are not cached: they are rare, and would drive out all others."""
MAX_LAYOUTS: Final = 8
"""Layouts of one length of reviews: each of them is tried with each review of that length."""
MAX_PLACES: Final = 256
"""Places in a layout; a review with more of them is not cached."""

_OPENING: Final = re.compile(
    rb'\{"kind":"AdmissionReview","apiVersion":"admission\.k8s\.io/v1","request":\{'
    rb'"uid":("[0-9a-f-]{1,36}")'
)
# The places are found by their surroundings, as Go writes them. Neither a string of a pod can
# imitate these, since quotation marks in it have backslashes, nor a map of strings, since each has
# a member beside it that is not a string.
_TOKEN_VOLUME: Final = names.TOKEN_VOLUME_PREFIX.encode()
_NAME: Final = re.compile(
    rb'"name":"%b([a-z0-9]{5})","(?:projected":\{|readOnly":true,'
    rb'"mountPath":"/var/run/secrets/kubernetes\.io/serviceaccount")' % _TOKEN_VOLUME
)
_TIME: Final = re.compile(
    rb'"time":"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)Z","fieldsType":"FieldsV1","fieldsV1":\{'
)
_A_UID: Final = re.compile(rb'"[0-9a-f-]+"')
_A_NAME: Final = re.compile(rb"[a-z0-9]{5}")
_A_TIME: Final = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")


@dataclasses.dataclass(frozen=True, slots=True)
class Layout:
    """Where the reviews of one template differ."""

    uid: slice
    """With its quotation marks."""
    times: tuple[slice, ...]
    names: tuple[slice, ...]
    """The random ends of the token volume's name."""
    rest: tuple[slice, ...]
    """Everything else."""

    def masked(self, body: bytes) -> bytes | None:
        """What all reviews of a template have in common; None if this one has another layout."""
        if _A_UID.fullmatch(body[self.uid]) is None:
            return None
        for place in self.times:
            if _A_TIME.fullmatch(body[place]) is None:
                return None
        if self.names:
            name = body[self.names[0]]
            if _A_NAME.fullmatch(name) is None:
                return None
            for place in self.names:
                if body[place] != name:
                    return None
        return b"".join([body[place] for place in self.rest])

    def token_volume(self, body: bytes) -> str:
        """The name of the token volume in this review; empty if there is none."""
        return (_TOKEN_VOLUME + body[self.names[0]]).decode() if self.names else ""


def layout_of(body: bytes) -> Layout | None:
    """The layout of a review; None if it is too large or not as the API server writes it.

    Also None if the name of the token volume is at another place too, where a decision may see it.
    """
    opening = _OPENING.match(body) if len(body) <= MAX_REVIEW_BYTES else None
    if opening is None:
        return None
    ends = list(_places(_NAME, body, prefix=b'"name":"' + _TOKEN_VOLUME))
    if len(ends) != body.count(_TOKEN_VOLUME) or len({body[end] for end in ends}) > 1:
        return None
    uid = slice(*opening.span(1))
    times = list(_places(_TIME, body, prefix=b'"time":"'))
    masked = sorted((uid, *ends, *times), key=lambda place: place.start)
    if len(masked) > MAX_PLACES:
        return None
    return Layout(uid, tuple(times), tuple(ends), tuple(_between(masked, len(body))))


def _places(pattern: re.Pattern[bytes], body: bytes, *, prefix: bytes) -> Iterator[slice]:
    """The places of the pattern's first group.

    To look for the prefix with which a match begins is ten times faster than to search.
    """
    position = body.find(prefix)
    while position >= 0:
        if match := pattern.match(body, position):
            yield slice(*match.span(1))
        position = body.find(prefix, position + 1)


def _between(places: list[slice], end: int) -> Iterator[slice]:
    position = 0
    for place in places:
        yield slice(position, place.start)
        position = place.stop
    yield slice(position, end)


Key = tuple[int, bytes]
"""The length of a review, and the review without what differs from pod to pod."""


class ResponseCache:
    """The responses that were used last, up to `MAX_BYTES`."""

    def __init__(self) -> None:
        self._responses: collections.OrderedDict[Key, PodResponse] = collections.OrderedDict()
        """The one that was used last is at the end."""
        self._layouts: dict[int, list[Layout]] = {}
        """Of the responses, by length of the review; the newest first."""
        self._counts: collections.Counter[int] = collections.Counter()
        """How many responses there are, by length of the review."""
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._responses)

    def get(self, body: bytes) -> tuple[PodResponse, bytes] | None:
        """The response to an earlier review like this one, and this one's `uid` as JSON."""
        length = len(body)
        for layout in self._layouts.get(length, ()):
            if (masked := layout.masked(body)) is not None:
                key = length, masked
                if (response := self._responses.get(key)) is not None:
                    self._responses.move_to_end(key)
                    return response, body[layout.uid]
        return None

    def put(self, body: bytes, response: PodResponse, *, layout: Layout) -> None:
        """Keep a response in place of an earlier one; `layout` is the review's."""
        masked = layout.masked(body)
        assert masked is not None, "the layout is this review's"
        length = len(body)
        key = length, masked
        if key in self._responses:
            self._remove(key)
        self._responses[key] = response
        self._bytes += len(masked) + response.size
        self._counts[length] += 1
        layouts = self._layouts.setdefault(length, [])
        if layout not in layouts:
            layouts.insert(0, layout)
            del layouts[MAX_LAYOUTS:]
        while self._bytes > MAX_BYTES:
            self._remove(next(iter(self._responses)))

    def _remove(self, key: Key) -> None:
        length, masked = key
        self._bytes -= len(masked) + self._responses.pop(key).size
        self._counts[length] -= 1
        if not self._counts[length]:
            del self._counts[length]
            self._layouts.pop(length, None)
