"""Why pods stayed bare, in the API servers' own words."""

from __future__ import annotations

import collections
import pathlib
import re
from collections.abc import Iterable, Sequence
from typing import Final

MARK: Final = "failing open"
_CAUSE: Final = re.compile(r'failed to call webhook: (?:Post "[^"]*": )?(?P<cause>.*)')
_DETAIL: Final = re.compile(r"(: current time .*| after \S+| \d+\.\d+\.\d+\.\d+:\d+\S*)")


class Reasons:
    """Reads what is appended to these logs from now on."""

    def __init__(self, logs: Sequence[pathlib.Path]) -> None:
        self._begins = {log: log.stat().st_size for log in logs}

    def sentences(self) -> list[str]:
        """How often which cause was given, the most frequent first."""
        causes: collections.Counter[str] = collections.Counter()
        for log, begin in self._begins.items():
            with log.open("rb") as file:
                file.seek(begin)
                causes.update(found(file.read().decode(errors="replace").splitlines()))
        return [f"{count} x {cause}" for cause, count in causes.most_common()]


def found(lines: Iterable[str]) -> list[str]:
    """The cause in each line that tells of a webhook which was passed over."""
    matches = [_CAUSE.search(line) for line in lines if line.startswith("W") and MARK in line]
    return [_DETAIL.sub("", match["cause"]).strip() for match in matches if match]
