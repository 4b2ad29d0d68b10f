"""Outcomes of reviews that were answered before, known again by their bytes.

The pods of a ReplicaSet, a DaemonSet or a Job come in herds, and the API server asks about each of
them twice. What it sends differs from one to the next only in the number of the question, in the
second in which the pod was made, and in the random name of the volume with the ServiceAccount's
token; and since each of these is always as long, they stand at the same places. Everything else is
compared byte by byte, and a known review is never parsed. What is known of the cluster is not in
it: whoever recalls an outcome sees to it that it is of today.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from typing import Final, Generic, Protocol, TypeVar

from sidecar_injector import names

MOST_BYTES: Final = 6 << 20
"""Of reviews and their outcomes in each of two generations: of usual ones five hundred."""
LARGEST: Final = 262_144
"""Bytes of a review that is remembered: larger ones are rare, and would drive out all others."""
MOST_LAYOUTS: Final = 8
"""Of reviews of one length, before the oldest goes: each that does not fit takes its time."""

_OPENING: Final = re.compile(
    rb'\{"kind":"AdmissionReview","apiVersion":"admission\.k8s\.io/v1","request":\{'
    rb'"uid":("[0-9a-f-]{1,36}")'
)
# The places are found by their surroundings, as Go writes them. No string of a pod can pose as one
# of them, since quotation marks in it have backslashes, and no map of strings, since each has a
# member beside it that is none.
_PREFIX: Final = names.TOKEN_VOLUME_PREFIX.encode()
_NAME: Final = re.compile(
    rb'"name":"%b([a-z0-9]{5})","(?:projected":\{|readOnly":true,'
    rb'"mountPath":"/var/run/secrets/kubernetes\.io/serviceaccount")' % _PREFIX
)
_SECOND: Final = re.compile(
    rb'"time":"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)Z","fieldsType":"FieldsV1","fieldsV1":\{'
)
_A_UID: Final = re.compile(rb'"[0-9a-f-]+"')
_A_NAME: Final = re.compile(rb"[a-z0-9]{5}")
_A_SECOND: Final = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")


class Sized(Protocol):
    """What is remembered."""

    @property
    def size(self) -> int:
        """About how many bytes it takes."""


Outcome = TypeVar("Outcome", bound=Sized)


@dataclasses.dataclass(frozen=True, slots=True)
class Layout:
    """Where in a review is what differs between the pods of one template."""

    uid: slice
    """With its quotation marks."""
    seconds: tuple[slice, ...]
    names: tuple[slice, ...]
    """The random ends of the volume's name."""
    rest: tuple[slice, ...]
    """All else."""

    def common(self, body: bytes) -> bytes | None:
        """What all reviews of a template have in common; None for one of another layout."""
        if _A_UID.fullmatch(body[self.uid]) is None:
            return None
        for place in self.seconds:
            if _A_SECOND.fullmatch(body[place]) is None:
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
        """The name of the volume in this review; empty if there is none that is passed over."""
        return (_PREFIX + body[self.names[0]]).decode() if self.names else ""


def layout_of(body: bytes) -> Layout | None:
    """The layout of a review; None for one that is very large or not as the API server writes it.

    Nor has one a layout in which such a name stands elsewhere too, where it might be looked at.
    """
    opened = _OPENING.match(body) if len(body) <= LARGEST else None
    if opened is None:
        return None
    ends = list(_places(_NAME, body, begin=b'"name":"' + _PREFIX))
    if len(ends) != body.count(_PREFIX) or len({body[end] for end in ends}) > 1:
        return None
    uid = slice(*opened.span(1))
    seconds = list(_places(_SECOND, body, begin=b'"time":"'))
    rest = _between(sorted((uid, *ends, *seconds), key=lambda one: one.start), len(body))
    return Layout(uid, tuple(seconds), tuple(ends), tuple(rest))


def _places(pattern: re.Pattern[bytes], body: bytes, *, begin: bytes) -> Iterator[slice]:
    """Of the first group: to look for how a match begins is ten times faster than to match."""
    at = body.find(begin)
    while at >= 0:
        if found := pattern.match(body, at):
            yield slice(*found.span(1))
        at = body.find(begin, at + 1)


def _between(places: list[slice], end: int) -> Iterator[slice]:
    at = 0
    for place in places:
        yield slice(at, place.start)
        at = place.stop
    yield slice(at, end)


class _Generation(Generic[Outcome]):
    def __init__(self) -> None:
        self.outcomes: dict[bytes, Outcome] = {}
        self.layouts: dict[int, list[Layout]] = {}
        """By the length of the review, the latest first."""
        self.bytes = 0


class ResponseCache(Generic[Outcome]):
    """Outcomes, in two generations: those that are not asked for any more go first."""

    def __init__(self) -> None:
        self._young: _Generation[Outcome] = _Generation()
        self._old: _Generation[Outcome] = _Generation()

    def recall(self, body: bytes) -> tuple[Outcome, bytes] | None:
        """The outcome of a review that is like this one, and this one's `uid` as JSON."""
        for generation in (self._young, self._old):
            for layout in generation.layouts.get(len(body), ()):
                common = layout.common(body)
                if common is not None and (found := generation.outcomes.get(common)) is not None:
                    if generation is self._old:
                        self.learn(body, found, layout=layout)
                    return found, body[layout.uid]
        return None

    def learn(self, body: bytes, outcome: Outcome, *, layout: Layout) -> None:
        """Keep an outcome, in the place of an earlier one."""
        common = layout.common(body)
        assert common is not None, "the layout is this review's"
        if self._young.bytes >= MOST_BYTES:
            self._young, self._old = _Generation(), self._young
        young = self._young
        if common not in young.outcomes:
            young.bytes += len(common) + outcome.size
        young.outcomes[common] = outcome
        layouts = young.layouts.setdefault(len(body), [])
        if layout not in layouts:
            layouts.insert(0, layout)
            del layouts[MOST_LAYOUTS:]
