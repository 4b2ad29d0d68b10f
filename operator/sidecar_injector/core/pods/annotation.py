"""What a pod's annotation requests.

Our annotation takes yes, no, a list of injection names, or `only:` and such a list; the tutorial's
takes yes or no. If both are present, ours wins unless it cannot be read. An unreadable one counts
as absent and is reported. `only:` without a name is unreadable: to get nothing, a pod says no.
"""

from __future__ import annotations

import dataclasses
import enum
import re
from collections.abc import Mapping

from sidecar_injector import names

YES = frozenset({"yes", "true", "y", "on", "1"})
NO = frozenset({"no", "false", "n", "off", "0"})

MAX_CHARACTERS = 16 * 1024
"""Of a list: more than two hundred of the longest names."""

_ONLY = re.compile(r"\s*only\s*:", re.IGNORECASE)
NAME = re.compile(r"(cluster/)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


class Requested(enum.Enum):
    """What the pod's author wants."""

    NOTHING = "unsaid"
    YES = "yes"
    NO = "no"
    LISTED = "listed"
    """The injections of the list, and what the pod would get without it."""
    ONLY = "only"
    """The injections of the list, and no others."""


@dataclasses.dataclass(frozen=True, slots=True)
class InjectRequest:
    """What a pod requests; `listed` has names as the author wrote them, `cluster/NAME` too."""

    requested: Requested = Requested.NOTHING
    listed: tuple[str, ...] = ()
    tutorial: bool = False
    """The request is in the tutorial's annotation."""
    unreadable: tuple[str, ...] = ()
    """Keys of the annotations that could not be read."""

    def __str__(self) -> str:
        """What the annotation says, for people."""
        match self.requested:
            case Requested.NOTHING:
                return "it is not valid" if self.unreadable else "the pod has none"
            case Requested.LISTED:
                return f"{names.INJECT_ANNOTATION} lists {', '.join(self.listed)}"
            case Requested.ONLY:
                return f"{names.INJECT_ANNOTATION} lists only {', '.join(self.listed)}"
        key = names.TUTORIAL_INJECT_ANNOTATION if self.tutorial else names.INJECT_ANNOTATION
        return f"{key} says {self.requested.value}"


NOTHING = InjectRequest()
"""What a pod without our annotations requests."""


def read(annotations: Mapping[str, object]) -> InjectRequest:
    """What a pod with these annotations requests; never fails, whatever they contain."""
    unreadable: list[str] = []
    if (text := annotations.get(names.INJECT_ANNOTATION)) is not None:
        if (request := _parse(text)) is not None:
            return request
        unreadable.append(names.INJECT_ANNOTATION)

    if (text := annotations.get(names.TUTORIAL_INJECT_ANNOTATION)) is not None:
        request = _parse(text)
        if request is not None and not request.listed:
            return dataclasses.replace(request, tutorial=True, unreadable=tuple(unreadable))
        unreadable.append(names.TUTORIAL_INJECT_ANNOTATION)

    return InjectRequest(unreadable=tuple(unreadable)) if unreadable else NOTHING


def is_word(name: str) -> bool:
    """Whether a name would be read as a yes or a no instead."""
    return name.lower() in YES or name.lower() in NO


def _parse(value: object) -> InjectRequest | None:
    if not isinstance(value, str) or len(value) > MAX_CHARACTERS:
        return None
    word = value.strip().lower()
    if word in YES:
        return InjectRequest(Requested.YES)
    if word in NO:
        return InjectRequest(Requested.NO)

    only = _ONLY.match(value)
    items = value[only.end() :] if only else value
    # Empty items are skipped: a superfluous comma does not make the list unreadable.
    listed = tuple(dict.fromkeys(item for part in items.split(",") if (item := part.strip())))
    if not listed or any(is_word(item) or not NAME.fullmatch(item) for item in listed):
        return None
    return InjectRequest(Requested.ONLY if only else Requested.LISTED, listed)
