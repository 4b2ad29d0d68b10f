"""What older releases of Kubernetes do otherwise: one table for the tests and for the docs."""

from __future__ import annotations

import dataclasses
import fnmatch
import pathlib
from collections.abc import Sequence
from typing import Final

import yaml

TABLE: Final = pathlib.Path(__file__).with_name("differences.yaml")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Difference:
    """One behaviour of some releases. With `tests`, these fail there, and nowhere else."""

    minors: Sequence[int]
    """The minor versions that differ: 32 is Kubernetes 1.32."""
    what: str
    effect: str
    """What it means for people who use the product there."""
    tests: Sequence[str] = ()
    """Patterns of pytest's node ids, below tests/controlplane/ or tests/chart/."""

    def concerns(self, node_id: str) -> bool:
        """Whether a test shows the newest release's behaviour."""
        name = node_id.removeprefix("tests/").partition("/")[2]
        # In a pattern a bracket is a bracket: node ids are full of them.
        patterns = (pattern.replace("[", "[[]") for pattern in self.tests)
        return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def table() -> Sequence[Difference]:
    """All rows, in the order of the docs."""
    rows = yaml.safe_load(TABLE.read_text("utf-8"))
    return [Difference(**row) for row in rows]
