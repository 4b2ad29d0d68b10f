"""Outcomes of reviews that were answered before, known again by their bytes.

The pods of a ReplicaSet, a DaemonSet or a Job come in herds, and the API server asks about each of
them twice. What it sends differs from one to the next only in the number of the question, in the
second in which the pod was made, and in the random name of the volume with the ServiceAccount's
token. So the key of a review is all of its text but these, and a known one is never parsed. What is
known of the cluster is not in the text: whoever recalls an outcome sees to it that it is of today.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from typing import Final, Generic, TypeVar

from sidecar_injector import names

MOST: Final = 1024
"""Outcomes in each of two generations; of usual ones 1,000 take 4 MB."""
LARGEST: Final = 65_536
"""Bytes of a review that may have a key: larger ones are rare, and seldom alike."""
OPENING: Final = b'{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":'
"""How the API server begins every review; one that begins otherwise has no key."""

_REVIEW: Final = re.compile(re.escape(OPENING) + rb'("[0-9a-f-]{1,36}")')
# The places are matched with their surroundings, as Go writes them. No string of a pod can pose as
# one of them, since quotation marks in it have backslashes, and no map of strings, since each has a
# member beside it that is none. What stands elsewhere under the same name stays in the key.
_NAME: Final = f'"name":"{names.TOKEN_VOLUME_PREFIX}'.encode()
_TOKEN_VOLUME: Final = re.compile(
    rb'"name":"(%b[a-z0-9]{5})","(?=projected":)' % names.TOKEN_VOLUME_PREFIX.encode()
)
_AFTER_TOKEN_VOLUME: Final = (
    b'projected":{',
    b'readOnly":true,"mountPath":"/var/run/secrets/kubernetes.io/serviceaccount"',
)
_SECOND: Final = re.compile(rb'"time":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d$')
_SECOND_LENGTH: Final = len('"time":"2026-01-01T00:00:00')
_AFTER_SECOND: Final = b'Z","fieldsType":"FieldsV1","fieldsV1":{'
# No JSON text contains them, which has no control characters.
_ANY_VOLUME: Final = b"\x00"
_ANY_SECOND: Final = b"\x01"

Outcome = TypeVar("Outcome")


@dataclasses.dataclass(frozen=True, slots=True)
class Key:
    """What two reviews have in common, and what was passed over in this one."""

    digest: bytes
    """32 bytes: nobody finds two texts of one digest, so it may stand for the text."""
    uid: bytes
    """The number of the question, as JSON."""
    token_volume: str
    """The name of the volume; empty if there was none to pass over."""


class Memory(Generic[Outcome]):
    """Outcomes by key, in two generations: those that are not asked for any more go first."""

    def __init__(self) -> None:
        self._young: dict[bytes, Outcome] = {}
        self._old: dict[bytes, Outcome] = {}

    def recall(self, key: Key) -> Outcome | None:
        """The outcome of this key, if it is still there."""
        found = self._young.get(key.digest)
        if found is None and (found := self._old.get(key.digest)) is not None:
            self.learn(key, found)
        return found

    def learn(self, key: Key, outcome: Outcome) -> None:
        """Keep it, in the place of an earlier one."""
        if len(self._young) >= MOST:
            self._young, self._old = {}, self._young
        self._young[key.digest] = outcome


def key_of(body: bytes) -> Key | None:
    """The key of a review; None for one that is very large or not as the API server writes it."""
    opened = _REVIEW.match(body) if len(body) <= LARGEST else None
    if opened is None:
        return None
    text, token_volume = _without_token_volume(body[opened.end() :])
    digest = hashlib.sha256(_without_seconds(text)).digest()
    return Key(digest, opened[1], token_volume)


def _without_token_volume(text: bytes) -> tuple[bytes, str]:
    """The text without the name of the volume that the API server made, and that name."""
    found = _TOKEN_VOLUME.match(text, max(0, text.find(_NAME)))
    if found is None:
        return text, ""
    first, *others = text.split(found[0])
    if not all(other.startswith(_AFTER_TOKEN_VOLUME) for other in others):
        return text, ""
    return _ANY_VOLUME.join((first, *others)), found[1].decode()


def _without_seconds(text: bytes) -> bytes:
    """The text without the times in `managedFields`."""
    *parts, last = text.split(_AFTER_SECOND)
    if not all(_SECOND.search(part, max(0, len(part) - _SECOND_LENGTH)) for part in parts):
        return text
    return _ANY_SECOND.join((*(part[:-_SECOND_LENGTH] for part in parts), last))
