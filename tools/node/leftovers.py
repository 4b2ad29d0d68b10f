"""The data folder of a node and its owner's mark, and what a run that was killed has left.

Its processes and mounts are gone with its namespaces; what stays are the folder and the control
groups of the same name. They are removed only if the mark says that they are ours and its owner
is gone.
"""

from __future__ import annotations

import pathlib
import shutil
import tempfile
from typing import Final

from tools.controlplane import locks
from tools.node import cgroups

PREFIX: Final = "sidecar-injector-node-"
MARK: Final = "owner.lock"
"""Locked by the owner for as long as it lives."""


class Data:
    """A fresh folder, marked."""

    def __init__(self) -> None:
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix=PREFIX))
        unlocked = self.folder / f"{MARK}.new"
        self._mark = unlocked.open("w")
        locks.take(self._mark)
        # Another run that cleans up must never see it unlocked.
        unlocked.rename(self.folder / MARK)

    def remove(self) -> None:
        """With all that is in it; nothing may be mounted there any more."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self._mark.close()


def clean(hierarchies: cgroups.Hierarchies) -> list[str]:
    """Remove what killed runs have left, and return its names."""
    removed = []
    for mark in pathlib.Path(tempfile.gettempdir()).glob(f"{PREFIX}*/{MARK}"):
        with mark.open("a") as file:
            # A living owner has the lock on its mark.
            if locks.take(file):
                name = mark.parent.name
                cgroups.Parent(name=name, hierarchies=hierarchies).remove()
                shutil.rmtree(mark.parent, ignore_errors=True)
                removed.append(name)
    return removed
