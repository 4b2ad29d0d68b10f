"""What a pod's annotation asks for.

Ours takes yes, no or a list of injection names; the tutorial's takes yes or no. Ours wins where
both are present, unless it cannot be read. What cannot be read counts as absent and is reported.
"""

from __future__ import annotations

import dataclasses
import enum
import re
from collections.abc import Mapping

from sidecar_injector import names

YES = frozenset({"yes", "true", "y", "on", "1"})
NO = frozenset({"no", "false", "n", "off", "0"})

_NAME = re.compile(r"(cluster/)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


class Requested(enum.Enum):
    """What the pod's author wants."""

    UNSAID = "unsaid"
    YES = "yes"
    NO = "no"
    LISTED = "listed"


@dataclasses.dataclass(frozen=True, slots=True)
class InjectRequest:
    """The pod's wish; `listed` holds names as written, `cluster/NAME` included."""

    wish: Requested = Requested.UNSAID
    listed: tuple[str, ...] = ()
    tutorial: bool = False
    """The wish was said in the tutorial's annotation."""
    unreadable: tuple[str, ...] = ()
    """Keys of the annotations that could not be read."""


UNSAID = InjectRequest()


def read(annotations: Mapping[str, object]) -> InjectRequest:
    """The wish of a pod with these annotations; never fails, whatever they hold."""
    unreadable: list[str] = []
    if (ours := annotations.get(names.INJECT_ANNOTATION)) is not None:
        if (request := _parse(ours)) is not None:
            return request
        unreadable.append(names.INJECT_ANNOTATION)

    if (tutorials := annotations.get(names.TUTORIAL_INJECT_ANNOTATION)) is not None:
        request = _parse(tutorials)
        if request is not None and request.wish is not Requested.LISTED:
            return dataclasses.replace(request, tutorial=True, unreadable=tuple(unreadable))
        unreadable.append(names.TUTORIAL_INJECT_ANNOTATION)

    return InjectRequest(unreadable=tuple(unreadable)) if unreadable else UNSAID


def is_word(name: str) -> bool:
    """Whether a name would be read as a yes or a no instead."""
    return name.lower() in YES or name.lower() in NO


def _parse(value: object) -> InjectRequest | None:
    if not isinstance(value, str):
        return None
    word = value.strip().lower()
    if word in YES:
        return InjectRequest(Requested.YES)
    if word in NO:
        return InjectRequest(Requested.NO)

    # A stray comma does not hide what the author clearly named.
    listed = tuple(dict.fromkeys(item for part in value.split(",") if (item := part.strip())))
    if not listed or any(is_word(item) or not _NAME.fullmatch(item) for item in listed):
        return None
    return InjectRequest(Requested.LISTED, listed)
