"""Imports that wait until a module is used, for completion: a shell asks at every TAB.

A verb's module names what the verb needs at its top; completion needs its options alone.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import sys
import types
from collections.abc import Sequence
from typing import Final

PACKAGES: Final = (
    "sidecar_injector", "asyncio", "ssl", "rich", "yaml", "orjson", "jsonpatch", "jsonpointer",
)  # fmt: skip


class LazyFinder:
    """Finds our modules, and libraries of verbs, and lets the first use of one load it."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The module as Python itself would find it."""
        if name.partition(".")[0] not in PACKAGES:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec and spec.loader:
            spec.loader = importlib.util.LazyLoader(spec.loader)
        return spec


def install() -> None:
    """Make all later imports of these packages wait; the process must be a completion."""
    sys.meta_path.insert(0, LazyFinder())
