"""What the API server reads in the name of an image."""

from __future__ import annotations

import re
from typing import Final

ALWAYS: Final = "Always"
IF_NOT_PRESENT: Final = "IfNotPresent"

_LATEST: Final = "latest"
_COMPONENT = r"[a-z0-9]++(?:(?:__|[._]|-++)[a-z0-9]++)*+"
_PATH = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*+")
_LABEL = r"[a-zA-Z0-9]++(?:-++[a-zA-Z0-9]++)*+"
_DOMAIN = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*+|\[[a-fA-F0-9:]++\])(?::[0-9]++)?")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"sha256:[a-f0-9]{64}|sha384:[a-f0-9]{96}|sha512:[a-f0-9]{128}")
_IDENTIFIER = re.compile(r"[a-f0-9]{64}")


def default_pull_policy(image: object) -> str:
    """What the API server sets: `Always` for the tag `latest`, or with neither tag nor digest.

    A name that is not well-formed has no tag for it.
    https://github.com/distribution/reference/blob/main/normalize.go
    """
    if not isinstance(image, str) or _IDENTIFIER.fullmatch(image):
        return IF_NOT_PRESENT
    name, at, digest = image.partition("@")
    domain, slash, path = name.partition("/")
    if not (slash and _is_domain(domain)):
        domain, path = "", name
    path, colon, tag = path.partition(":")
    is_well_formed = (
        _PATH.fullmatch(path)
        and (not domain or _DOMAIN.fullmatch(domain))
        and (not colon or _TAG.fullmatch(tag))
        and (not at or _DIGEST.fullmatch(digest))
    )
    is_latest = tag == _LATEST if colon else not at
    return ALWAYS if is_well_formed and is_latest else IF_NOT_PRESENT


def _is_domain(text: str) -> bool:
    """Whether the first part of a name is a registry and not a part of the path."""
    return "." in text or ":" in text or text == "localhost" or text != text.lower()
