"""Names of injections: object names that a pod's annotation can list."""

from __future__ import annotations

import re

from sidecar_injector.convert import findings
from sidecar_injector.core.injections import rules
from sidecar_injector.core.pods import annotation

_INVALID = re.compile(r"[^-a-z0-9.]+")
_BORDER = re.compile(r"[-.]*\.[-.]*")
"""Around a dot there may stand only letters and digits."""
FALLBACK = "sidecar"


class Names:
    """Gives names out, each only once."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def given(self, wanted: str, spot: findings.Location) -> str:
        """A valid name as near to the wanted one as can be; warns where it is another."""
        name = unique = valid(wanted)
        count = 1
        while unique in self._taken:
            count += 1
            unique = f"{name[: rules.MAX_NAME - len(f'-{count}')].rstrip('-.')}-{count}"
        self._taken.add(unique)
        if unique != wanted:
            reason = "is no object name" if name != wanted else "is taken already"
            spot.warn(f"{wanted!r} {reason}; the injection is named {unique!r}")
        return unique


def valid(wanted: str) -> str:
    """The wanted name, changed until it is one."""
    name = _BORDER.sub(".", _INVALID.sub("-", wanted.lower())).strip("-.")
    name = name[: rules.MAX_NAME].rstrip("-.")
    if not name or annotation.is_word(name):
        return f"{FALLBACK}-{name}".rstrip("-")
    return name
