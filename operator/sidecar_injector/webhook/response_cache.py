"""Responses to reviews that came before.

The reviews of one template's pods are equal except for three parts: the `uid` of the request, the
times in `managedFields`, and the random end of the token volume's name. `masked` takes these parts
out of a review, and what is left is the key of the response. How a review is masked depends on this
review alone, never on earlier ones.

No review gets the response to another one:

1. A part leaves a byte that no JSON text contains, and a body that has such a byte is not masked.
   So reviews of one key are equal except for these parts, which are at the same places in each.
2. The decision is about the key, with constants in the place of the parts. So the response is a
   function of the key, as long as the state of the cluster is the same: the caller compares
   `PodResponse.serial`.
3. A decision about the key counts only if it is the decision about the review, too. So
   `canonical_review` finds each part in the parsed key again. A time must be in `managedFields`,
   which no rule reads. A name must be in a volume or in a mount. Rules only ask which of these are
   equal, and what is equal in the review is equal in the key. `PodResponse.is_cacheable` says
   whether an injection reads the name itself, or the response repeats it. If any of this is not so,
   the decision is about the review, and no other review gets the response.

Of two members of one name the parser keeps the last one, so a part in the first one is not found. A
name can also hide in escapes, of the review or of JSON in an annotation. So no review that escapes
letters, digits, hyphens or backslashes as `\\u00XX` is cached. Go writes none of them so.
"""

from __future__ import annotations

import collections
import re
import string
from typing import Any, Final

from sidecar_injector import names
from sidecar_injector.core.pods import fields, lenient
from sidecar_injector.webhook import admission_review
from sidecar_injector.webhook.response import PodResponse

Json = dict[str, Any]

MAX_BYTES: Final = 12 << 20
"""Of all keys and responses together: of usual ones a thousand."""
MAX_REVIEW_BYTES: Final = 262_144
"""Larger reviews are not cached: they are rare, and would drive out all others."""
ENTRY_BYTES: Final = 256
"""What Python needs for an entry besides the key's bytes and the response."""

_OPENING: Final = b'{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"'
_TIME: Final = re.compile(rb',"time":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d')
_TIME_LENGTH, _TIME_MEMBER_LENGTH = len("2006-01-02T15:04:05"), len(',"time":"2006-01-02T15:04:05')
_AFTER_TIME: Final = b'Z","fieldsType":"FieldsV1","fieldsV1":{'
_PREFIX: Final = names.TOKEN_VOLUME_PREFIX.encode()
_NAME: Final = b'"name":"' + _PREFIX
_END: Final = re.compile(rb'[a-z0-9]{5}"')
_END_LENGTH: Final = 5
_TIME_MASK, _END_MASK = b"\0", b"\1"
_NUL: Final = b"\\u0000"
"""In place of `uid` and times. No review that is cached has it, see `_HIDING`."""
_CANONICAL_END: Final = b"0" * _END_LENGTH
_CANONICAL_NAME: Final = (_PREFIX + _CANONICAL_END).decode()
_HIDING: Final = {b"%02x" % ord(byte) for byte in f"{string.ascii_letters}{string.digits}-\\\0"}
"""The digits of escapes that can be a part of a token volume's name, or `_NUL`."""


def masked(body: bytes) -> tuple[bytes, bytes] | None:
    """The key of a review, and its `uid` as JSON; None if an API server writes it otherwise.

    It takes 5.7 µs for a review of 6 KB, half of them to search: `rsplit` takes 60 % of the time
    of `split`. With a regular expression for the times it takes 8.3 µs.
    """
    is_usual = len(body) <= MAX_REVIEW_BYTES and body.startswith(_OPENING)
    if not is_usual or _TIME_MASK in body or _END_MASK in body:
        return None
    uid_end = body.find(b'"', len(_OPENING))
    uid = body[len(_OPENING) - 1 : uid_end + 1]
    if uid.translate(None, b"0123456789abcdef-") != b'""':
        return None
    # The metadata, with all times, is in front of the volumes.
    front, *texts = body[uid_end:].rsplit(_NAME)
    if texts:
        end = texts[0][: _END_LENGTH + 1]
        if not _END.fullmatch(end):
            return None
        for index, text in enumerate(texts):
            if not text.startswith(end):
                return None
            texts[index] = text[_END_LENGTH:]
    return (_NAME + _END_MASK).join([_without_times(front), *texts]), uid


def _without_times(text: bytes) -> bytes:
    entries = text.rsplit(_AFTER_TIME)
    for index, entry in enumerate(entries[:-1]):
        if _TIME.fullmatch(entry, len(entry) - _TIME_MEMBER_LENGTH):
            entries[index] = entry[:-_TIME_LENGTH] + _TIME_MASK
    return _AFTER_TIME.join(entries)


def canonical_review(key: bytes, uid: bytes) -> admission_review.Review | None:
    """The review of a key, with constants in place of times and names.

    None if a decision about it can be another one than about the review itself. Raises
    InvalidReview.
    """
    with_times = key.replace(_TIME_MASK, _NUL)
    text = with_times.replace(_END_MASK, _CANONICAL_END)
    review = admission_review.read(_OPENING + _NUL + text)
    # The length says how many times there are; to count them is another search.
    times = (len(with_times) - len(key)) // (len(_NUL) - len(_TIME_MASK))
    is_faithful = (
        review.request["uid"] == "\0"
        and times == _managed_times(review.request)
        and (not has_token_volume(key) or _names_are_found(key, review.request))
        and not any(escape[:2].lower() in _HIDING for escape in key.rsplit(b"\\u00")[1:])
    )
    review.request["uid"] = uid[1:-1].decode()
    return review if is_faithful else None


def has_token_volume(key: bytes) -> bool:
    """Whether names were taken out of the review."""
    return _END_MASK in key


def _managed_times(admission_request: Json) -> int:
    """How many times in `managedFields` are constants."""
    metadata = lenient.child(lenient.child(admission_request, "object"), "metadata")
    entries = lenient.objects(metadata, "managedFields")
    return sum(entry.get("time") == "\0Z" for entry in entries)


def _names_are_found(key: bytes, admission_request: Json) -> bool:
    """Whether the name is a constant in volumes and mounts, and is nowhere else."""
    spec = lenient.child(lenient.child(admission_request, "object"), "spec")
    entries = lenient.objects(spec, "volumes")
    for field in fields.CONTAINER_LISTS:
        for container in lenient.objects(spec, field):
            entries += lenient.objects(container, "volumeMounts")
    ends = key.rsplit(_PREFIX)[1:]
    are_masked = all(end.startswith(_END_MASK) for end in ends)
    return are_masked and len(ends) == [entry.get("name") for entry in entries].count(
        _CANONICAL_NAME
    )


class ResponseCache:
    """The responses that were used last, up to `MAX_BYTES`."""

    def __init__(self) -> None:
        self._responses: collections.OrderedDict[bytes, PodResponse] = collections.OrderedDict()
        """By key; the one that was used last is at the end."""
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._responses)

    def get(self, key: bytes) -> PodResponse | None:
        """The response to a review of this key."""
        response = self._responses.get(key)
        if response is not None:
            self._responses.move_to_end(key)
        return response

    def put(self, key: bytes, response: PodResponse) -> None:
        """Keep the response to `canonical_review(key)` in place of an earlier one."""
        if key in self._responses:
            self._remove(key)
        self._responses[key] = response
        self._bytes += _size(key, response)
        while self._bytes > MAX_BYTES:
            self._remove(next(iter(self._responses)))

    def _remove(self, key: bytes) -> None:
        self._bytes -= _size(key, self._responses.pop(key))


def _size(key: bytes, response: PodResponse) -> int:
    return len(key) + response.size + ENTRY_BYTES
